package accesslog

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// started is a log that is written until the test ends, or stop.
func started(t *testing.T, dir string, keep func(string) bool) (l *Log, stop func()) {
	t.Helper()
	l = New(dir, keep, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return l, stop
}

func read(t *testing.T, dir, name string, tail int) (out []Entry) {
	t.Helper()
	var b strings.Builder
	if err := Read(t.Context(), &b, dir, name, tail, false); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		var e Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		out = append(out, e)
	}
	return out
}

// TestLines: what was added is read, the end of it or all, each environment's by itself.
func TestLines(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "access")
	l, stop := started(t, dir, nil)
	for i := range 10 {
		l.Add("a.1", Entry{Path: fmt.Sprint("/", i)})
	}
	l.Add("a.2", Entry{Path: "/other"})
	stop()
	if got := read(t, dir, "a.1", 0); len(got) != 10 || got[0].Path != "/0" {
		t.Errorf("all: %+v", got)
	}
	if got := read(t, dir, "a.1", 3); len(got) != 3 || got[0].Path != "/7" || got[2].Path != "/9" {
		t.Errorf("the last three: %+v", got)
	}
	if got := read(t, dir, "a.2", 99); len(got) != 1 {
		t.Errorf("another's: %+v", got)
	}
	if got := read(t, dir, "b.1", 0); len(got) != 0 {
		t.Errorf("of one that has none: %+v", got)
	}
	if Read(t.Context(), io.Discard, dir, "../a.1", 0, false) == nil {
		t.Error("a name leads out of the directory")
	}
}

// TestRotation: no environment has more than two files' worth, and no line is cut where one file ends.
func TestRotation(t *testing.T) {
	dir := t.TempDir()
	l := New(dir, nil, nil)
	long := strings.Repeat("x", 1000)
	n := 3 * MaxFile / 1200
	for i := range n {
		if err := l.write(line{"a.1", Entry{Path: fmt.Sprint(i), Agent: long}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.flush(); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{l.path("a.1"), before(l.path("a.1"))} {
		if info, err := os.Stat(p); err != nil || info.Size() > MaxFile {
			t.Errorf("%s: %v, %d bytes", p, err, info.Size())
		}
	}
	got := read(t, dir, "a.1", 0)
	if len(got) < MaxFile/1300 || got[len(got)-1].Path != fmt.Sprint(n-1) {
		t.Errorf("%d lines are kept", len(got))
	}
	for i, e := range got {
		if want := fmt.Sprint(n - len(got) + i); e.Path != want {
			t.Fatalf("line %d is %s, want %s", i, e.Path, want)
		}
	}
}

// TestLast: each number of last lines is right over two files, where blocks end in the middle of lines too.
func TestLast(t *testing.T) {
	dir := t.TempDir()
	text := func(from, to int) string {
		var b strings.Builder
		for i := from; i < to; i++ {
			fmt.Fprintf(&b, "{\"path\":\"%d\",\"agent\":%q}\n", i, strings.Repeat("x", i%7*5000))
		}
		return b.String()
	}
	for name, part := range map[string]string{"a.1.log.1": text(0, 30), "a.1.log": text(30, 50), "b.1.log": "", "c.1.log.1": text(0, 3)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(part), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, all := range map[string]int{"a.1": 50, "b.1": 0, "c.1": 3, "none.1": 0} {
		for n := range 55 {
			want := text(max(0, all-n), all)
			if n == 0 {
				want = text(0, all)
			}
			var got bytes.Buffer
			if err := Read(t.Context(), &got, dir, name, n, false); err != nil || got.String() != want {
				t.Errorf("the last %d lines of %s: %v, %d bytes, want %d", n, name, err, got.Len(), len(want))
			}
		}
	}
}

// TestFollow: lines come as they are written, over the change of files too, until nobody follows.
func TestFollow(t *testing.T) {
	dir := t.TempDir()
	l, _ := started(t, dir, nil)
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- Read(ctx, w, dir, "a.1", 0, true) }()
	lines := bufio.NewReader(r)
	long := strings.Repeat("x", 100_000)
	l.Add("a.1", Entry{Path: "0", Agent: long})
	for i := range 60 { // more than a file
		if i == 1 { // it is followed by now
			for j := range 59 {
				l.Add("a.1", Entry{Path: fmt.Sprint(j + 1), Agent: long})
			}
		}
		text, err := lines.ReadString('\n')
		var e Entry
		if err != nil || json.Unmarshal([]byte(text), &e) != nil || e.Path != fmt.Sprint(i) {
			t.Fatalf("line %d: %v, %.40q", i, err, text)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestForgets: what nobody wants any more goes, and of the rest the oldest when all take too much.
func TestForgets(t *testing.T) {
	dir := t.TempDir()
	old := time.Now().Add(-time.Hour)
	for i, name := range []string{"a.1.log", "a.1.log.1", "gone.1.log", "b.1.log.1"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if name == "b.1.log.1" {
			if err := os.Truncate(path, MaxAll); err != nil { // a hole: it takes no room here
				t.Fatal(err)
			}
		}
		if err := os.Chtimes(path, old, old.Add(time.Duration(i)*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(filepath.Join(dir, "b.1.log.1"), old, old.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	l := New(dir, func(name string) bool { return name != "gone.1" }, nil)
	if err := l.look(); err != nil {
		t.Fatal(err)
	}
	var left []string
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if got := strings.Join(left, " "); got != "a.1.log a.1.log.1" {
		t.Errorf("there are left %s", got)
	}
}

// TestLost: an entry beyond what waits is counted, and nobody waits for it.
func TestLost(t *testing.T) {
	l := New(t.TempDir(), nil, nil)
	for range waiting + 5 {
		l.Add("a.1", Entry{})
	}
	if n := l.lost.Load(); n != 5 {
		t.Errorf("%d are lost, want 5", n)
	}
}

// TestFull: while the disk is full, lines are lost and counted, and no half of one stays; when there is room again, lines are kept again.
func TestFull(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("mount a small filesystem: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	l := New(dir, nil, nil)
	const all = 2000
	added := 0
	add := func(n int) {
		for range n {
			l.write(line{"a.1", Entry{Path: fmt.Sprint("/", added)}})
			added++
		}
		l.flush()
	}
	add(all)
	if l.lost.Load() == 0 {
		t.Fatal("all of it found room: the test tests nothing")
	}
	kept := read(t, dir, "a.1", 0)
	if n := len(kept) + int(l.lost.Load()); n != all {
		t.Errorf("%d lines are kept and %d lost, want %d together", len(kept), l.lost.Load(), all)
	}
	for i, e := range kept[:100] {
		if e.Path != fmt.Sprint("/", i) {
			t.Fatalf("line %d is %q", i, e.Path)
		}
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "size=1m"); err != nil {
		t.Fatal(err)
	}
	lost := l.lost.Load()
	add(10)
	if got := read(t, dir, "a.1", 0); len(got) != len(kept)+10 || got[len(got)-1].Path != fmt.Sprint("/", all+9) || l.lost.Load() != lost {
		t.Errorf("with room again %d lines are kept, %d before, and %d lost", len(got), len(kept), l.lost.Load()-lost)
	}
}
