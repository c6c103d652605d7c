package names

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// ttl of what is answered here, in seconds: names change when nodes are replaced. It bounds negative answers too (RFC 2308).
const ttl = 1

var (
	loopback4 = netip.MustParseAddr("127.0.0.1")
	loopback6 = netip.IPv6Loopback()
)

// special are names that mean the same everywhere, or nothing, and are never asked of another server. Those that a site may have
// of its own (test, local, home.arpa and the reverse names of private addresses) are: the servers asked are the site's.
var special = []struct {
	zone   string
	addrs  []netip.Addr
	exists bool // the zone's own name does
	source string
}{
	{"localhost.", []netip.Addr{loopback4, loopback6}, true, "RFC 6761 6.3"},
	{"invalid.", nil, false, "RFC 6761 6.4"},
	{"onion.", nil, false, "RFC 7686 2"},
	{"resolver.arpa.", nil, true, "RFC 9462 6.4: this server has no encrypted twin"},
}

// nowhere are addresses that no server elsewhere can know the names of (RFC 6303 4; RFC 6890).
var nowhere = func() (out []netip.Prefix) {
	for _, s := range []string{"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24",
		"255.255.255.255/32", "::/128", "::1/128", "fe80::/12", "fe90::/12", "fea0::/12", "feb0::/12", "2001:db8::/32"} {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}()

// ofNode is how many labels the name of a node or a layer has, "cp.hello.internal.". What has more, and is below no environment that the
// caller sees, may be a site's own, as clouds have them (ip-10-0-0-1.eu-west-1.compute.internal): other servers are asked. What has not
// could be of an environment that it shall not see: no other server hears of it.
const ofNode = 3

// local answers what is answered here; ok false: ask another server. caller is who asks: names of containers it may not reach are not
// there for it, and neither is a whole environment of such, so that nobody learns by asking what others have.
func (t *table) local(q dns.Question, caller netip.Addr) (r reply, ok bool) {
	name := dns.CanonicalName(q.Name)
	for _, s := range special {
		if dns.IsSubDomain(s.zone, name) {
			r = reply{zone: s.zone}
			if !s.exists || len(s.addrs) == 0 && name != s.zone {
				r.rcode = dns.RcodeNameError
			}
			r.addresses(q, s.addrs)
			return r, true
		}
	}
	if p, exact, ok := reverse(name); ok {
		return t.reverse(q, p, exact, name, caller)
	}
	if !dns.IsSubDomain(top, name) {
		return reply{}, false
	}
	if !t.known {
		return reply{rcode: dns.RcodeServerFailure}, true // no Peers yet: the name may well be ours
	}
	zone, _ := zoneOf(name)
	if zone != system && !t.has(caller, zone, zone) { // the top's own name has no zone
		r = reply{zone: top}
		if name != top {
			r.rcode = dns.RcodeNameError
		}
		r.apex(q, name)
		return r, dns.CountLabel(name) <= ofNode
	}
	r = reply{zone: zone}
	r.addresses(q, t.visible(caller, t.addrs[name]))
	if name != zone && !t.has(caller, zone, name) {
		r.rcode = dns.RcodeNameError
	}
	r.apex(q, name)
	return r, true
}

// reverse answers for addresses of the cluster's ranges, and for those that are nowhere.
func (t *table) reverse(q dns.Question, p netip.Prefix, exact bool, name string, caller netip.Addr) (reply, bool) {
	for _, in := range slices.Concat(t.ranges, nowhere) {
		if in.Bits() > p.Bits() || !in.Contains(p.Addr()) {
			continue
		}
		zone := reverseZone(in, name)
		r := reply{zone: zone}
		switch who := t.called(caller, p.Addr()); {
		case !exact:
			r.rcode = dns.RcodeNameError
		case p.IsSingleIP() && who != "":
			if q.Qtype == dns.TypePTR || q.Qtype == dns.TypeANY {
				r.answer = []dns.RR{&dns.PTR{Hdr: header(q.Name, dns.TypePTR), Ptr: who}}
			}
		case name != zone && !t.anyCalled(caller, p):
			r.rcode = dns.RcodeNameError
		}
		r.apex(q, name)
		return r, true
	}
	return reply{}, false
}

// reply is what is answered here.
type reply struct {
	rcode  int
	zone   string // the zone the answer is from; "" is none
	answer []dns.RR
}

// addresses are the A and AAAA records asked for. ANY gets one kind (RFC 8482 4.1).
func (r *reply) addresses(q dns.Question, addrs []netip.Addr) {
	four := slices.ContainsFunc(addrs, netip.Addr.Is4)
	for _, a := range addrs {
		switch {
		case a.Is4() && (q.Qtype == dns.TypeA || q.Qtype == dns.TypeANY):
			r.answer = append(r.answer, &dns.A{Hdr: header(q.Name, dns.TypeA), A: a.AsSlice()})
		case a.Is6() && (q.Qtype == dns.TypeAAAA || q.Qtype == dns.TypeANY && !four):
			r.answer = append(r.answer, &dns.AAAA{Hdr: header(q.Name, dns.TypeAAAA), AAAA: a.AsSlice()})
		}
	}
}

// apex adds what the top of a zone has: its SOA and NS.
func (r *reply) apex(q dns.Question, name string) {
	if name != r.zone {
		return
	}
	switch {
	case q.Qtype == dns.TypeSOA, q.Qtype == dns.TypeANY && len(r.answer) == 0:
		r.answer = append(r.answer, soa(q.Name))
	case q.Qtype == dns.TypeNS:
		r.answer = append(r.answer, &dns.NS{Hdr: header(q.Name, dns.TypeNS), Ns: r.zone})
	}
}

func header(name string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
}

// soa of a zone that has no other servers (RFC 6303 3). Its minimum is how long a negative answer is kept (RFC 2308 4).
func soa(zone string) dns.RR {
	return &dns.SOA{Hdr: header(zone, dns.TypeSOA), Ns: zone, Mbox: "nobody.invalid.", Serial: 1, Refresh: 3600, Retry: 1200,
		Expire: 604800, Minttl: ttl}
}

// families are the two trees of reverse names (RFC 1035 3.5, RFC 3596 2.5).
var families = []struct {
	suffix             string
	labels, bits, base int // labels of a whole address, bits and number base of each
}{
	{"in-addr.arpa.", 4, 8, 10},
	{"ip6.arpa.", 32, 4, 16},
}

// reverse is the range of addresses whose reverse names are the canonical name and what is below it. exact is false when the name has
// labels below that are no numbers, or too many.
func reverse(name string) (p netip.Prefix, exact, ok bool) {
	for _, f := range families {
		if !dns.IsSubDomain(f.suffix, name) || name == f.suffix {
			continue
		}
		labels := dns.SplitDomainName(strings.TrimSuffix(name, f.suffix))
		slices.Reverse(labels)
		raw, n := make([]byte, f.labels*f.bits/8), 0
		for ; n < min(len(labels), f.labels); n++ {
			v, err := strconv.ParseUint(labels[n], f.base, f.bits)
			if err != nil || strconv.FormatUint(v, f.base) != labels[n] {
				break
			}
			raw[n*f.bits/8] |= byte(v) << (8 - f.bits - n*f.bits%8)
		}
		a, _ := netip.AddrFromSlice(raw)
		return netip.PrefixFrom(a, n*f.bits), n == len(labels), n > 0
	}
	return p, false, false
}

// reverseZone is the zone that holds the reverse name: as many labels as the range needs.
func reverseZone(in netip.Prefix, name string) string {
	f := families[0]
	if in.Addr().Is6() {
		f = families[1]
	}
	n := (in.Bits()+f.bits-1)/f.bits + dns.CountLabel(f.suffix)
	at := dns.Split(name)
	return name[at[len(at)-n]:]
}
