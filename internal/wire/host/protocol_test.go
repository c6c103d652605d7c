package host

import "testing"

func TestProtocols(t *testing.T) {
	for _, c := range []struct {
		ours, theirs string
		want         int // 0: none
	}{
		{"1", "", 1},
		{"1", "1", 1},
		{"1-2", "", 1},
		{"1-2", "1", 1},
		{"1-2", "2-3", 2},
		{"2-3", "1-2", 2},
		{"1-9", "3-5", 5},
		{"2", "1", 0},
		{"2-3", "", 0},
		{"1-2", "3-4", 0},
	} {
		ours, err := ParseProtocols(c.ours)
		theirs, err2 := ParseProtocols(c.theirs)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		got, ok := ours.Agree(theirs)
		if back, _ := theirs.Agree(ours); ok != (c.want > 0) || ok && (got != c.want || back != got) {
			t.Errorf("%s and %q agree on %d (%v), want %d", c.ours, c.theirs, got, ok, c.want)
		}
	}
	for _, bad := range []string{"0", "-1", "1-", "2-1", "x", "1-2-3", "1 ", "70000", "+1"} {
		if p, err := ParseProtocols(bad); err == nil {
			t.Errorf("%q was read as %v", bad, p)
		}
	}
	for _, p := range []Protocols{{1, 1}, {2, 5}} {
		if got, err := ParseProtocols(p.String()); err != nil || got != p {
			t.Errorf("%v was written as %q and read as %v, %v", p, p, got, err)
		}
	}
	if n, ok := Spoken.Agree(Protocols{Spoken.Newest, Spoken.Newest + 1}); !ok || n != Spoken.Newest {
		t.Error("the next version can't speak with this one")
	}
}
