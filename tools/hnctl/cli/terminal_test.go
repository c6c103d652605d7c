package cli

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/tools/hnctl/app"
)

// terminal is a pseudo-terminal (pty(7)) of 40 × 100.
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { slave.Close() })
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 100}); err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// screen collects what a terminal shows until f says it is enough, or a minute is over.
func screen(t *testing.T, master *os.File, enough func(string) bool) string {
	t.Helper()
	var got bytes.Buffer
	buf := make([]byte, 4096)
	for end := time.Now().Add(time.Minute); !enough(got.String()); {
		fds := []unix.PollFd{{Fd: int32(master.Fd()), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, 100); err == nil && n > 0 {
			n, err := unix.Read(int(master.Fd()), buf)
			if err != nil {
				break
			}
			got.Write(buf[:n])
		}
		if time.Now().After(end) {
			t.Fatalf("the terminal shows only %q", got.String())
		}
	}
	return got.String()
}

func TestExecOnATerminal(t *testing.T) {
	dir := t.TempDir()
	stop, err := serve(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	master, slave := terminal(t)
	before, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	var talk bytes.Buffer
	code := make(chan int, 1)
	go func() {
		code <- Main(context.Background(), []string{"--config", dir, "node", "exec", "101", "--", "tty"}, slave, slave, &talk)
	}()
	// The fake shows the terminal's size as asked for and as told later, then echoes keys until "q".
	screen(t, master, func(s string) bool { return strings.Contains(s, "size 40 100 resize 40 100") })
	if raw, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS); err != nil || raw.Lflag&(unix.ECHO|unix.ICANON) != 0 {
		t.Errorf("the terminal is not raw: %v", err)
	}
	if _, err := master.WriteString("\x03q"); err != nil { // Ctrl-C is the node's, not ours
		t.Fatal(err)
	}
	screen(t, master, func(s string) bool { return strings.Contains(s, "key 3") })
	if got := <-code; got != 9 {
		t.Errorf("exit code %d, want 9; it said %s", got, talk.String())
	}
	after, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil || *after != *before {
		t.Errorf("the terminal was not restored: %v", err)
	}
}

func TestProgressOnATerminal(t *testing.T) {
	dir := t.TempDir()
	stop, err := serve(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	master, slave := terminal(t)
	file := filepath.Join(dir, "hello.yaml")
	spec := "version: 1\nname: hello\nlayers:\n  - {name: cp, template: nginx, nodes: 1, cloudlets: {reserved: 1, dynamic: 4}}\n"
	if err := os.WriteFile(file, []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	if code := Main(context.Background(), []string{"--config", dir, "env", "create", "-f", file}, slave, slave, slave); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	got := screen(t, master, func(s string) bool { return strings.Contains(s, "next: curl http://hello.demo.test/") })
	if !strings.Contains(got, "\r") || !strings.Contains(got, "env.create environments/hello  100 %") {
		t.Errorf("got %q", got)
	}
}

// TestInterrupt: the first Ctrl-C ends the waiting, says that the work goes on, and how to see it.
func TestInterrupt(t *testing.T) {
	dir := t.TempDir()
	stop, err := serve(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	spec := "version: 1\nname: slow\nlayers:\n  - {name: cp, template: nginx, nodes: 1, cloudlets: {reserved: 1, dynamic: 4}}\n"
	r, w := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- Main(context.Background(), []string{"--config", dir, "env", "create", "-f", "-"}, strings.NewReader(spec), io.Discard, w)
		w.Close()
	}()
	said := ""
	for lines := bufio.NewScanner(r); lines.Scan(); {
		said += lines.Text() + "\n"
		if lines.Text() == "place: running" {
			if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := <-code; got != app.ExitTimeout ||
		!strings.Contains(said, "stopped waiting; the operation goes on, see it with: hnctl op watch op-") {
		t.Errorf("exit code %d: %s", got, said)
	}
}
