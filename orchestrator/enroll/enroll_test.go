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

func TestBlocks(t *testing.T) {
	four, six := netip.MustParsePrefix("10.96.0.0/12"), netip.MustParsePrefix("fd48:4e00:1::/48")
	for n, want := range map[int]string{0: "10.96.0.0/24 fd48:4e00:1::/64", 1: "10.96.1.0/24 fd48:4e00:1:1::/64", 256: "10.97.0.0/24 fd48:4e00:1:100::/64", 4095: "10.111.255.0/24 fd48:4e00:1:fff::/64", 4096: "", -1: ""} {
		b4, b6, err := Blocks(four, six, n)
		if got := b4.String() + " " + b6.String(); want != "" && (err != nil || got != want) || want == "" && err == nil {
			t.Errorf("block %d: got %s, %v, want %q", n, got, err, want)
		}
	}
	if _, b6, err := Blocks(four, netip.Prefix{}, 1); err != nil || b6.IsValid() {
		t.Errorf("without IPv6: %v, %v", b6, err)
	}
}

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
	return &Desk{Store: s, Authority: &identity.Authority{Root: root.Cert, Issuing: issuing, Cluster: id}, Now: func() time.Time { return *now }}
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
	if _, err := d.Enroll(t.Context(), host.EnrollRequest{Token: secret.Text(tok.Text), CSR: otherCSR}); operator.AsProblem(err).Code != operator.Denied {
		t.Errorf("another key with a used token: %v", err)
	}

	now = now.Add(72 * time.Hour)
	proof := func(k ed25519.PrivateKey, at time.Time, csr []byte) host.RenewRequest {
		return host.RenewRequest{CSR: csr, Host: got.Host, Time: at, Proof: ed25519.Sign(k, identity.RenewalText(got.Host, at, sha256.Sum256(csr)))}
	}
	reply, err := d.Renew(proof(key, now, csr), identity.Peer{}, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, p, err := identity.Verify(reply.Chain, identity.Pin(d.Authority.Root), now); err != nil || p.Host != got.Host || p.Name != "host1" {
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
