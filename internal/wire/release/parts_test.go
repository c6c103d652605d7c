package release

import (
	"crypto/sha256"
	"maps"
	"slices"
	"testing"

	"hardnode.dev/internal/wire"
)

func TestHot(t *testing.T) {
	of := func(text string) wire.Digest { return wire.DigestOf(sha256.Sum256([]byte(text))) }
	base := Parts{}
	for _, p := range []Part{Agent, Netd, Spawner, Console, JEM, KernelPart, Arguments, Modules, Stage1, Init, Root} {
		base[p] = of(string(p))
	}
	with := func(change ...Part) Parts {
		p := maps.Clone(base)
		for _, c := range change {
			p[c] = of("another " + string(c))
		}
		return p
	}
	without := func(name Part) Parts {
		p := maps.Clone(base)
		delete(p, name)
		return p
	}
	const needed = ", for which a reboot is needed"
	for _, c := range []struct {
		name     string
		from, to Parts
		programs []Part
		why      string
	}{
		{"the same", base, with(), nil, ""},
		{"one program", base, with(Agent), []Part{Agent}, ""},
		{"all programs, the agent last", base, with(Agent, Console, Netd, Spawner, JEM), []Part{JEM, Netd, Console, Spawner, Agent}, ""},
		{"the kernel too", base, with(Agent, KernelPart), nil, "it has another kernel" + needed},
		{"several", base, with(Init, KernelPart, Modules), nil, "it has another init, kernel, modules" + needed},
		{"a part that is not known here", base, with(Agent, "bootsplash"), nil, "it has another bootsplash" + needed},
		{"a part is gone", base, without(Root), nil, "it has another root" + needed},
		{"microcode came", base, with(Microcode), nil, "it has another microcode" + needed},
		{"a program came", without(JEM), base, []Part{JEM}, ""},
		{"a program is gone", base, without(Console), nil, "it has no console any more"},
		{"an old one runs", nil, base, nil, "the system that was booted does not say what it is made of"},
		{"an old one is wanted", base, nil, nil, "it does not say what it is made of"},
	} {
		programs, why := Hot(c.from, c.to)
		if !slices.Equal(programs, c.programs) || why != c.why {
			t.Errorf("%s: got %q, %q; want %q, %q", c.name, programs, why, c.programs, c.why)
		}
	}
	if err := base.Validate(); err != nil {
		t.Error(err)
	}
	for _, bad := range []Parts{{"": of("")}, {Agent: "sha256:12"}} {
		if bad.Validate() == nil {
			t.Errorf("%v is valid", bad)
		}
	}
}
