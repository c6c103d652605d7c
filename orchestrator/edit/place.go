package edit

import (
	"fmt"
	"slices"
	"strings"

	"hardnode.dev/internal/wire/operator"
)

// places are the steps of layers that ask for other hosts than before. Nodes that are there stay where they are until they move, and the
// step says which of them would not be placed there again.
func places(in Input) (steps []operator.EditStep) {
	for i, l := range in.Want.Layers {
		at := slices.IndexFunc(in.Have.Layers, func(o operator.LayerSpec) bool { return o.Name == l.Name })
		if at < 0 || in.Have.Layers[at].Place.Same(l.Place) {
			continue
		}
		said := fmt.Sprintf("nodes of layer %s go to any host from now on", l.Name)
		if l.Place != nil {
			said = fmt.Sprintf("nodes of layer %s go to hosts with %s from now on", l.Name, l.Place)
		}
		steps = append(steps, step(operator.EditChange, l.Name, 0, 0, said+stays(in, l), fmt.Sprintf("/layers/%d/place", i)))
	}
	return steps
}

// stays says which nodes of a layer are on hosts that it does not ask for any more.
func stays(in Input, l operator.LayerSpec) string {
	var out []string
	for _, n := range in.Nodes {
		if n.Layer == l.Name && n.Index < l.Nodes && !l.Place.Takes(n.Labels) {
			out = append(out, n.CTID.String())
		}
	}
	const most = 5
	more := ""
	if len(out) > most {
		more = fmt.Sprintf(" and %d more", len(out)-most)
		out = out[:most]
	}
	switch {
	case len(out) == 0:
		return ""
	case len(out) == 1:
		return fmt.Sprintf("; node %s is on another host and stays there until it is moved", out[0])
	}
	return fmt.Sprintf("; nodes %s%s are on other hosts and stay there until they are moved", strings.Join(out, ", "), more)
}
