package main

import (
	"context"
	"crypto/x509"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/acme"
	"hardnode.dev/internal/wire/front"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/zone"
	"hardnode.dev/orchestrator/store"
)

// worldOf is the world's DNS, as the orchestrator sees it: of the cluster's domain it knows the servers that the CA's sight has.
type worldOf struct{ c *certified }

func (w worldOf) Servers(context.Context, string) ([]string, error) {
	w.c.ca.mu.Lock()
	defer w.c.ca.mu.Unlock()
	if w.c.ca.zone == "" {
		return nil, nil
	}
	return []string{"ns1." + w.c.ca.zone}, nil
}

func (w worldOf) Addresses(ctx context.Context, name string) ([]netip.Addr, error) {
	return w.c.ca.lookup(ctx, name)
}

func (worldOf) Serial(context.Context, string, netip.Addr, string) (uint32, error) {
	return 0, errors.New("nobody asks")
}

// domain is where the certificate of the cluster's domain stands, in words.
func (c *certified) domain() string {
	c.t.Helper()
	var s acme.AcmeSettings
	c.ok("GET", "/api/v1/cluster/acme", nil, &s)
	if s.Domain == nil {
		return "not asked for"
	}
	return s.Domain.State + " " + s.Domain.Reason
}

// TestIssuedForTheDomain: a CA that takes only accounts which are bound to one that it knows is asked for the certificate of the cluster's
// domain once the world finds that here, by questions that the resolver's own DNS answers; it is served, renewed, kept over a start, and
// gone when the domain is public no more.
func TestIssuedForTheDomain(t *testing.T) {
	t.Parallel()
	const life, path = 30 * time.Minute, "/api/v1/cluster/acme"
	c := asksCA(t, life, false, bound)
	s := c.settings()
	if p := c.call("PUT", path, s, nil); p == nil || p.Object != "external" || !strings.Contains(p.Next, "--external-key-file") {
		t.Errorf("without the account that it wants: %v", p)
	}
	s.External = &acme.ExternalAccount{ID: "kid-1", Key: secret.Text(externalKey[:40])}
	if p := c.call("PUT", path, s, nil); p == nil || !strings.Contains(p.Error(), "the CA says") {
		t.Errorf("with a wrong key: %v", p)
	}
	s.External.Key = externalKey
	var set acme.AcmeSettings
	c.ok("PUT", path, s, &set)
	if set.External != "kid-1" || set.Account == "" {
		t.Errorf("the settings are %+v", set)
	}
	if rec, _ := store.ACMEs.Get(c.o.store.View(), store.Only); strings.Contains(string(rec.ExternalKey.Reveal()), externalKey) ||
		len(rec.ExternalKey) == 0 {
		t.Error("the key is not sealed in the store")
	}
	s.External = nil // it stays
	c.ok("PUT", path, s, &set)
	if set.External != "kid-1" {
		t.Errorf("said again without it: %+v", set)
	}

	cluster, _ := store.Clusters.Get(c.o.store.View(), store.Only)
	own := "hello." + cluster.Domain
	var ca operator.WebCA
	c.ok("GET", "/api/v1/web-ca", nil, &ca)
	ours := x509.NewCertPool()
	ours.AppendCertsFromPEM([]byte(ca.PEM))
	first := func(what string) (sum string) {
		t.Helper()
		c.eventually(what, func() bool {
			got, _, _, err := shown(t.Context(), c.secure, own, ours)
			sum = got
			return err == nil
		})
		return sum
	}
	before := first("the cluster's own CA signed for its domain")
	if got := c.domain(); got != "not asked for" {
		t.Errorf("before it is public: %s", got)
	}

	// public, but the world does not find it here yet: the CA is not asked
	names := zone.SetDnsSettings{Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Public: true,
		Servers: []zone.DnsServer{{Name: "ns1"}}}
	c.ok("PUT", "/api/v1/cluster/dns", names, nil)
	c.eventually("it says that the domain is not found here", func() bool {
		return strings.HasPrefix(c.domain(), "failed the DNS knows no name servers of "+cluster.Domain)
	})
	if n := c.ca.orders.Load(); n != 0 {
		t.Errorf("the CA was asked %d times for what it would not find", n)
	}
	c.eventually("the resolver answers for the domain", func() bool {
		q := new(dns.Msg).SetQuestion(own+".", dns.TypeA)
		got, err := dns.Exchange(q, c.names)
		return err == nil && got.Authoritative && len(got.Answer) == 1
	})

	// it does now
	c.ca.set(func() { c.ca.zone, c.ca.names = cluster.Domain, c.names })
	c.at(10 * time.Minute)
	one := c.served(own)
	c.at(0)
	if got := c.domain(); got != "issued " || c.ca.orders.Load() != 1 || one == before {
		t.Errorf("it is %s after %d orders", got, c.ca.orders.Load())
	}
	if got, _, _, err := shown(t.Context(), c.secure, cluster.Domain, c.ca.roots); err != nil || got != one {
		t.Errorf("the domain itself is served with another one: %v", err)
	}
	if d := c.name(own); d.Certificate == nil || !d.Certificate.Issued || d.Certificate.SHA256 != one {
		t.Errorf("its environment is told %+v", d.Certificate)
	}
	c.eventually("the CA's questions are gone from the zone", func() bool {
		got, err := dns.Exchange(new(dns.Msg).SetQuestion("_acme-challenge."+cluster.Domain+".", dns.TypeTXT), c.names)
		return err == nil && len(got.Answer) == 0
	})
	c.ok("PUT", "/api/v1/environments/hello/domains/shop.example", front.Scheme{}, nil)
	c.served("shop.example") // other names as ever

	c.at(life * 5 / 6)
	two := c.serves(own, one)
	c.at(0)
	c.stopped()
	if got, _, _, err := shown(t.Context(), c.secure, own, c.ca.roots); err != nil || got != two {
		t.Errorf("without the orchestrator: %v", err)
	}
	if got, err := dns.Exchange(new(dns.Msg).SetQuestion(own+".", dns.TypeA), c.names); err != nil || len(got.Answer) != 1 {
		t.Errorf("without the orchestrator the DNS says %v, %v", got, err)
	}
	c.start()
	if got := c.served(own); got != two {
		t.Error("after a start another one is served")
	}

	c.ca.set(func() { c.ca.away = true })
	c.at(life * 5 / 6)
	c.eventually("an alarm tells", func() bool { return c.alarms("the cluster's domain: the certificate of *." + cluster.Domain) })
	names.Public = false
	c.ok("PUT", "/api/v1/cluster/dns", names, nil)
	if got := first("the cluster's own CA signs for it again"); got != before {
		t.Error("the cluster's own CA issued another one meanwhile")
	}
}
