package leaving

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// forEver is what a system call does that waits for a dead disk.
func forEver() error { select {} }

// said collects what is told.
type said []string

func (s *said) say(format string, args ...any) { *s = append(*s, fmt.Sprintf(format, args...)) }

// A step that never ends, and one that fails, hold up none of those after them.
func TestRunGoesOn(t *testing.T) {
	var out said
	var done []string
	did := func(name string) func() error {
		return func() error { done = append(done, name); return nil }
	}
	Run([]Step{{"first", time.Minute, did("first")}, {"note", 20 * time.Millisecond, forEver}, {"save", time.Minute, did("save")},
		{"sync", time.Minute, func() error { return errors.New("input/output error") }}, {"unmount", time.Minute, did("unmount")}},
		time.Hour, out.say)
	if want := []string{"first", "save", "unmount"}; !slices.Equal(done, want) {
		t.Errorf("done: %q, want %q", done, want)
	}
	if want := (said{"note: not done after 20ms; going on", "sync: input/output error; going on"}); !slices.Equal(out, want) {
		t.Errorf("said: %q, want %q", out, want)
	}
}

// When the time of all of them is over, those that are left are tried all the same, each for a moment only.
func TestRunEnds(t *testing.T) {
	var out said
	done := false
	Run([]Step{{"agent", time.Hour, forEver}, {"sync", time.Hour, forEver}, {"unmount", time.Hour,
		func() error { done = true; return nil }}},
		10*time.Millisecond, out.say)
	if want := (said{"agent: not done after 1s; going on", "sync: not done after 1s; going on"}); !slices.Equal(out, want) || !done {
		t.Errorf("said: %q, want %q; the last was done: %v", out, want, done)
	}
}

// What the kernel refuses, does not end, or takes and does not carry out, is followed by the next.
func TestLast(t *testing.T) {
	var out said
	Last([]Step{{"reboot(2)", 10 * time.Millisecond, forEver}, {"kexec", time.Minute, func() error { return errors.New("refused") }},
		{"sysrq o", 10 * time.Millisecond, func() error { return nil }}}, out.say)
	for i, want := range []string{"reboot(2): not done after", "kexec: refused", "sysrq o: not done after"} {
		if i >= len(out) || !strings.HasPrefix(out[i], want) {
			t.Fatalf("said: %q, want %q as number %d", out, want, i)
		}
	}
}
