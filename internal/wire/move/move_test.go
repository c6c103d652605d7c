package move

import (
	"strings"
	"testing"

	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) {
	golden.Wire[Part](t, "part")
	golden.Wire[State](t, "state")
}

func TestValidate(t *testing.T) {
	good := Part{ID: "op-1", Role: To, Peer: "h-0123456789ab", Phase: Copy, Rate: 1}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	if err := (*Part)(nil).Validate(); err != nil {
		t.Error(err)
	}
	for _, id := range []string{"a", "0", "op-1-", strings.Repeat("z", 64)} {
		if !isID(id) {
			t.Errorf("%q is none", id)
		}
	}
	for _, id := range []string{"-a", "A", "a b", "a\n", "\xff", "é", "a/b", "a.b", "a_b", strings.Repeat("z", 65)} {
		if isID(id) {
			t.Errorf("%q is one", id)
		}
	}
	for want, change := range map[string]func(*Part){
		`id "": want`:      func(p *Part) { p.ID = "" },
		`id "../x": want`:  func(p *Part) { p.ID = "../x" },
		`role "" is not`:   func(p *Part) { p.Role = "" },
		`phase "x" is not`: func(p *Part) { p.Phase = "x" },
		"peer: host id":    func(p *Part) { p.Peer = "x" },
		"rate -1":          func(p *Part) { p.Rate = -1 },
	} {
		p := good
		change(&p)
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// Whatever the phases of the two hosts are while one has heard of the next and the other has not, no two of them may run it.
func TestStill(t *testing.T) {
	for _, c := range []struct {
		part          *Part
		arrived, want bool
	}{
		{nil, false, false},
		{&Part{Role: From, Phase: Copy}, false, false},
		{&Part{Role: From, Phase: Last}, false, true},
		{&Part{Role: From, Phase: Last}, true, true},
		{&Part{Role: To, Phase: Copy}, false, true},
		{&Part{Role: To, Phase: Copy}, true, true},
		{&Part{Role: To, Phase: Last}, false, true},
		{&Part{Role: To, Phase: Last}, true, false},
	} {
		if got := c.part.Still(c.arrived); got != c.want {
			t.Errorf("%+v, arrived %v: still %v", c.part, c.arrived, got)
		}
	}
}
