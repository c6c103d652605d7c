package domains

import (
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/orchestrator/certs"
	"hardnode.dev/orchestrator/store"
)

// Transferred gives another account what an environment is served under, and how, with the transaction in which the environment becomes
// that account's: names and certificates stay, what was issued for them is sealed as the other account's, and what lets somebody in during
// maintenance does so no more.
func (d *Desk) Transferred(tx *store.Tx, e store.Environment, to wire.Account) error {
	v, from := tx.View(), e.Account.Owner()
	for seen := range store.DomainsOf.Of(v, string(e.Spec.Name)) {
		rec, there := store.Domains.Read(tx, seen.Name)
		if !there || !alive(&rec, &e) {
			continue
		}
		if is, asked := store.Issues.Read(tx, rec.Name); asked && is.Account == from {
			d.reissue(tx, is, to)
		}
	}
	if rec, there := store.Fronts.Read(tx, string(e.Spec.Name)); there && rec.Since.Equal(e.Created) && rec.Pass != nil {
		rec.Pass = nil
		store.Fronts.Put(tx, string(e.Spec.Name), rec)
	}
	return nil
}

// reissue makes what a CA issued for a name another account's. An order under way is begun anew by that account; a certificate that can't
// be opened is asked for anew.
func (d *Desk) reissue(tx *store.Tx, is store.Issue, to wire.Account) {
	if c := is.Certificate; c != nil {
		key, err := d.Keys.Open(certs.IssuedAs(is.Name, is.Account), c.Key)
		if err == nil {
			moved := *c
			moved.Key, err = d.Keys.Seal(certs.IssuedAs(is.Name, to.Owner()), key)
			is.Certificate = &moved
		}
		if err != nil {
			logging.Or(d.Log).Error("the certificate of a name that changes hands is asked for anew", "domain", is.Name, logging.Err, err)
			store.Issues.Delete(tx, is.Name)
			return
		}
	}
	is.Account, is.Order = to.Owner(), nil
	store.Issues.Put(tx, is.Name, is)
}
