package pxe

import (
	"cmp"
	"net"
	"slices"
	"time"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
	"hardnode.dev/orchestrator/systems"
)

// enrolled are the hosts that run a release of their own, by their cards. A host that boots from the network gets what its Assignment
// names, to try it, and the last good one when that did not come up; while its Assignment names none, what it came up with last, as long as
// that is here. One that boots from its disk as a rule, and asks the network all the same, gets what its Assignment names.
func enrolled(v *store.View, here func(release string) bool) (out []host.NetbootMachine) {
	for id, s := range store.Systems.Refs(v) {
		h, there := store.Hosts.Get(v, id)
		ordered := s.Release != "" && s.Step == host.Switch
		if !there || !ordered && (s.Good == "" || !here(s.Good)) {
			continue
		}
		m := host.NetbootMachine{Name: h.Name, Release: s.Good}
		if ordered {
			var tried bool
			if m.Release, tried = systems.Served(*s); tried {
				m.TrySec = int64(systems.Within(*s) / time.Second)
			}
		}
		for _, text := range h.Hardware.MACs {
			if mac, err := net.ParseMAC(text); err == nil {
				m.MACs = append(m.MACs, mac.String())
			}
		}
		if len(m.MACs) > 0 {
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b host.NetbootMachine) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// add has the document name the enrolled hosts, and their releases as far as those are here.
func add(doc *host.Netboot, machines []host.NetbootMachine, all operator.Releases, target string) {
	doc.Machines = machines
	for _, m := range machines {
		if slices.ContainsFunc(doc.Releases, func(r host.NetbootRelease) bool { return r.Release == m.Release }) {
			continue
		}
		if r, why := choose(all, m.Release, target); why == "" {
			doc.Releases = append(doc.Releases, r)
		}
	}
}
