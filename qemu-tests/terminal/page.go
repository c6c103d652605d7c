package terminal

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/testkit/vt100"
	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/harness/ask"
)

// Page is a terminal at which somebody looks at the pages.
type Page struct {
	testing.TB
	Type     func(keys string) error
	Shows    func() string
	Patience time.Duration
	at       *vt100.Terminal // nil: the machine's own screen
	paged    *bool
}

// open is Ctrl-T.
const open = "\x14"

// Types presses keys.
func (p Page) Types(keys string) {
	p.Helper()
	if err := p.Type(keys); err != nil {
		p.Fatal(err)
	}
}

// Sees waits until all of the texts are shown at once, and returns what is shown.
func (p Page) Sees(texts ...string) string {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), p.Patience)
	defer cancel()
	for {
		now, missing := p.Shows(), p.unpainted()
		for _, text := range texts {
			if !strings.Contains(now, text) {
				missing = text
			}
		}
		if missing == "" {
			return now
		}
		if !run.Wait(ctx, 50*time.Millisecond) {
			p.Fatalf("no %q on\n%s", missing, now)
		}
	}
}

// unpainted tells that a page is not painted to its end: then the cursor is in the bottom line, behind its beginning. What is seen before
// may be of the page before.
func (p Page) unpainted() string {
	if p.at == nil || !*p.paged {
		return ""
	}
	if row, col, placed := p.at.Cursor(); row != vt100.Height || col == 1 || !placed {
		return "end of a page"
	}
	return ""
}

// Opens opens the pages.
func (p Page) Opens() {
	p.Helper()
	p.Types(open)
	p.Sees("[1 Summary]")
	p.pages(true)
}

// Leaves leaves the pages.
func (p Page) Leaves() {
	p.Helper()
	p.Lines()
	p.Types("q")
	p.Sees("hardnode>")
}

// Lines has lines come again: what is typed next leaves the pages.
func (p Page) Lines() { p.pages(false) }

func (p Page) pages(on bool) {
	if p.at != nil {
		p.at.Paged(on)
		*p.paged = on
	}
}

// Steps presses keys, one step after the other, and waits for what each brings.
func (p Page) Steps(steps ...[2]string) {
	p.Helper()
	for _, s := range steps {
		p.Types(s[0])
		p.Sees(s[1])
	}
}

// emulated is a terminal whose faults fail the test.
func emulated(t testing.TB, name string) *vt100.Terminal {
	return &vt100.Terminal{Fault: func(text string) { t.Error("to the terminal at " + name + ": " + text) }}
}

// Serial is the first serial port, with a VT100 at it until the test ends, or another one is put there.
func Serial(t testing.TB, vm *harness.VM, patience time.Duration) Page {
	at := emulated(t, "ttyS0")
	vm.Console.Tap(at)
	t.Cleanup(func() { vm.Console.Tap(nil) })
	return Page{t, vm.Console.Type, at.String, patience, at, new(bool)}
}

// Wire is the far end of a virtio console, with a VT100 at it. It is closed with the connection.
func Wire(t testing.TB, c net.Conn, patience time.Duration) Page {
	at := emulated(t, "hvc0")
	done := make(chan struct{})
	go func() { defer close(done); io.Copy(at, c) }()
	t.Cleanup(func() { c.Close(); <-done })
	return Page{t, func(keys string) error { _, err := io.WriteString(c, keys); return err }, at.String, patience, at, new(bool)}
}

// columns is how wide the kernel's own terminal is on a screen in text mode.
const columns = 80

// Screen is the machine's own screen in text mode, and its keyboard; the probe looks at it (harness.AddProbe).
func Screen(t testing.TB, vm *harness.VM, patience time.Duration) Page {
	return Page{t, func(keys string) error { return Press(t.Context(), vm, keys) }, func() string {
		a, err := vm.Ask(t.Context(), ask.Request{What: "read", Path: "/dev/vcs1"})
		if err != nil {
			return err.Error()
		}
		var lines []string
		for text := a.Text; len(text) >= columns; text = text[columns:] {
			lines = append(lines, strings.TrimRight(text[:columns], " "))
		}
		return strings.Join(lines, "\n")
	}, patience, nil, nil}
}

// Press types at the machine's keyboard, as somebody with an American one would. Letters, digits, Enter, Ctrl-T and what a configuration's
// line has are known.
func Press(ctx context.Context, vm *harness.VM, text string) error {
	for _, r := range text {
		key := strings.ToLower(string(r))
		held := []string{}
		switch {
		case r == '\n' || r == '\r':
			key = "ret"
		case r == ' ':
			key = "spc"
		case r == '.':
			key = "dot"
		case r == '-':
			key = "minus"
		case r == '_':
			key, held = "minus", []string{"shift"}
		case r >= 'A' && r <= 'Z':
			held = []string{"shift"}
		case r < 0x20:
			key, held = string(r+'a'-1), []string{"ctrl"}
		}
		if err := vm.Press(ctx, append(held, key)...); err != nil {
			return err
		}
	}
	return nil
}
