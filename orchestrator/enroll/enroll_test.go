package enroll

import (
	"crypto/ed25519"
	"crypto/sha256"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

func desk(t *testing.T, now *time.Time) *Desk {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: filepath.Join(t.TempDir(), "s"), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	id := wire.ClusterID("cl-0123456789abcdef")
	root, err := identity.NewRoot(id, *now)
	if err != nil {
		t.Fatal(err)
	}
	issuing, err := root.Issue(id, *now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Update(t.Context(), func(tx *store.Tx) error {
		store.Clusters.Put(tx, store.Only, store.Cluster{ID: id, Range4: netip.MustParsePrefix("10.96.0.0/12")})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return &Desk{Store: s, Authority: &identity.Authority{Root: root.Cert, Issuing: issuing, Cluster: id}, Now: func() time.Time {
		return *now
	}}
}

// A host that slept past its certificate's end is renewed on proof of its key, and on nothing less.
func TestRenewAfterExpiry(t *testing.T) {
	now := time.Now()
	d := desk(t, &now)
	tok, err := d.NewToken(t.Context(), operator.NewJoinToken{Name: "host1", Role: "user"})
	if err != nil {
		t.Fatal(err)
	}
	key, _ := identity.NewKey()
	csr, _ := identity.CSR(key)
	got, err := d.Enroll(t.Context(), host.EnrollRequest{Token: secret.Text(tok.Text), CSR: csr})
	if err != nil {
		t.Fatal(err)
	}
	// The answer was lost: the same key with the same token gets the same identity, another key does not.
	again, err := d.Enroll(t.Context(), host.EnrollRequest{Token: secret.Text(tok.Text), CSR: csr})
	if err != nil || again.Host != got.Host {
		t.Errorf("asked again: %v, %v", again.Host, err)
	}
	other, _ := identity.NewKey()
	otherCSR, _ := identity.CSR(other)
	if _, err := d.Enroll(t.Context(),
		host.EnrollRequest{Token: secret.Text(tok.Text), CSR: otherCSR}); operator.AsProblem(err).Code != operator.Denied {
		t.Errorf("another key with a used token: %v", err)
	}

	now = now.Add(72 * time.Hour)
	proof := func(k ed25519.PrivateKey, at time.Time, csr []byte) host.RenewRequest {
		return host.RenewRequest{CSR: csr, Host: got.Host, Time: at,
			Proof: ed25519.Sign(k, identity.RenewalText(got.Host, at, sha256.Sum256(csr)))}
	}
	reply, err := d.Renew(proof(key, now, csr), identity.Peer{}, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, p, err := identity.Verify(reply.Chain, identity.Pin(d.Authority.Root), now); err != nil || p.Host != got.Host ||
		p.Name != "host1" {
		t.Errorf("the new leaf names %s, %v", p, err)
	}
	replayed := proof(key, now, csr)
	replayed.CSR = otherCSR
	for name, c := range map[string]struct {
		req  host.RenewRequest
		want string
	}{
		"another key's proof":      {proof(other, now, csr), "not signed by its enrolled key"},
		"an old proof":             {proof(key, now.Add(-time.Hour), csr), "the clock here says"},
		"a proof from the future":  {proof(key, now.Add(time.Hour), csr), "the clock here says"},
		"a proof for another CSR":  {replayed, "not signed by its enrolled key"},
		"a new key, proved by old": {proof(key, now, otherCSR), "another key than the enrolled one"},
		"no proof":                 {host.RenewRequest{CSR: csr}, "not enrolled"},
	} {
		if _, err := d.Renew(c.req, identity.Peer{}, false); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

// TestBlocksOfHosts: each host gets a block of its own. When all were given, one that a host had which left is given again, once no node
// has an address of it; and when there is none, the host is told so.
func TestBlocksOfHosts(t *testing.T) {
	now := time.Now()
	d := desk(t, &now)
	change := func(f func(tx *store.Tx)) {
		t.Helper()
		if _, err := d.Store.Update(t.Context(), func(tx *store.Tx) error { f(tx); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	prefix := netip.MustParsePrefix
	change(func(tx *store.Tx) {
		c, _ := store.Clusters.Read(tx, store.Only)
		c.Range4, c.Range6 = prefix("10.96.0.0/21"), prefix("fd48:4e00::/48")
		store.Clusters.Put(tx, store.Only, c)
	})
	join := func() (store.Host, error) {
		t.Helper()
		tok, err := d.NewToken(t.Context(), operator.NewJoinToken{Role: "user"})
		if err != nil {
			t.Fatal(err)
		}
		key, _ := identity.NewKey()
		csr, _ := identity.CSR(key)
		got, err := d.Enroll(t.Context(), host.EnrollRequest{Token: secret.Text(tok.Text), CSR: csr})
		h, _ := store.Hosts.Get(d.Store.View(), string(got.Host))
		return h, err
	}
	gets := func(want string) (h store.Host) {
		t.Helper()
		h, err := join()
		if got := h.Block4.String() + " " + h.Block6.String(); err != nil || got != want {
			t.Fatalf("got %s, %v, want %s", got, err, want)
		}
		return h
	}
	refused := func() {
		t.Helper()
		_, err := join()
		if p := operator.AsProblem(err); p == nil || p.Code != operator.Exhausted || !strings.Contains(p.Reason, "range 10.96.0.0/21") ||
			!strings.Contains(p.Next, "hnctl host remove") {
			t.Errorf("no block is left: %v", err)
		}
	}
	first := gets("10.96.1.0/24 fd48:4e00:0:1::/64")
	second := gets("10.96.2.0/24 fd48:4e00:0:2::/64")
	change(func(tx *store.Tx) { // converge gave the second one others
		second.More = []netip.Prefix{prefix("10.96.3.0/24"), prefix("10.96.5.0/24")}
		store.Hosts.Put(tx, string(second.ID), second)
		store.Numbers.Put(tx, "block", store.Number{Next: 4})
	})
	gets("10.96.4.0/24 fd48:4e00:0:4::/64")
	gets("10.96.6.0/24 fd48:4e00:0:6::/64")
	gets("10.96.7.0/24 fd48:4e00:0:7::/64")
	refused()
	leave := func(h store.Host) {
		t.Helper()
		if err := d.Remove(t.Context(), h.ID, operator.HostUnreachable); err != nil {
			t.Fatal(err)
		}
	}
	change(func(tx *store.Tx) {
		store.Nodes.Put(tx, "100",
			store.Node{CTID: 100, Host: first.ID, Container: host.Container{IPv4: netip.MustParseAddr("10.96.1.10")}})
	})
	leave(first)
	refused()
	leave(second)
	gets("10.96.2.0/24 fd48:4e00:0:2::/64")
	change(func(tx *store.Tx) { store.Nodes.Delete(tx, "100") })
	gets("10.96.1.0/24 fd48:4e00:0:1::/64")
	gets("10.96.3.0/24 fd48:4e00:0:3::/64")
	gets("10.96.5.0/24 fd48:4e00:0:5::/64")
	refused()
}
