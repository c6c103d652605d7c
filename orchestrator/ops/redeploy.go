package ops

import (
	"fmt"
	"slices"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/edit"
	"hardnode.dev/orchestrator/store"
)

// carried is a wanted spec that has of the redeploys what the environment has: what was sent of them counts for nothing.
func carried(have, want operator.EnvironmentSpec) operator.EnvironmentSpec {
	want.Layers = slices.Clone(want.Layers)
	for i := range want.Layers {
		l := &want.Layers[i]
		l.Redeploy = nil
		if at := slices.IndexFunc(have.Layers, func(o operator.LayerSpec) bool { return o.Name == l.Name }); at >= 0 {
			l.Redeploy = have.Layers[at].Redeploy
		}
	}
	return want
}

// redeploy has the layers that are named made anew in in.Want, or says why they can't be. A layer whose nodes all have the image already
// stays as it is, if another one is made anew.
func redeploy(in *edit.Input, r operator.RedeployEnvironment) *operator.Problem {
	seen, some, last := map[wire.LayerName]bool{}, false, ""
	for i, asked := range r.Layers {
		object := fmt.Sprintf("layers[%d]", i)
		at := slices.IndexFunc(in.Want.Layers, func(l operator.LayerSpec) bool { return l.Name == asked.Name })
		switch {
		case at < 0:
			why := fmt.Sprintf("environment %s has no layer %q", in.Have.Name, asked.Name)
			return operator.NewProblem(operator.NotFound, object+".name", why, "see hnctl env show "+string(in.Have.Name))
		case seen[asked.Name]:
			return operator.NewProblem(operator.Invalid, object+".name", fmt.Sprintf("layer %q is there twice", asked.Name),
				"name each layer once")
		}
		seen[asked.Name] = true
		l := &in.Want.Layers[at]
		if asked.Template != "" {
			l.Template = asked.Template
		}
		t, known := in.Templates.Find(in.Account.Owner(), l.Template)
		if !known {
			return operator.NewProblem(operator.NotFound, object+".template", fmt.Sprintf("template %q is not in the registry", l.Template),
				"see hnctl template list")
		}
		if l.Template == in.Have.Layers[at].Template && !slices.ContainsFunc(in.Nodes, func(n edit.Placed) bool {
			return n.Layer == l.Name && n.Container.Image.Digest != t.Digest
		}) {
			last = fmt.Sprintf("the nodes of layer %s have the image that %s stands for already, %.19s", l.Name, l.Template, t.Digest)
			continue
		}
		some = true
		number := int64(1)
		if was := l.Redeploy; was != nil {
			number += was.Number
		}
		l.Redeploy = &operator.Redeployed{Number: number}
	}
	if !some {
		return operator.NewProblem(operator.Conflict, "environments/"+string(in.Have.Name), "there is nothing to redeploy: "+last,
			"push another image under that tag, or name another template or tag: LAYER=TEMPLATE:TAG")
	}
	return nil
}

// undo has the layers whose redeploy can be undone go back in in.Want, or says that there are none.
func undo(in *edit.Input, r operator.UndoRedeploy) *operator.Problem {
	some := false
	for i := range in.Want.Layers {
		l := &in.Want.Layers[i]
		at := slices.IndexFunc(in.Nodes, func(n edit.Placed) bool { return n.Layer == l.Name && n.Former != nil })
		if at < 0 {
			continue
		}
		some = true
		of, number := in.Nodes[at].Former.Of, int64(1)
		if l.Redeploy != nil {
			number += l.Redeploy.Number
		}
		l.Template, l.Profile = of.Template, of.Profile
		l.Redeploy = &operator.Redeployed{Number: number, Back: true, Volumes: r.Volumes}
	}
	if !some {
		return operator.NewProblem(operator.Conflict, "environments/"+string(in.Have.Name),
			fmt.Sprintf("there is no redeploy to undo: none was done within the last %d hours, or it was undone", store.UndoFor/time.Hour),
			"redeploy the image of before: hnctl env redeploy "+string(in.Have.Name)+" LAYER=TEMPLATE:TAG")
	}
	return nil
}
