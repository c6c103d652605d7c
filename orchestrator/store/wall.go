package store

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/firewall"
	"hardnode.dev/internal/wire/operator"
)

// Wall is the firewall of a layer's nodes, or what one of them has beside it. It stays when the node is replaced.
type Wall struct {
	Name  string                `json:"name"` // "cp" is all of layer cp, "cp/2" its second node
	Rules []firewall.PacketRule `json:"rules"`
}

func wallOf(layer wire.LayerName, node int) string {
	if node == 0 {
		return string(layer)
	}
	return fmt.Sprintf("%s/%d", layer, node)
}

// Rules are those of a layer's node by its number from 1, or of all its nodes (0).
func (e *Environment) Rules(layer wire.LayerName, node int) []firewall.PacketRule {
	for _, w := range e.Walls {
		if w.Name == wallOf(layer, node) {
			return w.Rules
		}
	}
	return nil
}

// RenameIn is firewalls whose rules that name an environment name it by its other name, and whether there are any.
func RenameIn(list []Wall, from, to wire.EnvName) (out []Wall, some bool) {
	out = slices.Clone(list)
	for i, w := range out {
		out[i].Rules = firewall.Renamed(w.Rules, from, to)
		some = some || !slices.EqualFunc(w.Rules, out[i].Rules, func(a, b firewall.PacketRule) bool { return a.Peer == b.Peer })
	}
	return out, some
}

// SetRules replaces Rules.
func (e *Environment) SetRules(layer wire.LayerName, node int, rules []firewall.PacketRule) {
	name := wallOf(layer, node)
	e.Walls = slices.DeleteFunc(slices.Clone(e.Walls), func(w Wall) bool { return w.Name == name })
	if len(rules) > 0 {
		e.Walls = append(e.Walls, Wall{name, rules})
	}
	if len(e.Walls) == 0 {
		e.Walls = nil
	}
}

// Declared is the spec as people write it: with the rules of its layers, which the record keeps in Walls.
func (e *Environment) Declared() operator.EnvironmentSpec {
	out := e.Spec
	out.Layers = slices.Clone(out.Layers)
	for i := range out.Layers {
		out.Layers[i].Firewall = e.Rules(out.Layers[i].Name, 0)
	}
	return out
}

// Declare makes the spec one as people write it, and the rules of its layers those that it says: there are no others. It returns those
// that were, nil: they are the same.
func (e *Environment) Declare(spec operator.EnvironmentSpec) (was *Walls) {
	before := e.ofLayers()
	for _, w := range before {
		e.SetRules(wire.LayerName(w.Name), 0, nil)
	}
	e.Spec = spec
	e.Spec.Layers = slices.Clone(spec.Layers)
	for i, l := range e.Spec.Layers {
		e.SetRules(l.Name, 0, l.Firewall)
		e.Spec.Layers[i].Firewall = nil
	}
	if reflect.DeepEqual(before, e.ofLayers()) {
		return nil
	}
	return &Walls{before}
}

// Walls are the firewalls of all layers that have rules.
type Walls struct {
	List []Wall `json:"list"`
}

// Restore brings the firewalls of layers back that Declare returned.
func (e *Environment) Restore(was Walls) {
	for _, w := range e.ofLayers() {
		e.SetRules(wire.LayerName(w.Name), 0, nil)
	}
	for _, w := range was.List {
		e.SetRules(wire.LayerName(w.Name), 0, w.Rules)
	}
}

// ofLayers are the firewalls of layers, by name.
func (e *Environment) ofLayers() (out []Wall) {
	for _, w := range e.Walls {
		if !strings.Contains(w.Name, "/") {
			out = append(out, w)
		}
	}
	slices.SortFunc(out, func(a, b Wall) int { return strings.Compare(a.Name, b.Name) })
	return out
}
