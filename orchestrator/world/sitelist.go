package world

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/zone"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
)

// SiteList is the Sites that an admin sees, kept from one moment to the next: what changes costs the environments it changes. It belongs
// to one caller at a time. The zero value knows nothing. Reasons and figures are not in a site.
type SiteList struct {
	follower
	sites map[wire.EnvName]encoded

	Names   func(*store.View, wire.EnvName) []host.SiteName // of an environment; nil: none has any
	Default *host.Certificate                               // of the documents; it may change between two
	Cookies secret.Bytes                                    // likewise
	Zone    *zone.Zone                                      // likewise
}

type encoded struct {
	site host.Site
	raw  []byte
}

// Follow brings the list up to v and to the hosts that moved since the Follow before; the first one needs all (live.Fleet.Since 0). It
// names the environments whose site is another one now, or is no more.
func (l *SiteList) Follow(v *store.View, moves []live.Move) (changed []wire.EnvName) {
	if l.sites == nil {
		l.sites = map[wire.EnvName]encoded{}
	}
	found := l.follow(v, moves)
	w := l.world()
	for name := range found {
		if l.look(w, name) {
			changed = append(changed, name)
		}
	}
	return changed
}

// look makes one site anew, and tells whether it is another one.
func (l *SiteList) look(w World, name wire.EnvName) bool {
	old, there := l.sites[name]
	site, is := w.site(store.Envs.Find(w.View, string(name)))
	if is && l.Names != nil {
		site.Names = l.Names(w.View, name)
	}
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
	doc = host.Routes{Version: 1, Revision: rev, Sites: make([]host.Site, 0, len(l.sites)), Default: l.Default,
		Cookies: l.Cookies, Zone: l.Zone}
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
	raw = append(raw, ']')
	for key, part := range map[string]any{"default": l.Default, "cookies": l.Cookies, "zone": l.Zone} {
		if text, err := json.Marshal(part); err != nil {
			panic("BUG: " + key + ": " + err.Error())
		} else if string(text) != "null" {
			raw = fmt.Appendf(raw, ",%q:%s", key, text)
		}
	}
	return doc, append(raw, '}')
}

// Change is the document that leads from revision from to rev, between which no other sites changed than those of these environments,
// and with also the certificate and the zone of the cluster's domain.
func (l *SiteList) Change(from, rev wire.Revision, changed map[wire.EnvName]bool, also bool) host.Routes {
	doc := host.Routes{Version: 1, Revision: rev, From: from, Sites: []host.Site{}}
	if also {
		doc.Default, doc.Zone = l.Default, l.Zone
	}
	for _, name := range slices.Sorted(maps.Keys(changed)) {
		if s, there := l.sites[name]; there {
			doc.Sites = append(doc.Sites, s.site)
		} else {
			doc.Gone = append(doc.Gone, name)
		}
	}
	return doc
}
