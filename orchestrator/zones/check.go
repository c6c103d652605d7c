package zones

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/zone"
	"hardnode.dev/orchestrator/store"
)

// Looker asks the world's DNS, as this machine is told of it, and single servers.
type Looker interface {
	// Servers are the names of a domain's name servers, without a trailing dot. None and no error: it has none.
	Servers(ctx context.Context, domain string) ([]string, error)
	// Addresses are those of a name. None and no error: it has none.
	Addresses(ctx context.Context, name string) ([]netip.Addr, error)
	// Serial is the serial of a domain that the server at an address answers for; network is udp or tcp.
	Serial(ctx context.Context, network string, at netip.Addr, domain string) (uint32, error)
}

// World is the Looker of the container's own name servers.
type World struct{}

func none[T any](list []T, err error) ([]T, error) {
	var e *net.DNSError
	if errors.As(err, &e) && e.IsNotFound {
		return nil, nil
	}
	return list, err
}

// Servers asks for NS.
func (World) Servers(ctx context.Context, domain string) (out []string, err error) {
	found, err := none(net.DefaultResolver.LookupNS(ctx, domain+"."))
	for _, ns := range found {
		out = append(out, strings.ToLower(strings.TrimSuffix(ns.Host, ".")))
	}
	return out, err
}

// Addresses asks for A and AAAA.
func (World) Addresses(ctx context.Context, name string) ([]netip.Addr, error) {
	return none(net.DefaultResolver.LookupNetIP(ctx, "ip", name+"."))
}

// Serial asks for SOA.
func (World) Serial(ctx context.Context, network string, at netip.Addr, domain string) (uint32, error) {
	return SerialAt(ctx, network, netip.AddrPortFrom(at, 53), domain)
}

// SerialAt asks a server for a domain's SOA. It has to be the authority for it.
func SerialAt(ctx context.Context, network string, at netip.AddrPort, domain string) (uint32, error) {
	q := new(dns.Msg).SetQuestion(domain+".", dns.TypeSOA)
	q.RecursionDesired = false
	got, _, err := (&dns.Client{Net: network, Timeout: askTime}).ExchangeContext(ctx, q, at.String())
	if err != nil {
		return 0, err
	}
	for _, rr := range got.Answer {
		if soa, ok := rr.(*dns.SOA); ok && got.Authoritative {
			return soa.Serial, nil
		}
	}
	return 0, fmt.Errorf("it is no authority for %s: it says %s", domain, dns.RcodeToString[got.Rcode])
}

// How long one look, and all of them, may take.
const (
	askTime   = 3 * time.Second
	checkTime = 20 * time.Second
)

// seen is what was found of a zone.
type seen struct {
	servers   []string
	serverErr error
	addresses map[string]found // by a name of a server, and by probe
	answers   []answer
}

type found struct {
	list []netip.Addr
	err  error
}

type answer struct {
	server, network string
	at              netip.Addr
	serial          uint32
	err             error
}

// Check is whether the world finds the domain here. Errors are Problems.
func (d *Desk) Check(ctx context.Context) (zone.DnsCheck, error) {
	z := d.Zone(d.Store.View())
	if z.Domain == "" {
		return zone.DnsCheck{}, operator.NewProblem(operator.Conflict, "cluster/dns", "the cluster does not answer for its domain",
			"say how: hnctl cluster dns set")
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	probe := "check-" + strings.ToLower(rand.Text()[:12]) + "." + z.Domain // a name that nobody has asked for, so nobody remembers
	return judge(z, probe, d.look(ctx, z, probe)), nil
}

func (d *Desk) looker() Looker {
	if d.Look != nil {
		return d.Look
	}
	return World{}
}

// look asks all that is to be known.
func (d *Desk) look(ctx context.Context, z *zone.Zone, probe string) seen {
	l, s := d.looker(), seen{addresses: map[string]found{}}
	short := func(f func(context.Context)) {
		ctx, cancel := context.WithTimeout(ctx, askTime)
		defer cancel()
		f(ctx)
	}
	short(func(ctx context.Context) { s.servers, s.serverErr = l.Servers(ctx, z.Domain) })
	for _, name := range append(names(z), probe) {
		short(func(ctx context.Context) {
			list, err := l.Addresses(ctx, name)
			s.addresses[name] = found{list, err}
		})
	}
	for _, server := range z.Servers {
		list := server.Addresses
		if len(list) == 0 {
			list = s.addresses[server.Name].list
		}
		for _, at := range list {
			for _, network := range []string{"udp", "tcp"} {
				short(func(ctx context.Context) {
					serial, err := l.Serial(ctx, network, at.Unmap(), z.Domain)
					s.answers = append(s.answers, answer{server.Name, network, at.Unmap(), serial, err})
				})
			}
		}
	}
	return s
}

func names(z *zone.Zone) (out []string) {
	for _, s := range z.Servers {
		out = append(out, s.Name)
	}
	return out
}

// judge compares what was found with what must be.
func judge(z *zone.Zone, probe string, s seen) zone.DnsCheck {
	out := zone.DnsCheck{Right: true}
	add := func(what, want, found string, right bool, next string) {
		if right {
			next = ""
		}
		out.Right = out.Right && right
		out.Looks = append(out.Looks, zone.DnsLooks{What: what, Want: want, Found: found, Right: right, Next: next})
	}
	why := Delegated(z, s.servers, s.serverErr)
	add("name servers of "+z.Domain, strings.Join(names(z), ", "), said(strings.Join(s.servers, ", "), s.serverErr), why == "",
		"have the domain above "+z.Domain+" say so: hnctl cluster dns show has the records")
	for _, server := range z.Servers {
		want, f := server.Addresses, s.addresses[server.Name]
		text, right := joined(want), f.err == nil && equal(want, f.list)
		if len(want) == 0 {
			text, right = "any", f.err == nil && len(f.list) > 0
		}
		add("address of "+server.Name, text, said(joined(f.list), f.err), right, "say it to the registrar, as the server's own (glue)")
	}
	for _, a := range s.answers {
		found := fmt.Sprintf("serial %d", a.serial)
		if a.err != nil {
			found = a.err.Error()
		}
		add(fmt.Sprintf("%s at %s over %s", a.server, a.at, strings.ToUpper(a.network)), fmt.Sprintf("serial %d", z.Serial), found,
			a.err == nil && a.serial == z.Serial,
			"see that port 53 of the infra host is let in, over UDP and TCP, and that its resolver runs")
	}
	f := s.addresses[probe]
	add("address of "+probe, joined(z.Addresses), said(joined(f.list), f.err), f.err == nil && equal(z.Addresses, f.list),
		"mend what is said above; what others remember of before goes within an hour")
	return out
}

// Delegated tells why the world does not find a zone's domain at its servers, by the name servers that were found of it; "": it does.
func Delegated(z *zone.Zone, servers []string, err error) string {
	want := names(z)
	switch {
	case err != nil:
		return fmt.Sprintf("the DNS was asked for the name servers of %s: %v", z.Domain, err)
	case len(servers) == 0:
		return fmt.Sprintf("the DNS knows no name servers of %s: hnctl cluster dns show has what its registrar is to be told", z.Domain)
	}
	for _, s := range servers {
		if !slices.Contains(want, s) {
			return fmt.Sprintf("the name servers of %s are %s in the DNS, not this cluster's, %s", z.Domain, strings.Join(servers, ", "),
				strings.Join(want, ", "))
		}
	}
	return ""
}

// Leads tells why the world does not find the cluster's domain here; "": it does.
func (d *Desk) Leads(ctx context.Context, v *store.View) string {
	z := d.Zone(v)
	if z.Domain == "" {
		return "the cluster does not answer for its domain: hnctl cluster dns set"
	}
	servers, err := d.looker().Servers(ctx, z.Domain)
	return Delegated(z, servers, err)
}

func said(found string, err error) string {
	switch {
	case err != nil:
		return err.Error()
	case found == "":
		return "nothing"
	}
	return found
}

func equal(a, b []netip.Addr) bool {
	return joined(a) == joined(b)
}

func joined(list []netip.Addr) string {
	var out []string
	for _, a := range list {
		out = append(out, a.Unmap().String())
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), ", ")
}
