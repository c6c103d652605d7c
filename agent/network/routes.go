package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// applyRoutes makes our routes (those with routeProto) exactly the wanted ones; all others are left alone. A route over a link that does
// not exist yet is skipped: the link's maker adds it, or the next call does.
func applyRoutes(want []route) error {
	have, err := ourRoutes()
	if err != nil {
		return err
	}
	var errs []error
	for _, w := range want {
		if have[w] {
			delete(have, w)
			continue
		}
		if err := replaceRoute(w); err != nil {
			errs = append(errs, err)
		}
		for h := range have { // replaced, not stale
			if h.dst == w.dst {
				delete(have, h)
			}
		}
	}
	for h := range have {
		n := toNet(h.dst)
		r := netlink.Route{Dst: &n, Protocol: routeProto}
		if h.dev == "" {
			r.Type = unix.RTN_BLACKHOLE
		} else if l, err := netlink.LinkByName(h.dev); err == nil {
			r.LinkIndex = l.Attrs().Index
		}
		if err := netlink.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("remove route %s: %v", h, err))
		}
	}
	return errors.Join(errs...)
}

func replaceRoute(w route) error {
	n := toNet(w.dst)
	r := netlink.Route{Dst: &n, Protocol: routeProto}
	if w.dev == "" {
		r.Type = unix.RTN_BLACKHOLE
	} else {
		l, err := netlink.LinkByName(w.dev)
		var missing netlink.LinkNotFoundError
		if errors.As(err, &missing) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("find link %q: %v", w.dev, err)
		}
		r.LinkIndex = l.Attrs().Index
		if w.dst.Addr().Is4() {
			r.Scope = netlink.SCOPE_LINK
		}
	}
	// A blackhole and a link route to one prefix are different routes to the kernel for IPv6: the other kind goes first.
	other := netlink.Route{Dst: &n, Protocol: routeProto}
	if w.dev != "" {
		other.Type = unix.RTN_BLACKHOLE
	}
	if w.dst.Addr().Is6() {
		if err := netlink.RouteDel(&other); err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("replace route %s: %v", w, err)
		}
	}
	if err := netlink.RouteReplace(&r); err != nil {
		return fmt.Errorf("set route %s: %v", w, err)
	}
	return nil
}

// ourRoutes are the routes with our protocol number.
func ourRoutes() (map[route]bool, error) {
	names := map[int]string{}
	ls, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list links: %v", err)
	}
	for _, l := range ls {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	out := map[route]bool{}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		rs, err := netlink.RouteListFiltered(family, &netlink.Route{Protocol: routeProto}, netlink.RT_FILTER_PROTOCOL)
		if err != nil {
			return nil, fmt.Errorf("list routes: %v", err)
		}
		for _, r := range rs {
			if r.Dst == nil {
				continue
			}
			a, _ := netip.AddrFromSlice(r.Dst.IP)
			if family == netlink.FAMILY_V4 {
				a = a.Unmap()
			}
			ones, _ := r.Dst.Mask.Size()
			w := route{dst: netip.PrefixFrom(a, ones), dev: names[r.LinkIndex]}
			if r.Type == unix.RTN_BLACKHOLE {
				w.dev = "" // IPv6 hangs it on lo
			}
			out[w] = true
		}
	}
	return out, nil
}

func toNet(p netip.Prefix) net.IPNet {
	return net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
