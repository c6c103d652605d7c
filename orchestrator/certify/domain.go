package certify

import (
	"context"
	"slices"
	"strings"
	"time"

	"hardnode.dev/orchestrator/store"
)

// The certificate of the cluster's own domain, and of all names one label below it, is asked for like any other, but for what is here: the
// CA asks for the proof in the DNS (dns-01), of two names at once, and it is nobody's but the admins'.

// ofDomain is the cluster's domain, and whether its certificate is asked for.
func ofDomain(v *store.View) (domain string, asks bool) {
	c, _ := store.Clusters.Get(v, store.Only)
	rec := store.DNSs.Find(v, store.Only)
	return c.Domain, rec != nil && rec.Public && rec.Domain == c.Domain
}

// isDomain tells whether an Issue's name is that of the cluster's domain, of now or before.
func isDomain(name string) bool { return strings.HasPrefix(name, "*.") }

// hosts are the names that a certificate is for.
func hosts(name string) []string {
	if domain, ok := strings.CutPrefix(name, "*."); ok {
		return []string{name, domain}
	}
	return []string{name}
}

func (n name) kinds() []string {
	if n.wild {
		return domainKinds
	}
	return kinds
}

// mayKeep tells whether what becomes of a name is still to be kept: it is the account's.
func (n name) mayKeep(tx *store.Tx) bool {
	if n.wild {
		domain, asks := ofDomain(tx.View())
		return asks && store.DomainIssue(domain) == n.rec.Name
	}
	dom, there := store.Domains.Read(tx, n.rec.Name)
	if !there {
		return false
	}
	owner, alive, _ := asked(tx.View(), &dom)
	return alive && owner == n.owner
}

// leads tells why the CA would not find the cluster at a name; "": it would.
func (d *Desk) leads(ctx context.Context, s store.ACME, n name) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if n.wild {
		return d.Delegated(ctx, d.Store.View())
	}
	ours := s.Addresses
	if len(ours) == 0 {
		ours = d.Resolvers(d.Store.View())
	}
	found, err := d.Lookup(ctx, n.rec.Name)
	return leads(n.rec.Name, found, err, ours)
}

// proves tells whether an order has the proof of a challenge.
func proves(o *store.Order, token string) bool {
	return token != "" && (o.Token == token || slices.ContainsFunc(o.Proofs, func(p store.Proof) bool { return p.Token == token }))
}
