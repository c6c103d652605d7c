// Package zone answers questions about the cluster's domain.
//
// Owns: the tree of names of one zone; which records answer a question.
// In: the zone as the orchestrator says it; a question.
// Out: an answer, by RFC 1034 (4.3.2), 2308, 4592 (wildcards) and 8482 (ANY).
// Never: reads or writes a packet, asks another server, or tells which environments there are.
package zone

import (
	"net"
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	wire "hardnode.dev/internal/wire/zone"
)

// How long others keep what they are answered, in seconds. What is not there is asked for again soon: a CA asks for the proof of a name
// right after it was made.
const (
	ttl      = 300
	briefTTL = 1
	nsTTL    = 3600
	noneTTL  = 30
	anyTTL   = 3600
)

// The times of the SOA, for secondaries that nobody has (RFC 1912, section 2.2).
const (
	refresh = 3600
	retry   = 600
	expire  = 14 * 24 * 3600
)

// Zone is a zone ready for look-ups. It does not change. Nil answers for no name.
type Zone struct {
	apex  string // with a trailing dot
	nodes map[string]*node
}

// node is a name that is there. It may have no records.
type node struct {
	sets map[uint16][]dns.RR
	host bool // a name server, or one whose addresses a record says: nothing below it leads to the resolvers
}

// Answer is what a question is answered.
type Answer struct {
	Rcode         int
	Authoritative bool
	Answer        []dns.RR
	Authority     []dns.RR
	Additional    []dns.RR
}

// New makes one of its wire form, which is valid. Nil, or one without a domain, is none.
func New(w *wire.Zone) *Zone {
	if w == nil || w.Domain == "" {
		return nil
	}
	z := &Zone{apex: w.Domain + ".", nodes: map[string]*node{}}
	z.put(z.apex, z.soa(w))
	for _, s := range w.Servers {
		z.put(z.apex, &dns.NS{Hdr: header(dns.TypeNS, nsTTL), Ns: s.Name + "."})
		if strings.HasSuffix(s.Name, "."+w.Domain) {
			z.node(s.Name + ".").host = true
			z.addresses(s.Name+".", s.Addresses)
		}
	}
	for _, r := range w.Records {
		rr := record(r)
		if rr == nil {
			continue
		}
		n := z.put(r.Name+".", rr)
		n.host = n.host || r.Type == "A" || r.Type == "AAAA"
	}
	// A name that is there shades the wildcard above it (RFC 4592, section 2.2.1): what has only a text leads to the resolvers all the
	// same.
	for name, n := range z.copied() {
		if n.host || strings.HasPrefix(name, "_") {
			continue
		}
		z.addresses(name, w.Addresses)
		if !strings.HasPrefix(name, "*.") {
			z.addresses("*."+name, w.Addresses)
		}
	}
	return z
}

func (z *Zone) copied() map[string]*node {
	out := make(map[string]*node, len(z.nodes))
	for name, n := range z.nodes {
		out[name] = n
	}
	return out
}

// node is that of a name in the zone; it and those between it and the apex are made if they are not there.
func (z *Zone) node(name string) *node {
	for at := name; z.nodes[at] == nil; {
		z.nodes[at] = &node{sets: map[uint16][]dns.RR{}}
		_, above, _ := strings.Cut(at, ".")
		if at == z.apex {
			break
		}
		at = above
	}
	return z.nodes[name]
}

func (z *Zone) put(name string, rr dns.RR) *node {
	n := z.node(name)
	n.sets[rr.Header().Rrtype] = append(n.sets[rr.Header().Rrtype], rr)
	return n
}

func (z *Zone) addresses(name string, list []netip.Addr) {
	for _, a := range list {
		z.put(name, address(a))
	}
}

func (z *Zone) soa(w *wire.Zone) dns.RR {
	local, host, _ := strings.Cut(w.Mail, "@")
	return &dns.SOA{Hdr: header(dns.TypeSOA, nsTTL), Ns: w.Servers[0].Name + ".",
		Mbox: strings.ReplaceAll(local, ".", `\.`) + "." + host + ".", Serial: w.Serial,
		Refresh: refresh, Retry: retry, Expire: expire, Minttl: noneTTL}
}

func header(kind uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
}

func address(a netip.Addr) dns.RR {
	if a.Is4() {
		return &dns.A{Hdr: header(dns.TypeA, ttl), A: net.IP(a.AsSlice())}
	}
	return &dns.AAAA{Hdr: header(dns.TypeAAAA, ttl), AAAA: net.IP(a.AsSlice())}
}

// record is one that is said beside the others; nil: it is of a type that this version does not know.
func record(r wire.Record) dns.RR {
	var rr dns.RR
	switch r.Type {
	case "A", "AAAA":
		a, err := netip.ParseAddr(r.Value)
		if err != nil {
			return nil
		}
		rr = address(a)
	case "TXT":
		rr = &dns.TXT{Hdr: header(dns.TypeTXT, ttl), Txt: texts(r.Value)}
	case "CAA":
		flag, tag, value, err := r.CAA()
		if err != nil {
			return nil
		}
		rr = &dns.CAA{Hdr: header(dns.TypeCAA, ttl), Flag: flag, Tag: tag, Value: value}
	default:
		return nil
	}
	if r.Brief {
		rr.Header().Ttl = briefTTL
	}
	return rr
}

// texts are the strings of a TXT record (RFC 1035, section 3.3.14), each of 255 bytes at most, as the library wants them written.
func texts(s string) (out []string) {
	for len(s) > 255 {
		out, s = append(out, s[:255]), s[255:]
	}
	out = append(out, s)
	for i := range out {
		out[i] = strings.ReplaceAll(out[i], `\`, `\\`)
	}
	return out
}

// Answer answers one question of class IN about data. Names come back as they were written: some clients draw their capitals by lot.
func (z *Zone) Answer(q dns.Question) Answer {
	name := dns.CanonicalName(q.Name)
	if z == nil || !dns.IsSubDomain(z.apex, name) {
		return Answer{Rcode: dns.RcodeRefused}
	}
	n := z.find(name)
	switch {
	case n == nil:
		return Answer{Rcode: dns.RcodeNameError, Authoritative: true, Authority: z.none()}
	case q.Qtype == dns.TypeANY: // one answer that says nothing, in the place of all there is (RFC 8482, section 4.2)
		return Answer{Authoritative: true, Answer: []dns.RR{&dns.HINFO{Cpu: "RFC8482",
			Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeHINFO, Class: dns.ClassINET, Ttl: anyTTL}}}}
	case len(n.sets[q.Qtype]) == 0:
		return Answer{Authoritative: true, Authority: z.none()}
	}
	out := Answer{Authoritative: true, Answer: owned(n.sets[q.Qtype], q.Name)}
	if q.Qtype == dns.TypeNS {
		for _, rr := range n.sets[dns.TypeNS] {
			name := rr.(*dns.NS).Ns
			if server := z.nodes[name]; server != nil && server.host {
				out.Additional = append(out.Additional, owned(server.sets[dns.TypeA], name)...)
				out.Additional = append(out.Additional, owned(server.sets[dns.TypeAAAA], name)...)
			}
		}
	}
	return out
}

// find is the node that answers for a name in the zone: its own, or the wildcard of the closest name above it that is there (RFC 4592,
// section 3.3.1). Nil: there is none.
func (z *Zone) find(name string) *node {
	if n := z.nodes[name]; n != nil {
		return n
	}
	labels := dns.SplitDomainName(name)
	for i := 1; i < len(labels); i++ {
		above := strings.Join(labels[i:], ".") + "."
		if z.nodes[above] != nil {
			return z.nodes["*."+above]
		}
	}
	return nil
}

// none is the authority section of an answer without an answer (RFC 2308, section 5).
func (z *Zone) none() []dns.RR {
	soa := owned(z.nodes[z.apex].sets[dns.TypeSOA], z.apex)
	soa[0].Header().Ttl = noneTTL
	return soa
}

// owned are copies of records, of a name.
func owned(set []dns.RR, name string) []dns.RR {
	out := make([]dns.RR, len(set))
	for i, rr := range set {
		out[i] = dns.Copy(rr)
		out[i].Header().Name = name
	}
	return out
}
