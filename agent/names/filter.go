package names

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// pass is another server's answer as the client gets it: under the client's number and question, in the client's spelling, without that
// server's OPT and signatures of the message, and without what an answer from outside may not say: that a name is at an address of
// this cluster (DNS rebinding), or what a name of this cluster is.
//
// Records like that are taken out one by one. If nothing is left the answer is "no such data" without an SOA, which nobody keeps (RFC 2308
// 5): REFUSED would make clients ask again and again, and NXDOMAIN would deny the name's other records too. The reason goes along (RFC
// 8914).
func (t *table) pass(q *query, r *dns.Msg) *dns.Msg {
	out := q.failed(r.Rcode)
	if r.Rcode > 15 {
		return q.failed(dns.RcodeServerFailure) // about the OPT between that server and us
	}
	out.Truncated = r.Truncated
	name, barred := q.question().Name, false
	section := func(rrs []dns.RR) (kept []dns.RR) {
		for _, rr := range rrs {
			h := rr.Header()
			switch {
			case h.Rrtype == dns.TypeOPT, h.Rrtype == dns.TypeTSIG, h.Rrtype == dns.TypeSIG && h.Name == ".":
				continue
			case t.ours(h.Name), slices.ContainsFunc(told(rr), t.barred):
				barred = true
				continue
			}
			if strings.EqualFold(h.Name, name) {
				h.Name = name
			}
			kept = append(kept, rr)
		}
		return kept
	}
	out.Answer, out.Ns, out.Extra = section(r.Answer), section(r.Ns), section(r.Extra)
	if barred {
		note(out, dns.ExtendedErrorCodeBlocked, "an answer from outside may not name addresses or names of this cluster")
		if len(out.Answer) == 0 {
			out.Ns = nil
		}
	}
	return out
}

// ours tells whether a name is in one of the cluster's zones, whoever asks.
func (t *table) ours(name string) bool {
	zone, ok := zoneOf(dns.CanonicalName(name))
	return ok && (zone == system || t.zones[zone] != nil)
}

// told are the addresses a record names.
func told(rr dns.RR) (out []netip.Addr) {
	add := func(ips ...net.IP) {
		for _, ip := range ips {
			if a, ok := netip.AddrFromSlice(ip); ok {
				out = append(out, a)
			}
		}
	}
	hints := func(kvs []dns.SVCBKeyValue) {
		for _, kv := range kvs {
			switch h := kv.(type) {
			case *dns.SVCBIPv4Hint:
				add(h.Hint...)
			case *dns.SVCBIPv6Hint:
				add(h.Hint...)
			}
		}
	}
	switch r := rr.(type) {
	case *dns.A:
		add(r.A)
	case *dns.AAAA:
		add(r.AAAA)
	case *dns.SVCB:
		hints(r.Value)
	case *dns.HTTPS:
		hints(r.Value)
	case *dns.L32:
		add(r.Locator32)
	}
	return out
}
