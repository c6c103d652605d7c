package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"hardnode.dev/init/netd/device"
	"hardnode.dev/init/netd/lease"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/form"
)

var pciForm = form.New(`^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$`)

// Cards lists the hardware network cards. sys is /sys/class/net.
func Cards(sys string) ([]Card, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	var cards []Card
	for _, l := range links {
		a := l.Attrs()
		device, err := filepath.EvalSymlinks(filepath.Join(sys, a.Name, "device"))
		if err != nil || l.Type() != "device" || len(a.HardwareAddr) != 6 {
			continue // no hardware: lo, veth, wg
		}
		c := Card{Index: a.Index, Name: a.Name, MAC: strings.ToLower(a.HardwareAddr.String())}
		if b, is := a.Slave.(*netlink.BondSlave); is && len(b.PermHardwareAddr) == 6 { // a bond's cards all show the bond's
			c.MAC = strings.ToLower(b.PermHardwareAddr.String())
		}
		for part := range strings.SplitSeq(device, "/") {
			if pciForm.MatchString(part) {
				c.PCI = part // the last one is the card itself, those before are bridges
			}
		}
		cards = append(cards, c)
	}
	slices.SortFunc(cards, func(a, b Card) int { return a.Index - b.Index })
	return cards, nil
}

// Set is the links of this host at work.
type Set struct {
	Log        *slog.Logger
	ResolvConf string // path of resolv.conf
	// Module loads a kernel module after those it needs; one that is there already is no error.
	Module func(name, params string) error

	mu struct {
		sync.Mutex
		plans    []Plan
		missing  []string
		problems map[string]string       // by link name
		learnt   map[string][]netip.Addr // resolvers by link name
		leased   map[string]netip.Prefix
		routes   map[string][]lease.Route // of leases, by link name
	}
}

// Apply gives every card of the plan its name, makes bonds and VLANs, removes those that are not in it, gives each link its addresses
// and routes, and brings it up. Calling it again changes nothing.
// A link that can't be set up is logged and shown, and does not stop the others.
func (s *Set) Apply(n boot.Network) ([]Plan, error) {
	log := logging.Or(s.Log)
	cards, err := Cards("/sys/class/net")
	if err != nil {
		return nil, err
	}
	plans, missing := Match(n, cards)
	want := devices(plans)
	have, err := device.List()
	if err != nil {
		return nil, err
	}
	s.devices(device.Before(want, have))
	for _, r := range Renames(plans) {
		if err := rename(r); err != nil {
			log.Error("rename link", logging.Err, err)
		}
	}
	s.devices(device.After(want, have))
	s.mu.Lock()
	s.open()
	for _, m := range missing {
		if !slices.Contains(s.mu.missing, m) {
			log.Warn(m)
		}
	}
	s.mu.plans, s.mu.missing = plans, missing
	s.mu.Unlock()
	if err := loopback(); err != nil {
		log.Error("bring up lo", logging.Err, err)
	}
	for _, p := range upwards(plans) {
		problem := ""
		if err := static(p); err != nil {
			log.Error("set up link", logging.Err, err)
			problem = err.Error()
		}
		s.problem(p.Link.Name, problem)
	}
	return plans, s.writeResolvers()
}

// devices runs steps. One that fails does not stop the others: half a network is better than none.
func (s *Set) devices(ops []device.Op) {
	log := logging.Or(s.Log)
	for _, o := range ops {
		if err := o.Run(s.Module); err != nil {
			log.Error("set up link", logging.Err, err)
			continue
		}
		log.Info("link "+o.Device.Name, "step", string(o.Do), "card", o.Card, logging.Reason, o.Reason)
	}
}

// open makes the maps; the lock is held.
func (s *Set) open() {
	if s.mu.problems == nil {
		s.mu.problems, s.mu.learnt = map[string]string{}, map[string][]netip.Addr{}
		s.mu.leased, s.mu.routes = map[string]netip.Prefix{}, map[string][]lease.Route{}
	}
}

func loopback() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

// rename needs the link down; it has just appeared, or nothing uses it by its old name.
func rename(r Rename) error {
	l, err := netlink.LinkByName(r.From)
	if err == nil {
		err = netlink.LinkSetDown(l)
	}
	if err == nil {
		err = netlink.LinkSetName(l, r.To)
	}
	if err != nil {
		return fmt.Errorf("rename link %s to %s: %w", r.From, r.To, err)
	}
	return nil
}

// static sets what the configuration says of one link.
func static(p Plan) error {
	l, err := netlink.LinkByName(p.Link.Name)
	if err != nil {
		return fmt.Errorf("link %s: %w", p.Link.Name, err)
	}
	if p.Link.MTU != 0 {
		if err := netlink.LinkSetMTU(l, p.Link.MTU); err != nil {
			return fmt.Errorf("link %s: set MTU %d: %w", p.Link.Name, p.Link.MTU, err)
		}
	}
	for _, a := range p.Link.Addresses {
		addr := &netlink.Addr{IPNet: ipNet(a)}
		if a.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD // given by a person: usable at once
		}
		if err := netlink.AddrReplace(l, addr); err != nil {
			return fmt.Errorf("link %s: set address %s: %w", p.Link.Name, a, err)
		}
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return fmt.Errorf("link %s: bring up: %w", p.Link.Name, err)
	}
	for _, r := range configured(p) {
		if err := setRoute(l, r, p.Metric); err != nil {
			return fmt.Errorf("link %s: %w", p.Link.Name, err)
		}
	}
	return nil
}

// Leave takes away what the links of this Set have of a configuration and those of next don't: addresses, gateways, an MTU. Leases are the
// caller's (Release). A card that next has not is switched off. It is Apply's part to give the rest.
func (s *Set) Leave(next []Plan) error {
	s.mu.Lock()
	old := slices.Clone(s.mu.plans)
	s.mu.Unlock()
	var trouble []error
	for _, p := range old {
		l, err := netlink.LinkByName(p.Link.Name)
		if err != nil {
			continue // it is gone, and all of it
		}
		i := slices.IndexFunc(next, p.same)
		var q Plan
		if i >= 0 {
			q = next[i]
		}
		for _, r := range gone(p, q) {
			if err := netlink.RouteDel(route(l, r, p.Metric)); err != nil && !errors.Is(err, unix.ESRCH) {
				trouble = append(trouble, fmt.Errorf("link %s: remove route to %s: %w", p.Link.Name, r.To, err))
			}
		}
		for _, a := range p.Link.Addresses {
			if slices.Contains(q.Link.Addresses, a) {
				continue
			}
			if err := netlink.AddrDel(l, &netlink.Addr{IPNet: ipNet(a)}); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
				trouble = append(trouble, fmt.Errorf("link %s: remove address %s: %w", p.Link.Name, a, err))
			}
		}
		if p.Link.MTU != 0 && q.Link.MTU == 0 {
			if err := netlink.LinkSetMTU(l, ethernetMTU); err != nil {
				trouble = append(trouble, fmt.Errorf("link %s: set MTU %d: %w", p.Link.Name, ethernetMTU, err))
			}
		}
		if i < 0 {
			if err := netlink.LinkSetDown(l); err != nil {
				trouble = append(trouble, fmt.Errorf("link %s: switch off: %w", p.Link.Name, err))
			}
		}
	}
	return errors.Join(trouble...)
}

// ethernetMTU is what a card has when nothing else is asked for (RFC 894).
const ethernetMTU = 1500

// route is r as the kernel takes it.
func route(l netlink.Link, r lease.Route, metric int) *netlink.Route {
	out := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(r.To), Priority: metric}
	switch {
	case r.Via.IsValid():
		out.Gw = r.Via.AsSlice()
	case r.To.Addr().Is4():
		out.Scope = netlink.SCOPE_LINK
	}
	return out
}

func setRoute(l netlink.Link, r lease.Route, metric int) error {
	if err := netlink.RouteReplace(route(l, r, metric)); err != nil {
		if !r.Via.IsValid() {
			return fmt.Errorf("set route to %s: %w", r.To, err)
		}
		return fmt.Errorf("set route to %s by %s: %w", r.To, r.Via, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// Lease runs DHCP on one link until ctx ends.
func (s *Set) Lease(ctx context.Context, p Plan) error {
	name := p.Link.Name
	return lease.Keep(ctx, s.Log, name, func(l lease.Lease) error {
		return s.leased(p, l)
	}, func(why error) { s.problem(name, why.Error()) })
}

// Release takes the lease's address of a link away.
func (s *Set) Release(p Plan) error { return s.leased(p, lease.Lease{}) }

// leased puts a lease's parts in place of the last one's. A zero lease takes them away. A route that can't be set is shown as the link's
// problem and does not hold up the others: half a network is better than none.
func (s *Set) leased(p Plan, l lease.Lease) error {
	name := p.Link.Name
	dev, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	s.mu.Lock()
	s.open()
	old, oldRoutes := s.mu.leased[name], s.mu.routes[name]
	s.mu.Unlock()
	var want []lease.Route
	if l.Address.IsValid() {
		want = Routes(append(slices.Clone(p.Link.Addresses), l.Address), l.Routes, hasDefault(p))
	}
	var trouble []error
	metric := p.Metric + 900 // a gateway a person configured goes first
	for _, r := range slices.Backward(oldRoutes) {
		if slices.Contains(want, r) {
			continue
		}
		if err := netlink.RouteDel(route(dev, r, metric)); err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.ENODEV) {
			trouble = append(trouble, fmt.Errorf("link %s: remove route to %s: %w", name, r.To, err))
		}
	}
	if old.IsValid() && old != l.Address {
		if err := netlink.AddrDel(dev, &netlink.Addr{IPNet: ipNet(old)}); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("link %s: remove address %s: %w", name, old, err)
		}
	}
	if l.Address.IsValid() {
		if l.MTU != 0 && p.Link.MTU == 0 {
			if err := netlink.LinkSetMTU(dev, l.MTU); err != nil {
				trouble = append(trouble, fmt.Errorf("link %s: set MTU %d: %w", name, l.MTU, err))
			}
		}
		if err := netlink.AddrReplace(dev, &netlink.Addr{IPNet: ipNet(l.Address)}); err != nil {
			return fmt.Errorf("link %s: set address %s: %w", name, l.Address, err)
		}
		for _, r := range want {
			if err := setRoute(dev, r, metric); err != nil {
				trouble = append(trouble, fmt.Errorf("link %s: %w", name, err))
			}
		}
	}
	s.mu.Lock()
	s.mu.leased[name], s.mu.learnt[name], s.mu.routes[name] = l.Address, l.DNS, want
	delete(s.mu.problems, name)
	if err := errors.Join(trouble...); err != nil {
		s.mu.problems[name] = strings.ReplaceAll(err.Error(), "\n", "; ")
		logging.Or(s.Log).Warn("DHCP lease is not wholly in place", logging.Err, err)
	}
	s.mu.Unlock()
	return s.writeResolvers()
}

func (s *Set) problem(name, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open()
	if text == "" {
		delete(s.mu.problems, name)
		return
	}
	s.mu.problems[name] = text
}

func (s *Set) writeResolvers() error {
	s.mu.Lock()
	defer s.mu.Unlock() // one writer at a time: each link's lease calls this
	var configured, learnt []netip.Addr
	for _, p := range s.mu.plans {
		configured = append(configured, p.Link.DNS...)
		learnt = append(learnt, s.mu.learnt[p.Link.Name]...)
	}
	tmp := s.ResolvConf + ".new"
	if err := os.WriteFile(tmp, []byte(resolvConf(Resolvers(configured, learnt))), 0o644); err != nil {
		return fmt.Errorf("write resolvers: %w", err)
	}
	if err := os.Rename(tmp, s.ResolvConf); err != nil {
		return fmt.Errorf("write resolvers: %w", err)
	}
	return nil
}

// Status is every link of the plan, and those that are not there.
func (s *Set) Status() []boot.LinkStatus {
	s.mu.Lock()
	plans, missing := slices.Clone(s.mu.plans), slices.Clone(s.mu.missing)
	s.mu.Unlock()
	all := []boot.LinkStatus{}
	for _, p := range plans {
		st := boot.LinkStatus{Name: p.Link.Name, MAC: p.Card.MAC, Underlay: p.Underlay, Addresses: []netip.Prefix{}}
		s.mu.Lock()
		st.Problem = s.mu.problems[p.Link.Name]
		s.mu.Unlock()
		if l, err := netlink.LinkByName(p.Link.Name); err == nil {
			if st.State = device.State(p.Link.Name); st.MAC == "" {
				st.MAC = l.Attrs().HardwareAddr.String()
			}
			st.Up = l.Attrs().OperState == netlink.OperUp || l.Attrs().OperState == netlink.OperUnknown && l.Attrs().Flags&net.FlagUp != 0
			addrs, err := netlink.AddrList(l, netlink.FAMILY_ALL)
			if err != nil {
				st.Problem = err.Error()
			}
			for _, a := range addrs {
				if ip, ok := netip.AddrFromSlice(a.IP); ok && a.Scope == unix.RT_SCOPE_UNIVERSE {
					bits, _ := a.Mask.Size()
					st.Addresses = append(st.Addresses, netip.PrefixFrom(ip.Unmap(), bits))
				}
			}
		}
		all = append(all, st)
	}
	for _, m := range missing {
		all = append(all, boot.LinkStatus{Problem: m, Addresses: []netip.Prefix{}})
	}
	return all
}

// Changes calls f whenever a card appears, until ctx ends.
func Changes(ctx context.Context, f func()) error {
	updates, done := make(chan netlink.LinkUpdate, 16), make(chan struct{})
	defer close(done)
	if err := netlink.LinkSubscribe(updates, done); err != nil {
		return fmt.Errorf("watch links: %w", err)
	}
	seen := map[int32]bool{}
	for {
		select {
		case u, open := <-updates:
			if !open {
				return fmt.Errorf("watch links: the kernel closed the channel")
			}
			switch {
			case u.Header.Type == unix.RTM_DELLINK:
				delete(seen, u.Index)
			case !seen[u.Index] && u.Link.Type() == "device": // no veth, no wg: those are the agent's
				seen[u.Index] = true
				f()
			}
		case <-ctx.Done():
			return nil
		}
	}
}
