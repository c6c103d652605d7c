package harness

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/qemu-tests/harness/ether"
)

func console(t *testing.T, crash bool) (*Console, *io.PipeWriter) {
	t.Helper()
	c, err := newConsole(filepath.Join(t.TempDir(), "x.log"), time.Now(), crash)
	if err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	go func() { c.read(r); c.finish(ErrEnded) }()
	t.Cleanup(func() { w.Close() })
	return c, w
}

func TestConsoleWaitFor(t *testing.T) {
	c, w := console(t, false)
	go io.WriteString(w, "one\r\n\x1b[1;32mtwo\x1b[0m is 22\r\nlogin: ")
	m, err := c.waitFor(t.Context(), 0, `^two is (\d+)$`)
	if err != nil || !slices.Equal(m, []string{"two is 22", "22"}) {
		t.Errorf("got %q, %v", m, err)
	}
	if _, err := c.waitFor(t.Context(), 0, `login: $`); err != nil {
		t.Errorf("a prompt without a line end is not seen: %v", err)
	}
	mark := c.Mark()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.waitFor(ctx, mark, "one"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a line before the mark was found, or %v", err)
	}
	w.Close()
	if _, err := c.waitFor(t.Context(), 0, "three"); !errors.Is(err, ErrEnded) {
		t.Errorf("got %v, want ErrEnded", err)
	}
	b, err := os.ReadFile(c.Path)
	if err != nil || !strings.Contains(string(b), "] one\n") {
		t.Errorf("log is %q, %v", b, err)
	}
}

// TestConsoleTap: a terminal gets each byte as it comes, those of its own lines only.
func TestConsoleTap(t *testing.T) {
	c, w := console(t, false)
	io.WriteString(w, "before\r\n")
	if _, err := c.waitFor(t.Context(), 0, "before"); err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	c.Tap(&got)
	io.WriteString(w, "\x1b[2J\x1b[1;1Htop\r\n")
	if _, err := c.waitFor(t.Context(), 0, "^top$"); err != nil {
		t.Fatal(err)
	}
	c.Tap(nil)
	io.WriteString(w, "after\r\n")
	if _, err := c.waitFor(t.Context(), 0, "after"); err != nil {
		t.Fatal(err)
	}
	if got.String() != "\x1b[2J\x1b[1;1Htop\r\n" {
		t.Errorf("got %q", got.String())
	}
}

func TestConsolePanic(t *testing.T) {
	for _, crash := range []bool{false, true} {
		c, w := console(t, crash)
		go func() {
			io.WriteString(w, "[    1.5] Kernel panic - not syncing: Attempted to kill init!\nlater\n")
			w.Close()
		}()
		_, err := c.waitFor(t.Context(), 0, "never")
		if errors.Is(err, ErrPanic) == crash {
			t.Errorf("crash expected %v: got %v", crash, err)
		}
	}
}

func TestConsoleExcerpt(t *testing.T) {
	c, w := console(t, false)
	io.WriteString(w, strings.Repeat("x\n", 40)+"last\n")
	if _, err := c.waitFor(t.Context(), 0, "last"); err != nil {
		t.Fatal(err)
	}
	if s := c.Excerpt(30); strings.Count(s, "|") != 30 || !strings.HasSuffix(s, "| last") || !strings.Contains(s, c.Path) {
		t.Errorf("excerpt is %q", s)
	}
}

func TestArgs(t *testing.T) {
	c := Config{Name: "h1", Kernel: "k", Initrd: []string{"a", "b"}, Append: "x=1", Dir: "/d", CPUs: 4, Reboot: true,
		Disks: []Disk{{Path: "/d/a,b", Serial: "s"}},
		NICs:  []NIC{{Switch: ether.NewSwitch(), MAC: "52:54:00:00:00:01"}, {User: []Forward{{Host: 8080, Guest: 80}}}},
		FwCfg: map[string][]byte{"opt/b": nil, "opt/a": nil}}
	emulated, real := strings.Join(c.args(false), " "), strings.Join(c.args(true), " ")
	for _, want := range []string{"-smp 1 ", "-cpu max,-aes,-pclmulqdq,-cx16 ",
		"-accel tcg ", "-append console=ttyS0 x=1", "-initrd /d/h1.initrd",
		"file=/d/a,,b", "serial=s", "stream,id=net0,server=off,addr.type=fd,addr.str=6", "mac=52:54:00:00:00:01",
		"user,id=net1,restrict=on,hostfwd=tcp:127.0.0.1:8080-:80", "name=opt/a,file=/d/h1.fwcfg0", "name=opt/b,file=/d/h1.fwcfg1"} {
		if !strings.Contains(emulated, want) {
			t.Errorf("%q is not in %s", want, emulated)
		}
	}
	for _, want := range []string{"-smp 4 ", "-cpu host ", "-accel kvm "} {
		if !strings.Contains(real, want) {
			t.Errorf("%q is not in %s", want, real)
		}
	}
	c.Measures = true
	if got := strings.Join(c.args(false), " "); !strings.Contains(got, "-accel tcg,tb-size=2048 ") {
		t.Errorf("one that measures has %s", got)
	}
	if strings.Contains(emulated, "-no-reboot") {
		t.Error("-no-reboot although Reboot is set")
	}
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	for name, c := range map[string]Config{
		"name":   {Dir: "/d"},
		"Dir":    {Name: "x"},
		"kernel": {Name: "x", Dir: "/d", Kernel: "/does/not/exist"},
		"size":   {Name: "x", Dir: "/d", Disks: []Disk{{Path: "/does/not/exist"}}},
	} {
		if _, err := Start(t.Context(), c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want an error about %s", err, name)
		}
	}
}
