package store

import (
	"fmt"
	"slices"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/firewall"
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

// RenameIn has all rules that name an environment name it by its other name, and tells whether there are any.
func (e *Environment) RenameIn(from, to wire.EnvName) bool {
	some := false
	walls := slices.Clone(e.Walls)
	for i, w := range walls {
		walls[i].Rules = firewall.Renamed(w.Rules, from, to)
		some = some || !slices.EqualFunc(w.Rules, walls[i].Rules, func(a, b firewall.PacketRule) bool { return a.Peer == b.Peer })
	}
	if some {
		e.Walls = walls
	}
	return some
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
