package world

import (
	"encoding/json"
	"fmt"
	"reflect"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
)

// SiteList is the Sites that an admin sees, kept from one moment to the next: what changes costs the environments it changes. It belongs
// to one caller at a time. The zero value knows nothing.
//
// A site follows from its environment's record, its nodes, the operation that holds it, the cluster's domain, and what decisions read of
// the hosts its nodes are on (live.Move). Reasons and figures are not in it.
type SiteList struct {
	view    *store.View
	live    live.Snapshot
	sites   map[wire.EnvName]encoded
	holders map[wire.OperationID]wire.EnvName // by an environment's last operation
	looked  int                               // environments the last Follow looked at
}

type encoded struct {
	site host.Site
	raw  []byte
}

// Follow brings the list up to v and to the hosts that moved since the Follow before; the first one needs all (live.Fleet.Since 0). It
// tells whether a site is another one now.
func (l *SiteList) Follow(v *store.View, moves []live.Move) (changed bool) {
	if l.sites == nil {
		l.live, l.sites, l.holders = live.Snapshot{}, map[wire.EnvName]encoded{}, map[wire.OperationID]wire.EnvName{}
	}
	dirty := map[wire.EnvName]bool{}
	was := l.view
	l.view = v
	all := was == nil
	if !all {
		changes, ok := v.Since(was.Revision())
		all = !ok
		for _, c := range changes {
			all = l.touch(was, c, dirty) || all
		}
	}
	for _, m := range moves {
		if m.Gone {
			delete(l.live, m.ID)
		} else {
			l.live[m.ID] = m.Status
		}
		for n := range store.NodesOn.Of(v, string(m.ID)) {
			dirty[n.Env] = true
		}
	}
	if all {
		clear(l.holders)
		for name := range l.sites {
			dirty[name] = true
		}
		for name := range store.Envs.Refs(v) {
			dirty[wire.EnvName(name)] = true
		}
	}
	w := World{View: v, Live: l.live}.For(Admin)
	for name := range dirty {
		changed = l.look(w, name) || changed
	}
	l.looked = len(dirty)
	return changed
}

// touch makes the environments dirty that a change of the store is about; true: all.
func (l *SiteList) touch(was *store.View, c store.Change, dirty map[wire.EnvName]bool) bool {
	switch c.Kind {
	case store.Clusters.Kind():
		return true
	case store.Envs.Kind():
		if e := store.Envs.Find(was, c.Name); e != nil {
			delete(l.holders, e.Operation)
		}
		dirty[wire.EnvName(c.Name)] = true
	case store.Operations.Kind():
		if name, there := l.holders[wire.OperationID(c.Name)]; there {
			dirty[name] = true
		}
	case store.Nodes.Kind():
		for _, v := range []*store.View{was, l.view} {
			if n := store.Nodes.Find(v, c.Name); n != nil {
				dirty[n.Env] = true
			}
		}
	}
	return false
}

// look makes one site anew, and tells whether it is another one.
func (l *SiteList) look(w World, name wire.EnvName) bool {
	e := store.Envs.Find(w.View, string(name))
	if e != nil && e.Operation != "" {
		l.holders[e.Operation] = name
	}
	old, there := l.sites[name]
	site, is := w.site(e)
	switch {
	case !is:
		delete(l.sites, name)
		return there
	case there && reflect.DeepEqual(old.site, site):
		return false
	}
	raw, err := json.Marshal(site)
	if err != nil {
		panic("BUG: site " + string(name) + ": " + err.Error())
	}
	l.sites[name] = encoded{site, raw}
	return true
}

// Routes is the document with all sites, in the order of their names, and the document encoded.
func (l *SiteList) Routes(rev wire.Revision) (doc host.Routes, raw []byte) {
	doc = host.Routes{Version: 1, Revision: rev, Sites: make([]host.Site, 0, len(l.sites))}
	raw = fmt.Appendf(nil, `{"version":%d,"revision":%d,"sites":[`, doc.Version, doc.Revision)
	for name := range store.Envs.Refs(l.view) {
		s, there := l.sites[wire.EnvName(name)]
		if !there {
			continue
		}
		if len(doc.Sites) > 0 {
			raw = append(raw, ',')
		}
		doc.Sites, raw = append(doc.Sites, s.site), append(raw, s.raw...)
	}
	return doc, append(raw, "]}"...)
}
