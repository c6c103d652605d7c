package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// attach connects the network namespace to the host: a veth pair whose inner end carries the endpoint's addresses and whose outer end is
// the gateway. What an earlier, broken attempt left under that name is replaced. undo takes it away again.
func attach(e Endpoint, ns *os.File, mtu int) (undo func(), err error) {
	if err := detach(e.Link()); err != nil {
		return nil, err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = e.Link(), mtu
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: inside, PeerMTU: uint32(mtu),
		PeerNamespace: netlink.NsFd(ns.Fd())}); err != nil {
		return nil, fmt.Errorf("make veth %q: %v", e.Link(), err)
	}
	undo = func() { detach(e.Link()) }
	defer func() {
		if err != nil {
			undo()
		}
	}()
	if err := outerEnd(e); err != nil {
		return nil, err
	}
	return undo, innerEnd(e, ns)
}

// outerEnd sets the host's side up: the gateway's addresses, forwarding, the routes to the endpoint.
func outerEnd(e Endpoint) error {
	name := e.Link()
	l, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find veth %q: %v", name, err)
	}
	for _, s := range []struct{ path, value string }{
		{"ipv6/conf/" + name + "/accept_ra", "0"},
		{"ipv6/conf/" + name + "/accept_dad", "0"},
		{"ipv4/conf/" + name + "/rp_filter", "1"},
		{"ipv4/conf/" + name + "/send_redirects", "0"},
		{"ipv4/conf/" + name + "/accept_redirects", "0"},
	} {
		if err := sysctl(s.path, s.value); err != nil {
			return err
		}
	}
	for _, a := range []netip.Prefix{netip.PrefixFrom(Gateway, 32), netip.PrefixFrom(gateway6, 64)} {
		if err := addAddr(nil, l, a); err != nil {
			return fmt.Errorf("give %q the gateway's address: %v", name, err)
		}
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return fmt.Errorf("set %q up: %v", name, err)
	}
	for _, a := range []netip.Addr{e.IPv4, e.IPv6} {
		if a.IsValid() {
			if err := replaceRoute(route{netip.PrefixFrom(a, a.BitLen()), name}); err != nil {
				return err
			}
		}
	}
	return nil
}

// innerEnd sets the container's side up, through a socket in its namespace.
func innerEnd(e Endpoint, ns *os.File) error {
	h, err := netlink.NewHandleAt(netns.NsHandle(ns.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("enter network namespace of container %d: %v", e.CTID, err)
	}
	defer h.Close()
	l, err := h.LinkByName(inside)
	if err != nil {
		return fmt.Errorf("find %q of container %d: %v", inside, e.CTID, err)
	}
	for _, a := range []netip.Addr{e.IPv4, e.IPv6} {
		if !a.IsValid() {
			continue
		}
		if err := addAddr(h, l, netip.PrefixFrom(a, a.BitLen())); err != nil {
			return fmt.Errorf("give container %d its address %s: %v", e.CTID, a, err)
		}
	}
	if err := h.LinkSetUp(l); err != nil {
		return fmt.Errorf("set %q of container %d up: %v", inside, e.CTID, err)
	}
	gw := net.IPNet{IP: Gateway.AsSlice(), Mask: net.CIDRMask(32, 32)}
	routes := []netlink.Route{{LinkIndex: l.Attrs().Index, Scope: netlink.SCOPE_LINK, Dst: &gw},
		{LinkIndex: l.Attrs().Index, Gw: Gateway.AsSlice(), Flags: int(netlink.FLAG_ONLINK)}}
	if e.IPv6.IsValid() {
		routes = append(routes, netlink.Route{LinkIndex: l.Attrs().Index, Gw: gateway6.AsSlice(), Flags: int(netlink.FLAG_ONLINK),
			Family: unix.AF_INET6})
	}
	for _, r := range routes {
		if err := h.RouteReplace(&r); err != nil {
			return fmt.Errorf("route container %d through its host: %v", e.CTID, err)
		}
	}
	return nil
}

// addAddr adds an address without duplicate address detection; one that is there is no error. h nil is this namespace.
func addAddr(h *netlink.Handle, l netlink.Link, p netip.Prefix) error {
	n := toNet(p)
	a := &netlink.Addr{IPNet: &n}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	add := netlink.AddrReplace
	if h != nil {
		add = h.AddrReplace
	}
	return add(l, a)
}

// detach removes a veth; one that is not there is no error.
func detach(name string) error {
	l, err := netlink.LinkByName(name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil
	}
	if err == nil {
		err = netlink.LinkDel(l)
	}
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("remove veth %q: %v", name, err)
	}
	return nil
}

// veths are the names of our veths on the host.
func veths() (map[string]bool, error) {
	ls, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list links: %v", err)
	}
	out := map[string]bool{}
	for _, l := range ls {
		if l.Type() == "veth" && strings.HasPrefix(l.Attrs().Name, vethPrefix) {
			out[l.Attrs().Name] = true
		}
	}
	return out, nil
}

// sysctl sets one value below net/. The error wraps fs.ErrNotExist when the kernel has none of that name.
func sysctl(path, value string) error {
	if err := os.WriteFile("/proc/sys/net/"+path, []byte(value), 0o644); err != nil {
		return fmt.Errorf("set net/%s to %s: %w", path, value, err)
	}
	return nil
}
