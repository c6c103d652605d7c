// Package enroll is where hosts get their identity.
//
// Owns: join tokens, the records of hosts, the first address block of each, the signing of certificates.
// In: enrolment, renewal and component requests; the caller's certificate where there is one.
// Out: certificate chains; a Problem naming what is wrong with a token, and what to do.
// Never: takes a name, role or number from a body: they come from the token, the record, or the certificate.
package enroll

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/blocks"
	"hardnode.dev/orchestrator/store"
	"hardnode.dev/orchestrator/waiting"
)

// proofAge is how old a renewal proof may be; hosts' clocks may be that wrong.
const proofAge = 15 * time.Minute

// Desk enrolls hosts.
type Desk struct {
	Store     *store.Store
	Authority *identity.Authority
	Names     []string // host names and addresses under which people reach what the infra host publishes
	Waiting   waiting.Room
	Log       *slog.Logger
	Now       func() time.Time
}

func csrKey(der []byte) (ed25519.PublicKey, error) {
	bad := func(reason string) (ed25519.PublicKey, error) {
		return nil, operator.NewProblem(operator.Invalid, "csr", reason, "send a PKCS #10 request (DER) of an Ed25519 key, signed by it")
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return bad(err.Error())
	}
	if err := csr.CheckSignature(); err != nil {
		return bad(err.Error())
	}
	key, ok := csr.PublicKey.(ed25519.PublicKey)
	if !ok {
		return bad("its key is no Ed25519 key")
	}
	return key, nil
}

// Enroll turns a join token into an identity. The same key with the same token gets the same identity again: a host whose answer was
// lost on the way asks once more.
func (d *Desk) Enroll(ctx context.Context, req host.EnrollRequest) (host.EnrollReply, error) {
	key, err := csrKey(req.CSR)
	if err != nil {
		return host.EnrollReply{}, err
	}
	if req.Code != "" && req.Code != identity.ShortCode(key) || req.Shown != "" && req.Shown != d.code(key) {
		return host.EnrollReply{}, operator.NewProblem(operator.Invalid, "code", "the short code does not belong to the key",
			"compare the code on the host's console")
	}
	id, err := identity.JoinTokenID(req.Token)
	if err != nil {
		return host.EnrollReply{}, refuse("", "the join token is malformed")
	}
	hash := identity.HashToken(req.Token)
	return d.redeem(ctx, id, func(t store.JoinToken) bool { return t.Hash == hash }, key, req)
}

// redeem turns the join token of that id into an identity, if it is the one that is meant.
func (d *Desk) redeem(ctx context.Context, id string, meant func(store.JoinToken) bool, key ed25519.PublicKey,
	req host.EnrollRequest) (host.EnrollReply, error) {
	var rec store.Host
	now := d.Now().UTC().Truncate(time.Second)
	if _, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		tok, ok := store.JoinTokens.Read(tx, id)
		switch {
		case !ok || !meant(tok):
			return refuse(id, "the join token is not known")
		case tok.UsedBy != "":
			if rec, ok = store.Hosts.Read(tx, string(tok.UsedBy)); ok && ed25519.PublicKey(rec.Key).Equal(key) {
				return nil
			}
			return refuse(id, fmt.Sprintf("the join token was used by host %s at %s", cmp.Or(rec.Name, string(tok.UsedBy)),
				tok.UsedAt.Format(time.RFC3339)))
		case now.Unix() >= tok.Expires:
			return refuse(id, "the join token expired at "+time.Unix(tok.Expires, 0).UTC().Format(time.RFC3339))
		}
		var err error
		if rec, err = d.record(tx, tok, key, req, now); err != nil {
			return err
		}
		tok.UsedBy, tok.UsedAt = rec.ID, now
		store.JoinTokens.Put(tx, id, tok)
		store.Hosts.Put(tx, string(rec.ID), rec)
		return nil
	}); err != nil {
		return host.EnrollReply{}, err
	}
	chain, err := d.sign(req.CSR, rec)
	if err != nil {
		return host.EnrollReply{}, err
	}
	logging.Or(d.Log).Info("host enrolled", logging.Host, rec.Name, "id", string(rec.ID), "role", string(rec.Role), "code", rec.Code,
		"block", rec.Block4.String())
	return host.EnrollReply{Host: rec.ID, Name: rec.Name, Cluster: d.Authority.Cluster, Chain: chain, Now: d.Now().UTC(),
		Code: rec.Code}, nil
}

// code is the short code of a host that was given this cluster's pin.
func (d *Desk) code(key ed25519.PublicKey) string {
	return identity.Code(key, identity.Pin(d.Authority.Root))
}

func refuse(id, reason string) error {
	object := "join token"
	if id != "" {
		object += " " + id
	}
	p := operator.NewProblem(operator.Denied, object, reason,
		"ask an admin for a new one (POST /api/v1/join-tokens) and put it into the host's configuration as join.token")
	return p
}

// record makes a new host's record: a name, a number, an order.
func (d *Desk) record(tx *store.Tx, tok store.JoinToken, key ed25519.PublicKey, req host.EnrollRequest, now time.Time) (store.Host, error) {
	raw := make([]byte, 6)
	if _, err := rand.Read(raw); err != nil {
		return store.Host{}, fmt.Errorf("make host id: %v", err)
	}
	c, ok := store.Clusters.Read(tx, store.Only)
	if !ok {
		return store.Host{}, fmt.Errorf("enrol host: the cluster is not set up")
	}
	h := store.Host{ID: wire.HostID("h-" + hex.EncodeToString(raw)), Role: tok.Role, Key: key,
		Code: cmp.Or(req.Shown, identity.ShortCode(key)), Hardware: req.Hardware, Joined: now, Token: tok.ID}
	h.Name = cmp.Or(tok.Name, "host-"+hex.EncodeToString(raw[:3]))
	infra := false
	for _, o := range store.Hosts.All(tx.View()) {
		if o.Name == h.Name {
			if tok.Name != "" {
				return store.Host{}, operator.NewProblem(operator.Conflict, "host "+h.Name, "a host of that name is enrolled already",
					"make a token with another name")
			}
			h.Name += "-" + hex.EncodeToString(raw[3:])
		}
		infra = infra || o.Role == host.RoleInfra && o.Number == 0
	}
	order, _ := store.Numbers.Read(tx, "order")
	h.Order, order.Next = order.Next, order.Next+1
	if tok.Role == host.RoleInfra && !infra {
		// The machine the cluster began on: its block was decided on Day 0, and the components' addresses lie in it.
		h.External = c.Infra.External
		var err error
		if h.Block4, err = netip.ParsePrefix(c.Infra.Block4); err != nil {
			return store.Host{}, fmt.Errorf("enrol host: block of the infra host: %v", err)
		}
		if c.Infra.Block6 != "" {
			if h.Block6, err = netip.ParsePrefix(c.Infra.Block6); err != nil {
				return store.Host{}, fmt.Errorf("enrol host: block of the infra host: %v", err)
			}
		}
	} else if err := first(tx, c, &h); err != nil {
		return store.Host{}, err
	}
	store.Numbers.Put(tx, "order", order)
	return h, nil
}

// first gives a host its first block. Like further ones (orchestrator/lead) it raises the number of blocks that were given, so that of two
// who give the same one at once one fails to commit.
func first(tx *store.Tx, c store.Cluster, h *store.Host) error {
	var used blocks.Ledger
	used.Within(c.Range4)
	for o := range store.Hosts.Rows(tx.View()) {
		used.Use(o.Block4, 1)
		for _, b := range o.More {
			used.Use(b, 1)
		}
	}
	given, _ := store.Numbers.Read(tx, "block")
	if given.Next >= int64(blocks.Count(c.Range4)) { // one that somebody had: nodes may have addresses of it still
		for n := range store.Nodes.Rows(tx.View()) {
			used.Use(blocks.Around(n.Container.IPv4), 1)
		}
	}
	n, _, next, ok := used.Give(int(given.Next), nil)
	if !ok {
		return operator.NewProblem(operator.Exhausted, "host "+h.Name, blocks.Exhausted(c.Range4), blocks.Again)
	}
	var err error
	if h.Block4, h.Block6, err = blocks.Of(c.Range4, c.Range6, n); err != nil {
		return operator.NewProblem(operator.Exhausted, "host "+h.Name, err.Error(), blocks.Again)
	}
	h.Number = n
	store.Numbers.Put(tx, "block", store.Number{Next: int64(next)})
	return nil
}

func (d *Desk) sign(csr []byte, h store.Host) ([][]byte, error) {
	chain, err := d.Authority.Sign(csr, identity.Peer{Host: h.ID, Name: h.Name, Role: h.Role}, nil, d.Now())
	if err != nil {
		return nil, operator.NewProblem(operator.Invalid, "csr", err.Error(), "")
	}
	return chain, nil
}

// Known is the record of the host a certificate names. A host that was removed, or whose key is another one, is refused.
func (d *Desk) Known(p identity.Peer) (store.Host, error) {
	h, ok := store.Hosts.Get(d.Store.View(), string(p.Host))
	if !ok || !ed25519.PublicKey(h.Key).Equal(p.Key) {
		return store.Host{}, NotEnrolled(p.Name)
	}
	return h, nil
}

// Enrolled tells whether the host is enrolled in v, with the same key.
func Enrolled(v *store.View, h store.Host) bool {
	now, ok := store.Hosts.Get(v, string(h.ID))
	return ok && ed25519.PublicKey(now.Key).Equal(ed25519.PublicKey(h.Key))
}

// NotEnrolled is what a host is told that was removed.
func NotEnrolled(name string) *operator.Problem {
	return operator.NewProblem(operator.Denied, "host "+name, "it is not enrolled (any more)", "give it a new join token")
}

// Renew gives a host a new leaf on its enrolled key: with its certificate, or, once that has expired, with a proof signed by the key.
func (d *Desk) Renew(req host.RenewRequest, p identity.Peer, certified bool) (host.RenewReply, error) {
	var h store.Host
	var err error
	if certified && p.IsHost() {
		h, err = d.Known(p)
	} else {
		h, err = d.proved(req)
	}
	if err != nil {
		return host.RenewReply{}, err
	}
	key, err := csrKey(req.CSR)
	if err != nil {
		return host.RenewReply{}, err
	}
	if !ed25519.PublicKey(h.Key).Equal(key) {
		return host.RenewReply{}, operator.NewProblem(operator.Denied, "host "+h.Name,
			"the request is for another key than the enrolled one", "a host with a new key joins anew, with a join token")
	}
	chain, err := d.sign(req.CSR, h)
	return host.RenewReply{Chain: chain, Now: d.Now().UTC()}, err
}

func (d *Desk) proved(req host.RenewRequest) (store.Host, error) {
	refused := func(reason string) (store.Host, error) {
		return store.Host{}, operator.NewProblem(operator.Denied, "host "+string(req.Host), reason,
			"check the host's clock; or give it a new join token")
	}
	h, ok := store.Hosts.Get(d.Store.View(), string(req.Host))
	if !ok {
		return refused("it is not enrolled (any more)")
	}
	if age := d.Now().Sub(req.Time); age > proofAge || age < -proofAge {
		return refused(fmt.Sprintf("the proof is of %s, the clock here says %s", req.Time.UTC().Format(time.RFC3339),
			d.Now().UTC().Format(time.RFC3339)))
	}
	if !ed25519.Verify(h.Key, identity.RenewalText(req.Host, req.Time, sha256.Sum256(req.CSR)), req.Proof) {
		return refused("the proof is not signed by its enrolled key")
	}
	return h, nil
}

// Component signs a certificate for a container of "jelastic" that is assigned to the asking host, and for no other.
func (d *Desk) Component(req host.ComponentRequest, h store.Host) (host.RenewReply, error) {
	n, ok := store.Nodes.Get(d.Store.View(), req.CTID.String())
	if !ok || n.Container.Component == "" || n.Gone || n.Host != h.ID {
		return host.RenewReply{}, operator.NewProblem(operator.Denied, "container "+req.CTID.String(),
			"it is no component on host "+h.Name, "")
	}
	if _, err := csrKey(req.CSR); err != nil {
		return host.RenewReply{}, err
	}
	names := []string{n.Container.Component + ".jelastic.internal"}
	if n.Container.IPv4.IsValid() {
		names = append(names, n.Container.IPv4.String())
	}
	if len(n.Container.Publish) > 0 { // people's tools check names: container tools that of the registry
		names = append(names, d.Names...)
		names = append(names, h.External, "localhost", "127.0.0.1", "::1")
	}
	slices.Sort(names)
	names = slices.DeleteFunc(slices.Compact(names), func(n string) bool { return n == "" })
	chain, err := d.Authority.Sign(req.CSR, identity.Peer{CTID: n.CTID, Component: n.Container.Component, Host: h.ID}, names, d.Now())
	if err != nil {
		return host.RenewReply{}, operator.NewProblem(operator.Invalid, "csr", err.Error(), "")
	}
	return host.RenewReply{Chain: chain, Now: d.Now().UTC()}, nil
}
