// Package zones is the cluster's domain in the DNS.
//
// Owns: the record of how the cluster answers for its domain; what of it, and of the CA's questions, is in the zone.
// In: what an admin says; orders of certificates that the CA wants a proof of; what the world's DNS says of the domain.
// Out: the zone for resolvers; what the registrar is to be told, and whether the world finds the domain here.
// Never: answers the DNS itself (orchestrator/resolver does), or tells the world which environments there are.
package zones

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"sync"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/zone"
	"hardnode.dev/orchestrator/store"
)

// Desk is the one writer of the record of the DNS.
type Desk struct {
	Store *store.Store
	Now   func() time.Time
	Log   *slog.Logger
	// Resolvers are the addresses at which the world reaches them, if the settings say none.
	Resolvers func(*store.View) []netip.Addr
	Look      Looker // nil: the world's DNS, as this machine is told of it

	told struct { // what resolvers were told last
		sync.Mutex
		of   [3]wire.Revision // of the records it follows from
		zone *zone.Zone
	}
}

// challenge stands before a name at which a CA asks for a proof (RFC 8555, section 8.4).
const challenge = "_acme-challenge."

// off is the zone of a cluster that answers for none.
var off = &zone.Zone{}

// Settings is how the cluster answers for its domain.
func (d *Desk) Settings() zone.DnsSettings {
	v := d.Store.View()
	c, _ := store.Clusters.Get(v, store.Only)
	out := zone.DnsSettings{Domain: c.Domain}
	rec := store.DNSs.Find(v, store.Only)
	if rec == nil {
		return out
	}
	out.Mail, out.Servers, out.Addresses, out.Records, out.Public = rec.Mail, rec.Servers, rec.Addresses, rec.Records, rec.Public
	out.Since, out.By = rec.Since, rec.By
	if z := d.Zone(v); z.Domain != "" {
		out.Serial, out.Lines = z.Serial, z.Delegation()
	}
	return out
}

// Set has the cluster answer for its domain, in place of how it did before. Errors are Problems.
func (d *Desk) Set(ctx context.Context, s zone.SetDnsSettings, by string) error {
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		c, _ := store.Clusters.Read(tx, store.Only)
		z, field, err := s.Zone(c.Domain, d.Resolvers(tx.View()))
		if err != nil {
			return operator.NewProblem(operator.Invalid, field, err.Error(), "change it")
		}
		store.DNSs.Put(tx, store.Only, store.DNS{Domain: c.Domain, Mail: z.Mail, Servers: z.Servers, Addresses: z.Addresses,
			Records: s.Records, Public: s.Public, Since: d.Now().UTC().Truncate(time.Second), By: by})
		return nil
	})
	if err == nil {
		logging.Or(d.Log).Info("the cluster answers for its domain in the DNS", "public", s.Public)
	}
	return err
}

// Remove has the cluster answer for its domain no more. Errors are Problems.
func (d *Desk) Remove(ctx context.Context) error {
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		if _, ok := store.DNSs.Read(tx, store.Only); !ok {
			return operator.NewProblem(operator.NotFound, "cluster/dns", "the cluster does not answer for its domain",
				"there is nothing to do")
		}
		store.DNSs.Delete(tx, store.Only)
		return nil
	})
	return err
}

// Zone is the zone for the resolver's routes, the same value until there is another; one without a domain is none. Its serial is the
// store's revision with the change that led to it, so that it grows also from one orchestrator to the next.
func (d *Desk) Zone(v *store.View) *zone.Zone {
	d.told.Lock()
	defer d.told.Unlock()
	c, _ := store.Clusters.Get(v, store.Only)
	of := [3]wire.Revision{store.Clusters.Revision(v, store.Only), store.DNSs.Revision(v, store.Only),
		store.Issues.Revision(v, store.DomainIssue(c.Domain))}
	if d.told.zone != nil && of == d.told.of {
		return d.told.zone
	}
	next, was := d.made(v), d.told.zone
	d.told.of = of
	if next != off {
		if was != nil {
			next.Serial = was.Serial
		}
		if reflect.DeepEqual(next, was) {
			return was
		}
		next.Serial = max(next.Serial+1, uint32(v.Revision()))
	}
	d.told.zone = next
	return next
}

// made is the zone of a view, without its serial.
func (d *Desk) made(v *store.View) *zone.Zone {
	c, _ := store.Clusters.Get(v, store.Only)
	rec := store.DNSs.Find(v, store.Only)
	if rec == nil || rec.Domain != c.Domain {
		return off
	}
	z := &zone.Zone{Domain: rec.Domain, Mail: rec.Mail, Servers: rec.Servers, Addresses: rec.Addresses}
	for _, text := range rec.Records {
		r, err := zone.ParseRecord(text, rec.Domain)
		if err != nil { // of a version with other rules
			logging.Or(d.Log).Warn("a DNS record is left out", logging.Err, fmt.Sprint(err))
			continue
		}
		z.Records = append(z.Records, r)
	}
	if i := store.Issues.Find(v, store.DomainIssue(c.Domain)); i != nil && i.Order != nil {
		for _, p := range i.Order.Proofs {
			z.Records = append(z.Records, zone.Record{Name: challenge + c.Domain, Type: "TXT", Value: p.Text, Brief: true})
		}
	}
	if err := z.Validate(); err != nil {
		logging.Or(d.Log).Error("the cluster's domain is not answered for", logging.Err, err)
		return off
	}
	return z
}
