package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPhases(t *testing.T) {
	var told []Progress
	p := phases{begin: time.Now(), tell: func(x Progress) { told = append(told, x) }}
	if err := p.run("one", func(detail detail) error { detail("half %d", 2); return nil }); err != nil {
		t.Fatal(err)
	}
	cause := errors.New("no bread")
	if err := p.run("two", func(detail) error { return cause }); !errors.Is(err, cause) || !strings.HasPrefix(err.Error(), "two: ") {
		t.Errorf("got %v, want the cause with the phase's name", err)
	}
	var seen []string
	for _, x := range told {
		s := x.Phase + " " + x.Detail
		if x.Done {
			s += "done"
		}
		if x.Err != nil {
			s += " " + x.Err.Error()
		}
		seen = append(seen, s)
	}
	if want := []string{"one ", "one half 2", "one done", "two ", "two done no bread"}; !slices.Equal(seen, want) {
		t.Errorf("told %q, want %q", seen, want)
	}
	if list := p.timings(); len(list) != 2 || list[0].Phase != "one" {
		t.Errorf("timings are %+v", list)
	}
}

func TestLines(t *testing.T) {
	var got []string
	l := &lines{each: func(s string) { got = append(got, s) }}
	for _, part := range []string{"on", "e\n\x1b[1mtwo\x1b[0m\r\n\n", "thr", "ee\nfour"} {
		l.Write([]byte(part))
	}
	if want := []string{"one", "two", "three"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if last := l.last(); last[len(last)-1] != "four" {
		t.Errorf("the unfinished line is lost: %q", last)
	}
}

func TestDirIsTakenOnceAndClearedWithCare(t *testing.T) {
	dir := t.TempDir()
	unlock, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockDir(dir); err == nil ||
		!strings.Contains(err.Error(), fmt.Sprintf("another cluster runs in it, process %d;", os.Getpid())) {
		t.Errorf("a second cluster in the same folder: got %v", err)
	}
	unlock()
	for _, name := range []string{"host1.disk", "thesis.txt", "logs/host1.log"} {
		os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700)
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := clear(dir); err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, "*"))
	for i := range left {
		left[i] = filepath.Base(left[i])
	}
	if want := []string{"lock", "thesis.txt"}; !slices.Equal(left, want) {
		t.Errorf("left are %q, want %q", left, want)
	}
}

// TestKeepTakesUpOnlyWhatIsWhole: what a run left that ended in the middle of day 0 is no state to go on with.
func TestKeepTakesUpOnlyWhatIsWhole(t *testing.T) {
	for _, c := range []struct {
		name string
		made bool
		left []string
	}{
		{"day 0 was made", true, []string{"host-1.disk", "jls", "lock", "logs", madeFile}},
		{"day 0 was interrupted", false, []string{"lock", "logs"}},
	} {
		dir := t.TempDir()
		for name, there := range map[string]bool{"jls/root.key": true, "host-1.disk": true, madeFile: c.made} {
			if !there {
				continue
			}
			os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700)
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		p, err := prepare(t.Context(), Options{Dir: dir, Keep: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		var left []string
		list, _ := os.ReadDir(dir)
		for _, e := range list {
			left = append(left, e.Name())
		}
		if !slices.Equal(left, c.left) {
			t.Errorf("%s: left are %q, want %q", c.name, left, c.left)
		}
	}
}

func TestMakeSaysWhatFailed(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Makefile"), []byte("x:\n\t@echo working; echo broken >&2; exit 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := Make(t.Context(), dir, "x", func(_ string, args ...any) { got = append(got, args[0].(string)) })
	if err == nil || !strings.Contains(err.Error(), "make x") || !strings.Contains(err.Error(), "broken") {
		t.Errorf("got %v, want the target and its last lines", err)
	}
	if !slices.Contains(got, "working") {
		t.Errorf("lines shown are %q", got)
	}
}
