package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/qemu-tests/cluster"
)

func TestPlainDisplay(t *testing.T) {
	var b bytes.Buffer
	d := &display{out: &b, stop: func() {}}
	for _, p := range []cluster.Progress{
		{Phase: "boot host1"}, {Phase: "boot host2"}, {Phase: "boot host1", Detail: "log x"},
		{Phase: "boot host1", Done: true, Took: 9300 * time.Millisecond},
		{Phase: "boot host2", Done: true, Err: errors.New("x"), Took: time.Second},
	} {
		d.progress(p)
	}
	d.close()
	want := `         boot host1 …
         boot host2 …
         boot host1: log x
   9.3 s ✓ boot host1
   1.0 s ✗ boot host2
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestTerminalDisplayRedrawsItsBlock(t *testing.T) {
	var b bytes.Buffer
	d := &display{out: &b, terminal: true, width: 40, stop: func() {}}
	d.progress(cluster.Progress{Phase: "one"})
	d.progress(cluster.Progress{Phase: "two", Detail: strings.Repeat("long ", 20)})
	b.Reset()
	d.progress(cluster.Progress{Phase: "one", Done: true, Took: time.Second})
	if s := b.String(); !strings.HasPrefix(s, "\x1b[2A\r\x1b[J") || !strings.Contains(s, "✓ one\n") {
		t.Errorf("got %q, want the block of two lines removed and the finished line above", s)
	}
	for l := range strings.Lines(b.String()) {
		if n := len([]rune(strings.TrimSuffix(l, "\n"))); n > 60 {
			t.Errorf("line of %d characters: %q", n, l)
		}
	}
	d.close()
	if d.show.drawn != 0 {
		t.Errorf("%d lines stay after close", d.show.drawn)
	}
	b.Reset()
	d.close()
	if b.Len() > 0 {
		t.Errorf("closed once more, it writes %q over what came after it", b.String())
	}
}

func TestTimingTable(t *testing.T) {
	got := timingTable([]cluster.Timing{{Phase: "day 0", Begin: time.Second, Took: 1500 * time.Millisecond}}, 4*time.Second)
	if !strings.Contains(got, "     1.0 s     1.5 s  day 0\n") || !strings.Contains(got, "to the served page: 4.0 s") {
		t.Errorf("got %s", got)
	}
}

func TestNoEscapesInAFile(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := newDisplay(f)
	d.progress(cluster.Progress{Phase: "one"})
	d.say("two")
	d.progress(cluster.Progress{Phase: "one", Done: true, Took: time.Second})
	d.close()
	raw, err := os.ReadFile(f.Name())
	if want := "         one …\ntwo\n   1.0 s ✓ one\n"; err != nil || string(raw) != want {
		t.Errorf("got %q, %v, want %q", raw, err, want)
	}
}
