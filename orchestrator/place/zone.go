package place

import (
	"fmt"
	"slices"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

// zone is where a host is that has these labels; those that are in none are in one zone together, "".
func zone(labels map[string]string) string { return labels[operator.ZoneLabel] }

func (h *Host) zone() string { return zone(h.Labels) }

// inZone counts a host into its zone, or out of it.
func (b *Board) inZone(s *slot, by int) {
	if s.Role != host.RoleUser {
		return
	}
	if b.zones == nil {
		b.zones = map[string]int{}
	}
	if b.zones[s.zone()] += by; b.zones[s.zone()] == 0 {
		delete(b.zones, s.zone())
	}
}

// census is how many nodes of a layer each zone has.
type census map[string]int

// census counts the nodes of a node's layer, but for the one whose place it takes.
func (b *Board) census(n Node) census {
	in := census{}
	for _, at := range b.layers[n.Layer] {
		s := b.slots[at]
		in[s.zone()] += s.Layers[n.Layer]
		if s.ID == n.For {
			in[s.zone()]--
		}
	}
	return in
}

// counts are the numbers of nodes that zones have, ascending, each once.
func (b *Board) counts(in census) []int {
	out := make([]int, 0, len(b.zones))
	for z := range b.zones {
		out = append(out, in[z])
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Evener is the host that would spread a node's layer better than the host that it is on, and how; false: there is none that fits. First
// comes a zone that has at least two nodes of the layer fewer, then, from a host that has several of them, a host that has none and whose
// zone would not have more than that of the other one has. What it finds never undoes what it found before.
func (b *Board) Evener(n Node, from wire.HostID) (to wire.HostID, why string, ok bool) {
	at, there := b.at[from]
	if !there || !b.slots[at].listed {
		return "", "", false
	}
	n.For = ""
	f, in := b.slots[at], b.census(n)
	have := in[f.zone()]
	for _, few := range b.counts(in) {
		if few+1 >= have {
			break
		}
		if to := b.bestIn(n, in, func(s *slot) bool { return in[s.zone()] == few }); to >= 0 {
			t := b.slots[to]
			why = fmt.Sprintf("the zone of host %s has %d of its nodes, that of host %s has room and %d", f.Name, have, t.Name, few)
			return t.ID, why, true
		}
	}
	if f.Layers[n.Layer] < 2 {
		return "", "", false
	}
	for _, few := range b.counts(in) {
		if few > have {
			break
		}
		to := b.fresh(n, func(s *slot) bool { return in[s.zone()] == few && (few < have || s.zone() == f.zone()) })
		if to >= 0 {
			t := b.slots[to]
			return t.ID, fmt.Sprintf("host %s has %d of its nodes, host %s has room and none", f.Name, f.Layers[n.Layer], t.Name), true
		}
	}
	return "", "", false
}

// ZoneOf is a host's zone, "" if it is in none.
func (b *Board) ZoneOf(id wire.HostID) string {
	if at, there := b.at[id]; there {
		return b.slots[at].zone()
	}
	return ""
}
