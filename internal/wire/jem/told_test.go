package jem

import (
	"strings"
	"testing"
)

func TestFull(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct {
		used, limit int64
		want        bool
	}{{0, 0, false}, {gib, 0, false}, {96 * gib, 100 * gib, false}, {97 * gib, 100 * gib, true}, {1 << 62, 1 << 62, true}, {1 << 40, gib,
		true}} {
		if got := (Told{DiskUsed: c.used, DiskLimit: c.limit}).Full(); got != c.want {
			t.Errorf("%d of %d: %v", c.used, c.limit, got)
		}
	}
}

func TestToldNow(t *testing.T) {
	want := Told{Key: "a b", DiskUsed: 1, DiskLimit: 2, Memory: 3, MilliCPU: 4}
	t.Setenv(ToldBy, want.Encode())
	if got, err := ToldNow(); got != want || err != nil {
		t.Errorf("got %+v %v", got, err)
	}
	t.Setenv(ToldBy, "")
	if got, err := ToldNow(); got != (Told{}) || err != nil {
		t.Errorf("nothing: %+v %v", got, err)
	}
	for _, c := range []struct{ text, why string }{{"{", "HARDNODE_JEM"}, {`{"key":"\u0007"}`, "can't be printed"},
		{`{"key":"` + strings.Repeat("k", 129) + `"}`, "at most 128"}} {
		t.Setenv(ToldBy, c.text)
		if _, err := ToldNow(); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%.20s: %v", c.text, err)
		}
	}
}
