package converge

import (
	"cmp"
	"net/netip"
	"slices"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
)

// location is where a host is found.
type location struct {
	underlay netip.Addr
	others   []netip.Addr // sorted
}

// addresses says which addresses are whose. Hosts say it themselves, and are not believed in all:
//
// An address that no host can have (host.HostAddr), or that is a container's, is nobody's. One underlay is one host's: that one's
// whose reports come from it, then that one's whom it was before, while it is not UNREACHABLE. Whoever does not get the one it asks for
// keeps the one it had, if that is free. Of a host's other addresses at most host.MaxAddrs count, none that is an underlay, and each for
// one host: first for whom it was before. A host without a report is where it was.
func addresses(hosts []store.Host, before map[wire.HostID]host.Peer, c store.Cluster,
	status func(wire.HostID) live.Status) map[wire.HostID]location {
	out := make(map[wire.HostID]location, len(hosts))
	taken := map[netip.Addr]bool{}
	usable := func(a netip.Addr) bool {
		return host.HostAddr(a) && !c.Range4.Contains(a) && !c.Range6.Contains(a)
	}
	wanted := func(id wire.HostID) netip.Addr {
		if r := status(id).Report; r != nil && usable(r.Underlay.Unmap()) {
			return r.Underlay.Unmap()
		}
		return before[id].Underlay
	}
	claim := func(h store.Host) int { // the better the smaller
		id, a := h.ID, wanted(h.ID)
		switch s := status(id); {
		case s.Report == nil, s.State.State == operator.HostUnreachable:
			return 3
		case s.From == a:
			return 0
		case before[id].Underlay == a:
			return 1
		}
		return 2
	}
	take := func(id wire.HostID, a netip.Addr) {
		if out[id].underlay.IsValid() || taken[a] || !usable(a) {
			return
		}
		taken[a] = true
		out[id] = location{underlay: a}
	}
	order := slices.Clone(hosts)
	slices.SortStableFunc(order, func(a, b store.Host) int { return cmp.Or(cmp.Compare(claim(a), claim(b)), cmp.Compare(a.ID, b.ID)) })
	for _, h := range order {
		take(h.ID, wanted(h.ID))
	}
	for _, h := range order {
		take(h.ID, before[h.ID].Underlay)
	}
	for _, again := range []bool{true, false} {
		for _, h := range hosts {
			was, say := before[h.ID].Addrs, before[h.ID].Addrs
			if r := status(h.ID).Report; r != nil {
				say = r.Addrs
			}
			l := out[h.ID]
			for _, a := range say[:min(len(say), 2*host.MaxAddrs)] {
				a = a.Unmap()
				if slices.Contains(was, a) == again && usable(a) && !taken[a] && len(l.others) < host.MaxAddrs {
					taken[a] = true
					l.others = append(l.others, a)
				}
			}
			slices.SortFunc(l.others, netip.Addr.Compare)
			out[h.ID] = l
		}
	}
	return out
}
