package operator

import (
	"fmt"
	"slices"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/firewall"
)

// EditPlan is what an edit of an environment does, in the order of its layers.
type EditPlan struct {
	Steps []EditStep `json:"steps"`
	// Grows is what the environment takes more than before, of what limits count; less than nothing: it takes less.
	Nodes     int   `json:"nodes" doc:"How many nodes more it has; negative: fewer"`
	Cloudlets int64 `json:"cloudlets" doc:"How many dynamic cloudlets more it may use"`
	DiskMiB   int64 `json:"diskMiB" doc:"How much more disk it may use"`
}

// KnowsHeader is a header of a PUT of an environment: the fields of a layer that its sender knows of those that came later, with commas
// between them. What a spec leaves out of these is meant to go.
const KnowsHeader = "Hardnode-Knows"

// Known is the KnowsHeader of who knows this version of the package.
const Known = "after, links, firewall, place"

// Unmeant is what an edit from one spec to another would take away though its sender may not know of it, nil if nothing; knows is their
// KnowsHeader. A client that reads a spec, changes what it knows and sends it back loses the rest.
func Unmeant(was, want EnvironmentSpec, knows string) *Problem {
	knowing := strings.FieldsFunc(knows, func(c rune) bool { return c == ',' || c == ' ' })
	for i, l := range want.Layers {
		at := slices.IndexFunc(was.Layers, func(o LayerSpec) bool { return o.Name == l.Name })
		if at < 0 {
			continue
		}
		for _, f := range []struct {
			name      string
			was, want []string
		}{{"after", named(was.Layers[at].After), named(l.After)}, {"links", named(was.Layers[at].Links), named(l.Links)},
			{"firewall", ruled(was.Layers[at].Firewall), ruled(l.Firewall)},
			{"place", was.Layers[at].Place.Lacks(nil), l.Place.Lacks(nil)}} {
			if len(f.was) > 0 && len(f.want) == 0 && !slices.Contains(knowing, f.name) {
				return NewProblem(Conflict, fmt.Sprintf("layers[%d].%s", i, f.name), fmt.Sprintf("layer %s has %s: %v and would lose it, "+
					"and the client does not say that it knows of that", l.Name, f.name, f.was),
					"use the hnctl of this version; with another client send the header "+KnowsHeader+": "+Known+" if it is meant")
			}
		}
	}
	return nil
}

func named(list []wire.LayerName) (out []string) {
	for _, l := range list {
		out = append(out, string(l))
	}
	return out
}

func ruled(list []firewall.PacketRule) (out []string) {
	for _, r := range list {
		out = append(out, r.Name)
	}
	return out
}

// EditStep is what an edit does to one node, or to a layer as a whole.
type EditStep struct {
	Kind   string         `json:"kind" enum:"add,resize,change,restart,redeploy,remove" doc:"add: it is made; resize: live; change: how it is reached or asked, or a layer's firewall or place, live; restart: its process begins anew, its files stay; redeploy: it is made anew from an image, volumes stay; remove: it goes with its data"`
	Layer  wire.LayerName `json:"layer"`
	Node   int            `json:"node" doc:"Its number in the layer, from 1; 0: the layer as a whole"`
	CTID   wire.CTID      `json:"ctid,omitempty" doc:"Absent: it is to be made, or it is the layer as a whole"`
	Fields []string       `json:"fields" doc:"JSON pointers of what changes in the spec; of what goes, of the layer or of the list of them"`
	Detail string         `json:"detail" doc:"What changes"`
	Outage string         `json:"outage" enum:"none,restart,down" doc:"restart: it does not answer from the end of the old process until the new one serves; down: for good"`
}

// The kinds of steps, from the least to the most that the node feels, and the outages.
const (
	EditAdd      = "add"
	EditChange   = "change"
	EditResize   = "resize"
	EditRestart  = "restart"
	EditRedeploy = "redeploy"
	EditRemove   = "remove"

	OutageNone    = "none"
	OutageRestart = "restart"
	OutageDown    = "down"
)
