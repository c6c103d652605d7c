package ring

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestCarry: a log is elsewhere what it was, as much of its end as fits, and goes on there.
func TestCarry(t *testing.T) {
	for name, lines := range map[string]int{"none": 0, "some": 3, "both files": 180} {
		t.Run(name, func(t *testing.T) {
			from, to := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
			if lines > 0 {
				w, err := Open(from, clock(time.Second))
				if err != nil {
					t.Fatal(err)
				}
				for i := range lines {
					w.Line(Stdout, fmt.Appendf(nil, "%d %s", i, strings.Repeat("x", 8000)))
				}
				w.Close()
			}
			var b bytes.Buffer
			if err := Send(from, &b); err != nil {
				t.Fatal(err)
			}
			if n, err := Bytes(from); err != nil || n != int64(b.Len()) {
				t.Errorf("it has %d bytes, %v; %d were sent", n, err, b.Len())
			}
			if err := Take(to, &b); err != nil {
				t.Fatal(err)
			}
			want := all(t, from, 0)
			got := all(t, to, 0)
			if len(want) < min(lines, 129) || len(got) < len(want)-1 || !slices.Equal(got, want[len(want)-len(got):]) {
				t.Errorf("%d of %d lines are there, or others", len(got), len(want))
			}
			w, err := Open(to, clock(time.Second))
			if err != nil {
				t.Fatal(err)
			}
			w.Line(Stderr, []byte("there"))
			w.Close()
			if got = all(t, to, 2); got[len(got)-1] != "e there" || lines > 0 && got[0] != want[len(want)-1] {
				t.Errorf("it goes on as %.40q", got)
			}
		})
	}
}

// TestTakeBounded: whatever comes, a log has two files of bounded size.
func TestTakeBounded(t *testing.T) {
	for _, b := range [][]byte{bytes.Repeat([]byte("x"), 5*FileBytes), bytes.Repeat([]byte("1 o y\n"), FileBytes), nil} {
		dir := t.TempDir()
		if err := Take(dir, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
		if n, err := Bytes(dir); err != nil || n > 2*FileBytes || len(b) > 0 && n < 2*FileBytes-100 {
			t.Errorf("%d bytes, %v, of %d", n, err, len(b))
		}
	}
}
