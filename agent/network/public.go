package network

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"hardnode.dev/agent/network/mesh"
	"hardnode.dev/agent/network/public"
	"hardnode.dev/internal/wire"
)

// Refusal is a public address that a container does not have on this host, and why.
type Refusal struct {
	CTID wire.CTID
	Addr netip.Addr
	Why  string
}

// Refused are those of the last Apply.
func (n *Network) Refused() []Refusal {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.refused)
}

// place finds the link that each public address is on, and takes those out of s that can't be.
func (n *Network) place(ctx context.Context, s State) (State, public.Host, map[netip.Addr]public.Link, error) {
	n.refused = nil
	wanted := slices.ContainsFunc(s.Endpoints, func(e Endpoint) bool { return len(e.Public) > 0 })
	if !wanted && n.public != nil && len(n.public) == 0 { // as it was
		return s, public.Host{}, n.public, nil
	}
	h, err := public.Look(func(link string) bool { return link == mesh.Link || ofContainer(link) })
	at := map[netip.Addr]public.Link{}
	s.Endpoints = slices.Clone(s.Endpoints)
	for i, e := range s.Endpoints {
		var have []netip.Addr
		for _, a := range e.Public {
			l, why := h.Place(a)
			own := e.IPv4
			if a.Is6() {
				own = e.IPv6
			}
			switch {
			case err != nil:
				why = err
			case !own.IsValid():
				why = fmt.Errorf("the node has no address of the family of %s itself", a)
			case slices.ContainsFunc(s.ranges(), func(r netip.Prefix) bool { return r.Contains(a) }):
				why = fmt.Errorf("%s is of the cluster's own range", a)
			case at[a].Index != 0:
				why = fmt.Errorf("%s is another node's", a)
			}
			if why != nil {
				n.refused = append(n.refused, Refusal{e.CTID, a, why.Error()})
				continue
			}
			at[a], have = l, append(have, a)
		}
		s.Endpoints[i].Public = have
	}
	return s, h, at, errors.Join(err, n.ask(ctx, s.Endpoints, h, at))
}

// askAgain is how long it is taken for granted that another machine has an address: the question takes a second.
const askAgain = 20 * time.Second

// other is a machine that answered for an address.
type other struct {
	mac net.HardwareAddr
	at  time.Time
}

// ask takes those addresses out that another machine of the network has; what the host answers for already is its own.
func (n *Network) ask(ctx context.Context, list []Endpoint, h public.Host, at map[netip.Addr]public.Link) error {
	held, err := public.Held(h)
	now, unknown := time.Now(), map[netip.Addr]public.Link{}
	maps.DeleteFunc(n.taken, func(_ netip.Addr, o other) bool { return now.Sub(o.at) > askAgain })
	for a, l := range at {
		if _, known := n.taken[a]; !known && !held[public.Entry{Addr: a, Index: l.Index}] {
			unknown[a] = l
		}
	}
	found, fail := public.Taken(ctx, unknown)
	for a, mac := range found {
		n.taken[a] = other{mac, now}
	}
	for i, e := range list {
		list[i].Public = slices.DeleteFunc(e.Public, func(a netip.Addr) bool {
			o, taken := n.taken[a]
			if taken {
				why := fmt.Sprintf("%s is answered by %s on %s: another machine of that network has it", a, o.mac, at[a].Name)
				n.refused = append(n.refused, Refusal{e.CTID, a, why})
				delete(at, a)
			}
			return taken
		})
	}
	return errors.Join(err, fail)
}

// answerFor has the host answer for the public addresses, and ends the connections of those that are gone: translated ones would go on.
func (n *Network) answerFor(h public.Host, at map[netip.Addr]public.Link) error {
	if len(h.Links) == 0 && len(at) == 0 {
		return nil
	}
	gone := maps.Clone(n.public)
	maps.DeleteFunc(gone, func(a netip.Addr, _ public.Link) bool { _, still := at[a]; return still })
	n.public = at
	errs := []error{public.Apply(h, at)}
	if len(gone) > 0 {
		for _, family := range []netlink.InetFamily{unix.AF_INET, unix.AF_INET6} {
			_, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, family, translated(gone))
			if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
				n.log.Warn("connections of a public address that is gone may go on", "err", err)
			}
		}
	}
	return errors.Join(errs...)
}

// translated matches connections to and from public addresses.
type translated map[netip.Addr]public.Link

// MatchConntrackFlow is asked by netlink.
func (g translated) MatchConntrackFlow(f *netlink.ConntrackFlow) bool {
	for _, ip := range [][]byte{f.Forward.DstIP, f.Reverse.DstIP} {
		if a, ok := netip.AddrFromSlice(ip); ok {
			if _, gone := g[a.Unmap()]; gone {
				return true
			}
		}
	}
	return false
}
