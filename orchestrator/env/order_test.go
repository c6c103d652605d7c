package env

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
)

// ordered is a spec whose layers are "name: those before it".
func ordered(layers ...string) operator.EnvironmentSpec {
	s := operator.EnvironmentSpec{Version: 1, Name: "hello"}
	for _, text := range layers {
		name, after, _ := strings.Cut(text, ":")
		l := operator.LayerSpec{Name: wire.LayerName(name), Template: "nginx", Nodes: 1, Cloudlets: wire.Cloudlets{Dynamic: 1}}
		for _, a := range strings.Fields(after) {
			l.After = append(l.After, wire.LayerName(a))
		}
		s.Layers = append(s.Layers, l)
	}
	return s
}

func TestOrder(t *testing.T) {
	for _, c := range []struct {
		layers []string
		object string // of the first problem; "": none
		reason string
		depth  int
	}{
		{[]string{"cp", "sqldb"}, "", "", 1},
		{[]string{"bl:cp", "cp:sqldb cache", "sqldb", "cache"}, "", "", 3},
		{[]string{"cp:cp"}, "layers[0].after[0]", "after itself", 1},
		{[]string{"cp:nosuch"}, "layers[0].after[0]", `no layer "nosuch"`, 1},
		{[]string{"bl", "cp:bl bl"}, "layers[1].after[1]", "twice", 2},
		{[]string{"a:b", "b:a"}, "layers[0].after", "a → b → a", 1},
		{[]string{"x:b", "a:b", "b:c", "c:b"}, "layers[2].after", "b → c → b", 1},
		{[]string{"a", "b:a d", "c:b", "d:c"}, "layers[1].after", "b → d → c → b", 1},
	} {
		s := ordered(c.layers...)
		p := Validate(s)
		switch {
		case c.object == "" && p != nil, c.object != "" && (p == nil || p.Object != c.object || !strings.Contains(p.Reason, c.reason)):
			t.Errorf("%v: %v, want %s %s", c.layers, p, c.object, c.reason)
		case p != nil && len(p.Errors) > 1:
			t.Errorf("%v: one mistake is said as %d: %+v", c.layers, len(p.Errors), p.Errors)
		}
		if got := Depth(s); got != c.depth {
			t.Errorf("%v start in %d turns, want %d", c.layers, got, c.depth)
		}
	}
}

// Whatever layers name: either each has a turn behind all those before it, or a way back to itself is said, each step of which is in the
// spec.
func TestStages(t *testing.T) {
	circles := 0
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "layers")
		var layers []string
		for i := range n {
			text := fmt.Sprintf("l%d:", i)
			for j := range n {
				if j != i && rapid.IntRange(0, 4).Draw(t, "before") == 0 {
					text += fmt.Sprintf(" l%d", j)
				}
			}
			layers = append(layers, text)
		}
		s := ordered(layers...)
		stages, p := Stages(s), Validate(s)
		if p == nil {
			for _, l := range s.Layers {
				for _, b := range l.After {
					if stages[b] < 1 || stages[l.Name] <= stages[b] {
						t.Fatalf("layer %s has turn %d, %s before it turn %d", l.Name, stages[l.Name], b, stages[b])
					}
				}
			}
			return
		}
		circles++
		_, way, _ := strings.Cut(p.Reason, ": ")
		steps := strings.Split(way, " → ")
		if len(steps) < 3 || steps[0] != steps[len(steps)-1] {
			t.Fatalf("%s is no way from a layer to itself", p.Reason)
		}
		for i := range steps[1:] {
			found := false
			for _, b := range layerOf(s, wire.LayerName(steps[i])).After {
				found = found || string(b) == steps[i+1]
			}
			if !found {
				t.Fatalf("%s: %s does not start after %s", p.Reason, steps[i], steps[i+1])
			}
		}
	})
	if circles == 0 {
		t.Error("no circle was drawn: it showed nothing")
	}
}
