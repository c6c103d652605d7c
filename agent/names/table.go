package names

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"hardnode.dev/internal/wire/host"
)

const (
	top    = "internal."
	system = "jelastic." + top // always ours: every cluster has it
)

// platform is the group that reaches every container (agent/network's chain to_container).
const platform = "jelastic"

// table is what is known of the cluster at one moment. It does not change.
type table struct {
	known  bool                    // there has been a Peers
	zones  map[string][]string     // "hello.internal." → the names in it, sorted
	addrs  map[string][]netip.Addr // canonical name → its addresses
	group  map[netip.Addr]string   // of containers
	ranges []netip.Prefix          // all container addresses
	own    map[netip.Addr]bool     // other addresses that no answer from outside may name
	ptr    map[netip.Addr]string   // address → the name it is called by
	sorted []netip.Addr            // the keys of ptr
}

// newTable makes the table of p; nil: nothing is known yet. self is this server's own address.
func newTable(p *host.Peers, self netip.Addr) *table {
	t := &table{zones: map[string][]string{}, addrs: map[string][]netip.Addr{}, group: map[netip.Addr]string{}, own: map[netip.Addr]bool{},
		ptr: map[netip.Addr]string{loopback4: "localhost.", loopback6: "localhost."}}
	if self.IsValid() {
		t.own[self] = true
	}
	if p != nil {
		t.known = true
		t.fill(p)
	}
	for a := range t.ptr {
		t.sorted = append(t.sorted, a)
	}
	slices.SortFunc(t.sorted, netip.Addr.Compare)
	return t
}

func (t *table) fill(p *host.Peers) {
	for _, r := range []netip.Prefix{p.Range4, p.Range6} {
		if r.IsValid() {
			t.ranges = append(t.ranges, r.Masked())
		}
	}
	for _, h := range p.Hosts {
		if h.Role != host.RoleUser {
			continue // an infra host's may be what the cluster's own domains are at
		}
		for _, a := range append([]netip.Addr{h.Underlay}, h.Addrs...) {
			if a.IsValid() {
				t.own[a] = true
			}
		}
	}
	groups := slices.Clone(p.Groups)
	slices.SortStableFunc(groups, func(a, b host.Group) int { // the platform's first: it wins, as in the firewall
		return cmp.Compare(boolInt(a.Name != platform), boolInt(b.Name != platform))
	})
	for _, g := range groups {
		for _, a := range g.Addrs {
			if _, taken := t.group[a]; !taken {
				t.group[a] = g.Name
			}
		}
	}
	for _, n := range p.Names {
		name := dns.CanonicalName(n.Name)
		zone, ok := zoneOf(name)
		if !ok {
			continue
		}
		if _, twice := t.addrs[name]; !twice {
			t.zones[zone] = append(t.zones[zone], name)
		}
		t.addrs[name] = n.Addrs
		for _, a := range n.Addrs {
			if old, there := t.ptr[a]; !there || !isNode(old) && isNode(name) {
				t.ptr[a] = name
			}
		}
	}
	for _, names := range t.zones {
		slices.Sort(names)
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// isNode tells whether a name is that of one node, "node101.hello.internal.": the name its address is called by.
func isNode(name string) bool {
	label, _, _ := strings.Cut(name, ".")
	number, ok := strings.CutPrefix(label, "node")
	return ok && number != "" && strings.Trim(number, "0123456789") == ""
}

// zoneOf is the zone that a canonical name is in if this cluster has it: an environment's, "hello.internal.".
func zoneOf(name string) (zone string, ok bool) {
	at := dns.Split(name)
	if len(at) < 2 || name[at[len(at)-1]:] != top {
		return "", false
	}
	return name[at[len(at)-2]:], true
}

// inside tells whether a is a container's address, in whatever form: as itself, mapped into IPv6, or behind NAT64 (RFC 6052).
func (t *table) inside(a netip.Addr) bool {
	a = plain(a)
	return slices.ContainsFunc(t.ranges, func(r netip.Prefix) bool { return r.Contains(a) })
}

// barred tells whether an answer from outside may not name a.
func (t *table) barred(a netip.Addr) bool { return t.inside(a) || t.own[plain(a)] }

var nat64 = netip.MustParsePrefix("64:ff9b::/96")

func plain(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if nat64.Contains(a) {
		b := a.As16()
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return a
}

// reach tells whether a caller may open connections to the container at to; it is the firewall's rule. Callers that are no containers are
// the host itself.
func (t *table) reach(caller, to netip.Addr) bool {
	if !t.inside(caller) {
		return true
	}
	g := t.group[caller]
	return g == platform || g != "" && g == t.group[to]
}

// visible are those addresses that the caller may reach: what names are to it.
func (t *table) visible(caller netip.Addr, addrs []netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, a := range addrs {
		if t.reach(caller, a) {
			out = append(out, a)
		}
	}
	return out
}

func (t *table) sees(caller netip.Addr, name string) bool {
	return slices.ContainsFunc(t.addrs[name], func(a netip.Addr) bool { return t.reach(caller, a) })
}

// has tells whether the caller sees a name that is the canonical name, or below it (an empty non-terminal, RFC 4592 2.2.2).
func (t *table) has(caller netip.Addr, zone, name string) bool {
	return slices.ContainsFunc(t.zones[zone], func(n string) bool { return dns.IsSubDomain(name, n) && t.sees(caller, n) })
}

// called is what the container at a is called, for a caller that may reach it; "" when there is none.
func (t *table) called(caller, a netip.Addr) string {
	name := t.ptr[a]
	if name == "" || t.inside(a) && !t.reach(caller, a) {
		return ""
	}
	return name
}

// anyCalled tells whether the caller sees the name of some address of p.
func (t *table) anyCalled(caller netip.Addr, p netip.Prefix) bool {
	at, _ := slices.BinarySearchFunc(t.sorted, p.Addr(), netip.Addr.Compare)
	for _, a := range t.sorted[at:] {
		if !p.Contains(a) {
			return false
		}
		if t.called(caller, a) != "" {
			return true
		}
	}
	return false
}
