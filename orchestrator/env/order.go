package env

import (
	"fmt"
	"slices"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
)

// order says what is wrong with the layers that others start after. A circle is said with its way, once.
func order(s operator.EnvironmentSpec) (found []*operator.Problem) {
	for i, l := range s.Layers {
		for j, name := range l.After {
			at, why, next := fmt.Sprintf("layers[%d].after[%d]", i, j), "", "name a layer of this file"
			switch {
			case name == l.Name:
				why, next = fmt.Sprintf("layer %q would start after itself", l.Name), "leave it out"
			case slices.Contains(l.After[:j], name):
				why, next = fmt.Sprintf("layer %q is there twice", name), "name each layer once"
			case !slices.ContainsFunc(s.Layers, func(o operator.LayerSpec) bool { return o.Name == name }):
				why = fmt.Sprintf("there is no layer %q", name)
			default:
				continue
			}
			found = append(found, operator.NewProblem(operator.Invalid, at, why, next))
		}
	}
	if len(found) > 0 {
		return found
	}
	stages := Stages(s)
	for i, l := range s.Layers {
		if stages[l.Name] > 0 {
			continue
		}
		way := []wire.LayerName{l.Name} // each layer without a stage starts after another one without
		for {
			last := layerOf(s, way[len(way)-1])
			next := last.After[slices.IndexFunc(last.After, func(n wire.LayerName) bool { return stages[n] == 0 })]
			if at := slices.Index(way, next); at > 0 {
				break // the circle is further on: another layer of it says so
			} else if at == 0 {
				text := make([]string, len(way))
				for k := range way {
					text[k] = string(way[k])
				}
				return []*operator.Problem{operator.NewProblem(operator.Invalid, fmt.Sprintf("layers[%d].after", i),
					fmt.Sprintf("layers would wait for each other: %s → %s", strings.Join(text, " → "), l.Name),
					"leave out one of them")}
			}
			way = append(way, next)
		}
	}
	return nil
}

func layerOf(s operator.EnvironmentSpec, name wire.LayerName) operator.LayerSpec {
	for _, l := range s.Layers {
		if l.Name == name {
			return l
		}
	}
	return operator.LayerSpec{}
}

// Stages is in which turn each layer of a spec starts, from 1: behind all those that it starts after. Layers that wait for each other have
// none.
func Stages(s operator.EnvironmentSpec) map[wire.LayerName]int {
	out := make(map[wire.LayerName]int, len(s.Layers))
	for range s.Layers {
		for _, l := range s.Layers {
			stage := 1
			for _, name := range l.After {
				if out[name] == 0 {
					stage = 0
					break
				}
				stage = max(stage, out[name]+1)
			}
			if stage > 0 {
				out[l.Name] = stage
			}
		}
	}
	return out
}

// Depth is how many turns a spec's layers start in, 1 at least.
func Depth(s operator.EnvironmentSpec) int {
	most := 1
	for _, n := range Stages(s) {
		most = max(most, n)
	}
	return most
}

// Ordered tells whether a layer starts after another.
func Ordered(s operator.EnvironmentSpec) bool {
	return slices.ContainsFunc(s.Layers, func(l operator.LayerSpec) bool { return len(l.After) > 0 })
}
