package edit

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"hardnode.dev/internal/wire/firewall"
	"hardnode.dev/internal/wire/operator"
)

// walls are the steps of layers whose firewall is to be another one. It is no node's: all have it a moment after the edit is accepted, and
// what was connected and is denied from then on ends. Layers that are new or go are told by their nodes' steps.
func walls(in Input) (steps []operator.EditStep) {
	for i, l := range in.Want.Layers {
		at := slices.IndexFunc(in.Have.Layers, func(o operator.LayerSpec) bool { return o.Name == l.Name })
		if at < 0 {
			continue
		}
		if said := ruled(in.Have.Layers[at].Firewall, l.Firewall); said != "" {
			steps = append(steps, step(operator.EditChange, l.Name, 0, 0, fmt.Sprintf("rules of layer %s: %s", l.Name, said),
				fmt.Sprintf("/layers/%d/firewall", i)))
		}
	}
	return steps
}

// ruled says what becomes of a list of rules that is to be another one; "": nothing. In which order they are written does not count.
func ruled(was, want []firewall.PacketRule) string {
	find := func(list []firewall.PacketRule, name string) *firewall.PacketRule {
		if i := slices.IndexFunc(list, func(r firewall.PacketRule) bool { return r.Name == name }); i >= 0 {
			return &list[i]
		}
		return nil
	}
	var added, changed, removed []string
	for _, r := range want {
		switch o := find(was, r.Name); {
		case o == nil:
			added = append(added, r.Name)
		case !alike(*o, r):
			changed = append(changed, r.Name)
		}
	}
	for _, r := range was {
		if find(want, r.Name) == nil {
			removed = append(removed, r.Name)
		}
	}
	var out []string
	for _, p := range []struct {
		names []string
		what  string
	}{{added, "added"}, {changed, "changed"}, {removed, "removed"}} {
		if len(p.names) > 0 {
			slices.Sort(p.names)
			out = append(out, fmt.Sprintf("%d %s (%s)", len(p.names), p.what, strings.Join(p.names, ", ")))
		}
	}
	return strings.Join(out, ", ")
}

// alike tells whether two rules are the same; no ports and an empty list of them are.
func alike(a, b firewall.PacketRule) bool {
	if len(a.Ports) == 0 && len(b.Ports) == 0 {
		a.Ports, b.Ports = nil, nil
	}
	return reflect.DeepEqual(a, b)
}
