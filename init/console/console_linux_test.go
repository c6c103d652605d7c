package console

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestActive(t *testing.T) {
	if got, want := Active("tty0 ttyS0\n"), []string{"tty1", "ttyS0"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAbsentTerminalsAreNamedAndLinesReachTheKernelLog(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "kmsg")
	for _, f := range []string{log, filepath.Join(dir, "ttyS9")} { // ttyS9: something that opens but is no terminal
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := &Console{Uptime: func() time.Duration { return 1234 * time.Millisecond }}
	if err := c.Kmsg(log); err != nil {
		t.Fatal(err)
	}
	if got, want := c.Use(dir, []string{"ttyS9", "hvc0"}), []string{"ttyS9", "hvc0"}; !reflect.DeepEqual(got, want) {
		t.Errorf("absent %q, want %q", got, want)
	}
	c.Line("step %s", strings.Repeat("x", 2000))
	got, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(got), "<6>hardnode: step xxx") || len(got) > 1000 {
		t.Errorf("kernel log has %d bytes: %.40q", len(got), got)
	}
}

// TestShow: a terminal shows the wall clock once it is known, a service's line once, and then how often it came again. No line steers it.
func TestShow(t *testing.T) {
	screen, name := pty(t)
	known, up := false, 1234*time.Millisecond
	c := &Console{Uptime: func() time.Duration { return up }, Known: func() bool { return known }}
	if absent := c.Use(filepath.Dir(name), []string{filepath.Base(name)}); absent != nil {
		t.Fatalf("absent: %q", absent)
	}
	c.Show("agent", "level=WARN msg=away")
	c.Show("netd", "level=WARN msg=x") // another source: it ends nobody's count
	for range 37 {
		c.Show("agent", "level=WARN msg=away")
	}
	known = true
	c.Show("agent", "level=WARN msg=back")
	c.Line("poweroff: %s", "power button")
	c.Show("agent", "a\x1b[2Jb\u009b6n\u00e9\u2026") // a service may write whatever it was told
	want := regexp.MustCompile(`^\[   1\.234\] hardnode: agent: level=WARN msg=away\r+\n` +
		`\[   1\.234\] hardnode: netd: level=WARN msg=x\r+\n` +
		`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}Z hardnode: agent: repeated 37 times: level=WARN msg=away\r+\n` +
		`\S+ \S+Z hardnode: agent: level=WARN msg=back\r+\n\S+ \S+Z hardnode: poweroff: power button\r+\n` +
		`\S+ \S+Z hardnode: agent: a\?\[2Jb\?6n\?\?\r+\n$`)
	got := make([]byte, 4096)
	n, err := screen.Read(got)
	for err == nil && strings.Count(string(got[:n]), "\n") < 6 {
		var more int
		more, err = screen.Read(got[n:])
		n += more
	}
	if err != nil || !want.Match(got[:n]) {
		t.Errorf("the terminal shows %v\n%s", err, got[:n])
	}
}

// pty is a terminal: the side that shows it, and its name.
func pty(t *testing.T) (*os.File, string) {
	t.Helper()
	f, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	if err2 := raw.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			n, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}); err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	return f, "/dev/pts/" + strconv.Itoa(n)
}
