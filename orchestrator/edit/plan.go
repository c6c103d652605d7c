// Package edit decides what becomes of an environment whose spec is to be another one.
//
// Owns: what a change of each field does to a node that is there, the outage of it, and what is refused.
// In: the environment's spec, its nodes as placed, the wanted spec, the templates there are.
// Out: the steps; each node as it shall be; Problems that name the field.
// Never: places a node, stores, or does what it plans: converge does, one node after the other.
package edit

import (
	"fmt"
	"slices"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
)

// Placed is a node that is there, with the spec of its layer that it is made of.
type Placed struct {
	CTID wire.CTID
	Of   operator.LayerSpec
	env.Node
	Former *Placed           // it, or another node of its layer, before its last redeploy; nil: there is nothing to go back to
	Labels map[string]string // of the host that it is on
}

// Input is all that a plan follows from.
type Input struct {
	Account    wire.Account
	Have, Want operator.EnvironmentSpec
	Nodes      []Placed
	Templates  env.Templates
	// RemoveData: nodes with volumes, and volumes, may go with what is in them.
	RemoveData bool
}

// Kept is a node that stays, before and after.
type Kept struct {
	CTID    wire.CTID
	Was, Is env.Node
}

// Plan is the steps from what is to what is wanted, the nodes that stay and those that are made; or all that is refused.
func Plan(in Input) (plan operator.EditPlan, kept []Kept, added []env.Node, refused *operator.Problem) {
	if refused = env.Validate(in.Want); refused != nil {
		return plan, nil, nil, refused
	}
	ports := serves(in)
	in.Want = env.LinkAs(in.Account, in.Want, in.Templates, ports)
	plan.Steps = []operator.EditStep{}
	var found []*operator.Problem
	bad := func(code operator.Code, object, reason, next string) {
		found = append(found, operator.NewProblem(code, object, reason, next))
	}
	if in.Want.Name != in.Have.Name {
		bad(operator.Invalid, "name", fmt.Sprintf("the environment's name is %q: an edit does not change it", in.Have.Name),
			"write name: "+string(in.Have.Name))
	}
	wanted, problem := env.Expand(in.Account, in.Want, in.Templates)
	if problem != nil {
		found = append(found, problem)
		return plan, nil, nil, operator.All(found)
	}
	grow := func(n env.Node, by int64) {
		plan.Nodes += int(by)
		plan.Cloudlets += by * int64(n.Cloudlets.Dynamic)
		plan.DiskMiB += by * (env.DiskOf(n.Container) >> 20)
	}
	left := slices.Clone(in.Nodes)
	take := func(layer wire.LayerName, index int) (Placed, bool) {
		i := slices.IndexFunc(left, func(n Placed) bool { return n.Layer == layer && n.Index == index })
		if i < 0 {
			return Placed{}, false
		}
		n := left[i]
		left = slices.Delete(left, i, i+1)
		return n, true
	}
	for _, w := range wanted {
		at := slices.IndexFunc(in.Want.Layers, func(l operator.LayerSpec) bool { return l.Name == w.Layer })
		l, pointer := in.Want.Layers[at], fmt.Sprintf("/layers/%d", at)
		n, there := take(w.Layer, w.Index)
		if !there {
			added = append(added, w)
			grow(w, 1)
			plan.Steps = append(plan.Steps, step(operator.EditAdd, w.Layer, number(w), 0, string(l.Template)+knows(in, w.Layer)+
				elsewhere(ports, w), pointer+"/nodes"))
			continue
		}
		is, changes, p := Revise(n, l, in.Templates)
		if p != nil {
			q := *p
			q.Object = fmt.Sprintf("layers[%d].%s", at, p.Object)
			found = append(found, &q)
			continue
		}
		if lost := gone(n.Container.Volumes, is.Container.Volumes); len(lost) > 0 && !in.RemoveData {
			bad(operator.Conflict, fmt.Sprintf("layers[%d].volumes", at),
				fmt.Sprintf("node %s would have volume %s no more, with the data in it", n.CTID, strings.Join(lost, ", ")),
				"name the volume, or say that its data may go: --remove-data")
		}
		kept = append(kept, Kept{n.CTID, n.Node, is})
		if len(changes) == 0 {
			continue
		}
		grow(n.Node, -1)
		grow(is, 1)
		s := step("", w.Layer, number(w), n.CTID, "")
		var details []string
		for _, c := range changes {
			if rank[c.Kind] > rank[s.Kind] {
				s = step(c.Kind, w.Layer, number(w), n.CTID, "", s.Fields...)
			}
			s.Fields = append(s.Fields, pointer+"/"+c.Field)
			details = append(details, c.Detail)
		}
		if Restarts(n.Container, is.Container) {
			s.Outage = operator.OutageRestart
		}
		s.Detail = strings.Join(details, "; ")
		plan.Steps = append(plan.Steps, s)
	}
	plan.Steps = append(plan.Steps, append(walls(in), places(in)...)...)
	for _, n := range left {
		at := slices.IndexFunc(in.Want.Layers, func(l operator.LayerSpec) bool { return l.Name == n.Layer })
		object, pointer, why := "layers", "/layers", "the layer is not there any more"
		if at >= 0 {
			object, pointer = fmt.Sprintf("layers[%d].nodes", at), fmt.Sprintf("/layers/%d/nodes", at)
			why = fmt.Sprintf("the layer has %d nodes%s", in.Want.Layers[at].Nodes, knows(in, n.Layer))
		}
		if len(n.Container.Volumes) > 0 && !in.RemoveData {
			bad(operator.Conflict, object, fmt.Sprintf("node %s of layer %s would go, with the data of its %d volumes", n.CTID, n.Layer,
				len(n.Container.Volumes)), "keep the node, or say that its data may go: --remove-data")
		}
		grow(n.Node, -1)
		plan.Steps = append(plan.Steps, step(operator.EditRemove, n.Layer, number(n.Node), n.CTID, why, pointer))
	}
	return plan, kept, added, operator.All(found)
}

// serves are the ports of the layers whose nodes stay what they are: of each that of its first node.
func serves(in Input) map[wire.LayerName]uint16 {
	out, first := map[wire.LayerName]uint16{}, map[wire.LayerName]int{}
	for _, n := range in.Nodes {
		at := slices.IndexFunc(in.Want.Layers, func(l operator.LayerSpec) bool { return l.Name == n.Layer })
		if at < 0 || n.Index >= in.Want.Layers[at].Nodes || slices.ContainsFunc(changed(n.Of, in.Want.Layers[at]), func(f field) bool {
			return f.kind == operator.EditRedeploy || f.name == "HTTP" || f.name == "Check"
		}) {
			continue
		}
		if lowest, seen := first[n.Layer]; !seen || n.Index < lowest {
			out[n.Layer], first[n.Layer] = n.Port(), n.Index
		}
	}
	return out
}

// Linked is what is wanted with the variables that its links give. A layer whose nodes stay what they are serves where they do, also when
// its template's name stands for an image with another port by now: they get that when they are made anew.
func Linked(in Input) operator.EnvironmentSpec {
	return env.LinkAs(in.Account, in.Want, in.Templates, serves(in))
}

// elsewhere says that a node which is added serves on another port than those of its layer that stay what they are; "": it does not.
func elsewhere(ports map[wire.LayerName]uint16, n env.Node) string {
	port, stays := ports[n.Layer]
	if !stays || port == n.Port() {
		return ""
	}
	return fmt.Sprintf("; it serves on port %d and the layer's other nodes on %d: their template's name stands for another image by now",
		n.Port(), port)
}

// knows says that layers linked with one need no restart when nodes of it come and go: they know a name, whose answers follow.
func knows(in Input, name wire.LayerName) string {
	was := env.Linking(in.Have, name)
	stay := slices.DeleteFunc(env.Linking(in.Want, name), func(l wire.LayerName) bool { return !slices.Contains(was, l) })
	switch len(stay) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("; layer %s knows %s.%s.internal and needs no restart", stay[0], name, in.Want.Name)
	}
	return fmt.Sprintf("; layers %v know %s.%s.internal and need no restart", stay, name, in.Want.Name)
}
