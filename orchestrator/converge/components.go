package converge

import (
	"fmt"
	"maps"
	"slices"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/converge/same"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

// setComponent: nil is none any more.
func (x *Index) setComponent(name string, rec *store.Component) {
	if rec == nil {
		delete(x.versions, name)
	} else {
		x.versions[name] = rec
	}
	x.dirty.envs[env.System] = true
}

// patch has the components' nodes be the versions that their records say. netboot's has a generation of its own, since it is made anew for
// other reasons too: netboot() sees to it.
func (p *planner) patch() {
	if !p.dirty.envs[env.System] {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(p.versions)) {
		rec := p.versions[name]
		n, there := p.node(rec.CTID)
		if !there || n.Gone || n.Container.Component != name || name == host.ComponentNetboot {
			continue
		}
		want := versioned(n.Container, rec)
		want.Generation = rec.Version.Generation
		if name == host.ComponentResolver && rec.Version.Release != "" {
			want.Publish = withHTTPS(want.Publish)
		}
		if same.Documents(n.Container, want) {
			continue
		}
		n.Container = want
		why := fmt.Sprintf("generation %d, release %q, by %s", want.Generation, rec.Version.Release, rec.By)
		switch {
		case !rec.ConfirmBy.IsZero():
			why += ", until it is confirmed"
		case rec.Failed != nil:
			why += ": " + rec.Failed.Reason
		}
		p.put(n, "patch", why)
	}
}

// versioned is a container of the version that a record says.
func versioned(c host.Container, rec *store.Component) host.Container {
	c.Image, c.Process, c.ConfirmBy = rec.Version.Image, rec.Version.Process, rec.ConfirmBy
	return c
}

// withHTTPS is what a resolver publishes, with 443: clusters made before 2026-11-28 published 80 alone. It stays when the version goes
// back: nothing answers there then.
func withHTTPS(ports []host.Port) []host.Port {
	https := host.Port{Proto: "tcp", Host: 443, Container: 443}
	if slices.ContainsFunc(ports, func(p host.Port) bool { return p.Proto == https.Proto && p.Host == https.Host }) {
		return ports
	}
	return append(slices.Clone(ports), https)
}
