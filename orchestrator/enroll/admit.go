package enroll

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	wirewaiting "hardnode.dev/internal/wire/waiting"
	"hardnode.dev/orchestrator/store"
)

// admittedFor is how long a machine that was admitted may take to ask again.
const admittedFor = time.Hour

// admission is the id of the join token that admits a key: longer than those of tokens that have a text.
func admission(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return "key-" + hex.EncodeToString(sum[:16])
}

// Wait takes the ask of a machine that has no join token: it gets its identity once a person has admitted its key, and until then waits.
// What it says of itself is shown to people and decides nothing.
func (d *Desk) Wait(ctx context.Context, req wirewaiting.Request, from netip.Addr) (wirewaiting.Reply, error) {
	key, err := csrKey(req.CSR)
	if err != nil {
		return wirewaiting.Reply{}, err
	}
	code, now := d.code(key), d.Now()
	if d.admitted(key, now) {
		m := req.Machine.Clean()
		reply, err := d.redeem(ctx, admission(key), func(t store.JoinToken) bool { return ed25519.PublicKey(t.Key).Equal(key) }, key,
			host.EnrollRequest{CSR: req.CSR, Shown: code, Hardware: host.Hardware{UUID: m.UUID, MACs: m.MACs}})
		if err != nil {
			return wirewaiting.Reply{}, err
		}
		return wirewaiting.Reply{Code: code, Enrolled: &reply}, nil
	}
	if err := d.Waiting.Ask(now, from, code, key, req.Version, req.Machine); err != nil {
		return wirewaiting.Reply{}, err
	}
	return wirewaiting.Reply{Code: code, Again: wirewaiting.Every.Milliseconds()}, nil
}

// admitted tells whether a person admitted the machine with this key, and it is still good: it has not joined since, or is that host.
func (d *Desk) admitted(key ed25519.PublicKey, now time.Time) bool {
	v := d.Store.View()
	t, ok := store.JoinTokens.Get(v, admission(key))
	if !ok || !ed25519.PublicKey(t.Key).Equal(key) {
		return false
	}
	if t.UsedBy == "" {
		return now.Unix() < t.Expires
	}
	h, ok := store.Hosts.Get(v, string(t.UsedBy))
	return ok && ed25519.PublicKey(h.Key).Equal(key)
}

// ListWaiting is the machines that wait to be admitted, those that began first in front.
func (d *Desk) ListWaiting() []operator.WaitingHost {
	now := d.Now()
	out := []operator.WaitingHost{}
	for _, m := range d.Waiting.List(now) {
		w := operator.WaitingHost{Code: m.Code, Address: m.From.String(), Version: m.Version, UUID: m.Machine.UUID,
			Serial: m.Machine.Serial, Model: m.Machine.Model, MACs: m.Machine.MACs, Since: m.Since.UTC(), Asked: m.Asked.UTC(),
			Twice: m.Twice(now)}
		for _, k := range m.Machine.Disks {
			w.Disks = append(w.Disks, k.String())
		}
		out = append(out, w)
	}
	return out
}

// Admit lets the machine join that waits with this code, as it is typed: it binds a one-time join token to the machine's key.
func (d *Desk) Admit(ctx context.Context, typed string, a operator.AdmitHost) (operator.AdmittedHost, error) {
	code := identity.ReadCode(typed)
	if len(code) != len("K7QX-3MPA-W2ZD") {
		return operator.AdmittedHost{}, operator.NewProblem(operator.Invalid, "code", "a code is twelve letters and digits",
			"type the whole code that the machine's console shows, such as K7QX-3MPA-W2ZD")
	}
	if a.Name != "" {
		if err := wire.Label("host name", a.Name, 63); err != nil {
			return operator.AdmittedHost{}, operator.NewProblem(operator.Invalid, "name", err.Error(), "choose another name")
		}
	}
	now := d.Now().UTC().Truncate(time.Second)
	m, err := d.Waiting.Find(d.Now(), code)
	if err != nil {
		return operator.AdmittedHost{}, err
	}
	role, expires := host.Role(cmp.Or(a.Role, string(host.RoleUser))), now.Add(admittedFor)
	tok := store.JoinToken{JoinToken: boot.JoinToken{ID: admission(m.Key), Name: a.Name, Role: role, Expires: expires.Unix()}, Key: m.Key}
	if _, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		for _, h := range store.Hosts.All(tx.View()) {
			if a.Name != "" && h.Name == a.Name {
				return operator.NewProblem(operator.Conflict, "hosts/"+a.Name, "a host of that name is enrolled already",
					"choose another name, or remove that host first")
			}
			if ed25519.PublicKey(h.Key).Equal(m.Key) {
				return operator.NewProblem(operator.Conflict, "waiting-hosts/"+code, "host "+h.Name+" has the same key",
					"if this is that machine without its certificate: hnctl host remove "+h.Name+", then admit it; else wipe its disk")
			}
		}
		store.JoinTokens.Put(tx, tok.ID, tok)
		return nil
	}); err != nil {
		return operator.AdmittedHost{}, err
	}
	d.Waiting.Admitted(code, cmp.Or(a.Name, "a host without a name yet"))
	logging.Or(d.Log).Info("machine admitted", "code", code, logging.Host, a.Name, logging.Addr, m.From.String())
	return operator.AdmittedHost{Code: code, Name: a.Name, Role: string(role), Expires: expires}, nil
}
