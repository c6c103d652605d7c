package edit

import (
	"maps"
	"slices"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
)

// back is a node as it was before its last redeploy, with what was changed of its layer since. fresh is what a new one would be. Its limits
// and its volumes are those of now; volumes that only the image of before has are there again.
func (n Placed) back(want operator.LayerSpec, fresh env.Node) (env.Node, host.Container) {
	out, c, f := n.Node, n.Container, n.Former.Container
	of := n.Former.Of
	c.Image, c.Profile, c.Process, c.Check, out.HTTP = f.Image, f.Profile, f.Process, f.Check, n.Former.HTTP
	vars := maps.Clone(f.Process.Env)
	if vars == nil {
		vars = map[string]string{}
	}
	is := env.Variables(want)
	for k := range env.Variables(of) {
		if _, stays := is[k]; !stays {
			delete(vars, k)
		}
	}
	maps.Copy(vars, is)
	c.Process.Env, c.Process.Sealed = vars, env.SealedOf(want)
	for _, f := range changed(of, want) {
		if f.name == "HTTP" || f.name == "Check" {
			out.HTTP, c.Check = fresh.HTTP, fresh.Container.Check
		}
	}
	c.Volumes = slices.Clone(c.Volumes)
	for _, v := range f.Volumes {
		if !slices.ContainsFunc(c.Volumes, func(o host.Volume) bool { return o.Name == v.Name || o.Path == v.Path }) {
			c.Volumes = append(c.Volumes, v)
		}
	}
	c.Dropped = Dropped(host.Container{}, c)
	c.Begins = nil
	if n.Former.CTID == n.CTID {
		c.Begins = &host.Begins{Generation: f.Generation, Volumes: want.Redeploy.Volumes}
	}
	return out, c
}

// goes says what a redeploy, or its undoing, takes away.
func (n Placed) goes(back bool, want operator.LayerSpec) string {
	switch {
	case !back:
		return ""
	case n.Former.CTID != n.CTID:
		return "; it was made after the redeploy: of its own files those that are listed stay"
	case want.Redeploy.Volumes && len(n.Container.Volumes) > 0:
		return "; what was written to its own files and its volumes since the redeploy goes"
	}
	return "; what was written to its own files since the redeploy goes"
}
