package hold

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// pipes is a pipe whose writing end does not wait.
func pipes(t *testing.T) (r, w *os.File) {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	r, w = os.NewFile(uintptr(p[0]), "r"), os.NewFile(uintptr(p[1]), "w")
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// TestConsoleIsShared: all who look get what is said, one who does not read holds nobody up, one who is gone is forgotten; what is typed
// gets inside, and the end comes to all.
func TestConsoleIsShared(t *testing.T) {
	master, other, _, err := openConsole(uint32(os.Getuid()), uint32(os.Getgid()))
	if err != nil {
		t.Skipf("this machine makes no terminals: %v", err)
	}
	defer master.Close()
	c := consoleOf(master)
	if c == nil {
		t.Fatal("a terminal is taken for a pipe")
	}
	if consoleOf(other) != nil { // the other end has no other end
		t.Log("the inner end answers for one")
	}
	ar, aw := pipes(t)
	_, lazy := pipes(t)
	gr, gone := pipes(t)
	typed, err := c.join(aw)
	if err != nil {
		t.Fatal(err)
	}
	defer typed.Close()
	for _, w := range []*os.File{lazy, gone} {
		f, err := c.join(w)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	gr.Close()
	log := screen{c}
	line := strings.Repeat("x", 99) + "\n"
	buf, heard := make([]byte, 4096), make([]byte, len(line)+1)
	for range 2000 { // more than a pipe holds
		if _, err := other.WriteString(line); err != nil {
			t.Fatal(err)
		}
		for n := 0; n < len(line); {
			k, err := log.Read(buf)
			if err != nil || strings.Contains(string(buf[:k]), "\r") {
				t.Fatalf("%q %v", buf[:k], err)
			}
			n += k
		}
		if _, err := io.ReadFull(ar, heard); err != nil || string(heard) != strings.TrimSuffix(line, "\n")+"\r\n" {
			t.Fatalf("who looks sees %q %v", heard, err)
		}
	}
	if n := len(c.mu.sinks); n != 2 {
		t.Errorf("%d look, want 2: who is gone is forgotten", n)
	}
	if _, err := typed.WriteString("ls\n"); err != nil {
		t.Fatal(err)
	}
	if n, err := other.Read(buf); string(buf[:n]) != "ls\n" {
		t.Errorf("typed %q %v", buf[:n], err)
	}
	for range maxSinks - 2 {
		_, w := pipes(t)
		f, err := c.join(w)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	_, w := pipes(t)
	if _, err := c.join(w); err == nil || !strings.Contains(err.Error(), "16 look at it already") {
		t.Errorf("one too many: %v", err)
	}
	other.Close()
	c.end()
	if rest, err := io.ReadAll(ar); err != nil {
		t.Errorf("the end did not come: %q %v", rest, err)
	}
}

func TestConsoleOfNobody(t *testing.T) {
	table := &Table{}
	table.mu.byID = map[string]*entry{"7": {}}
	for _, id := range []string{"7", "8"} {
		_, w := pipes(t)
		if _, err := table.Console(id, w); !errors.Is(err, ErrNotRunning) {
			t.Errorf("container %s: %v", id, err)
		}
	}
}
