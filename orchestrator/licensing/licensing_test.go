package licensing

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/license"
	"hardnode.dev/internal/license/issue"
	"hardnode.dev/internal/testkit/ports"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// server is a licence server that signs leases, can refuse, and can be away.
type server struct {
	*httptest.Server
	pin    string
	signer issue.Signer
	key    ed25519.PublicKey

	mu struct {
		sync.Mutex
		calls  []string
		refuse string
		seats  []jls.Seat
		takes  bool // errors
		errors []jls.JError
	}
}

func key(b string) ed25519.PrivateKey { return ed25519.NewKeyFromSeed([]byte(strings.Repeat(b, 32))) }

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{}
	cert, err := issue.Certify(key("r"), key("s").Public().(ed25519.PublicKey), time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	s.signer = issue.Signer{Key: key("s"), Cert: cert}
	tlsKey, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, tlsKey.Public(), tlsKey)
	if err != nil {
		t.Fatal(err)
	}
	leaf, _ := x509.ParseCertificate(der)
	s.pin = identity.Pin(leaf)
	s.Server = httptest.NewUnstartedServer(s)
	s.Listener.Close()
	s.Listener = ports.Listen(t)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: tlsKey}}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var in jls.Signed
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		w.WriteHeader(400)
		return
	}
	s.mu.calls = append(s.mu.calls, r.URL.Path)
	if s.mu.refuse != "" {
		p := operator.NewProblem(operator.Denied, "licence", s.mu.refuse, "call us")
		w.WriteHeader(p.Status)
		json.NewEncoder(w).Encode(p)
		return
	}
	lease := func(id jls.InstallationID) {
		tok, err := s.signer.Lease(license.Lease{ID: "lease-0123456789abcdef", License: "lic-0123456789abcdef", Installation: string(id),
			Key:    license.KeyID(s.key),
			Issued: time.Now().UTC().Truncate(time.Second), Expires: time.Now().UTC().Truncate(time.Second).Add(license.LeaseFor)})
		if err != nil {
			panic(err)
		}
		json.NewEncoder(w).Encode(jls.LeaseReply{Lease: tok, Now: time.Now().UTC()})
	}
	switch r.URL.Path {
	case jls.PathActivate:
		a, err := jls.DecodeActivate(in.Body)
		if err != nil || in.Check(r.URL.Path, a.Key) != nil {
			w.WriteHeader(400)
			return
		}
		s.key = a.Key
		lease(a.Installation)
	case jls.PathLease:
		q, err := jls.DecodeRenew(in.Body)
		if err != nil || in.Check(r.URL.Path, s.key) != nil {
			w.WriteHeader(400)
			return
		}
		lease(q.Installation)
	case jls.PathSeats:
		q, err := jls.DecodeSeats(in.Body)
		if err != nil || in.Check(r.URL.Path, s.key) != nil {
			w.WriteHeader(400)
			return
		}
		s.mu.seats = q.Hosts
		json.NewEncoder(w).Encode(jls.SeatsReply{Allowed: 2, Used: len(q.Hosts), Now: time.Now()})
	case jls.PathErrors:
		q, err := jls.DecodeErrors(in.Body)
		if err != nil || !s.mu.takes || in.Check(r.URL.Path, s.key) != nil {
			operator.WriteProblem(w, operator.NewProblem(operator.NotFound, r.URL.Path, "there is no such path", ""))
			return
		}
		s.mu.errors = append(s.mu.errors, q.Errors...)
		json.NewEncoder(w).Encode(jls.ErrorsReply{Now: time.Now()})
	}
}

func keeper(t *testing.T, s *server, pin string) (*Keeper, *time.Time) {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: filepath.Join(t.TempDir(), "s"), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	now := time.Now()
	text, err := s.signer.License(license.License{ID: "lic-0123456789abcdef", Customer: "Test", Hosts: 2,
		Issued: now.UTC().Truncate(time.Second), Expires: now.UTC().Truncate(time.Second).AddDate(1, 0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	k := &Keeper{Store: st, Root: key("r").Public().(ed25519.PublicKey), Key: key("i"), Cluster: "cl-0123456789abcdef", Name: "demo",
		Now: func() time.Time { return now }}
	k.JLS = NewClient(boot.JLSEndpoint{Addr: strings.TrimPrefix(s.URL, "https://"), Pin: pin}, k.Key)
	if _, err := st.Update(t.Context(), func(tx *store.Tx) error {
		store.Licenses.Put(tx, store.Only, store.License{Text: text})
		store.Hosts.Put(tx, "h-000000000001", store.Host{ID: "h-000000000001", Name: "host1", Role: host.RoleUser})
		store.Hosts.Put(tx, "h-000000000000", store.Host{ID: "h-000000000000", Name: "infra1", Role: host.RoleInfra})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return k, &now
}

func look(t *testing.T, k *Keeper) operator.License {
	t.Helper()
	if err := k.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	return k.Show()
}

func TestLifeWithTheJLS(t *testing.T) {
	s := newServer(t)
	k, now := keeper(t, s, s.pin)
	if l := look(t, k); l.State != "active" || l.JLS != "not asked yet" || l.HostsUsed != 1 {
		t.Errorf("before the first call: %+v", l)
	}
	if err := k.talk(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l := look(t, k); l.State != "active" || l.JLS != "reachable" || l.Lease.IsZero() {
		t.Errorf("activated: %+v", l)
	}
	if len(s.mu.seats) != 1 || s.mu.seats[0].Name != "host1" {
		t.Errorf("seats: %+v, want the user host only", s.mu.seats)
	}
	if err := k.talk(t.Context()); err != nil || len(s.mu.calls) != 2 {
		t.Errorf("nothing is due, and yet: %v, %v", s.mu.calls, err)
	}
	*now = now.Add(25 * time.Hour)
	if err := k.talk(t.Context()); err != nil || s.mu.calls[2] != jls.PathLease {
		t.Errorf("a day later: %v, %v", s.mu.calls, err)
	}
	s.mu.refuse = "the licence is revoked"
	*now = now.Add(25 * time.Hour)
	if err := k.talk(t.Context()); err == nil {
		t.Error("a refusal went unseen")
	}
	if l := look(t, k); l.State != "active" || !strings.Contains(l.JLS, "refuses: the licence is revoked") {
		t.Errorf("refused: %+v", l)
	}
	s.Close()
	k.talk(t.Context())
	if l := look(t, k); l.State != "active" || !strings.Contains(l.JLS, "not reachable since") {
		t.Errorf("away: %+v", l)
	}
	for _, c := range []struct {
		days int
		want string
	}{{13, "due"}, {20, "grace"}, {60, "limited"}} {
		at := now.AddDate(0, 0, c.days)
		k.Now = func() time.Time { return at }
		if l := look(t, k); l.State != c.want || (c.want == "limited") == k.Entitled().Since.IsZero() {
			t.Errorf("%d days without the JLS: %+v, want %s", c.days, l, c.want)
		}
	}
}

func TestWrongPin(t *testing.T) {
	s := newServer(t)
	k, _ := keeper(t, s, "sha256:"+strings.Repeat("0", 64))
	if err := k.talk(t.Context()); err == nil || !strings.Contains(err.Error(), "another key than the pinned one") {
		t.Errorf("a server with another key: %v", err)
	}
	if len(s.mu.calls) != 0 {
		t.Error("it was told something all the same")
	}
}

func TestInstall(t *testing.T) {
	s := newServer(t)
	k, now := keeper(t, s, s.pin)
	look(t, k)
	other := issue.Signer{Key: key("x"), Cert: s.signer.Cert}
	l := license.License{ID: "lic-fedcba9876543210", Customer: "Test", Hosts: 5, Issued: now.UTC().Truncate(time.Second),
		Expires: now.UTC().Truncate(time.Second).AddDate(0, 0, 1)}
	forged, _ := other.License(l)
	old := l
	old.Issued, old.Expires = l.Issued.Add(-30*time.Minute), l.Issued.Add(-time.Minute)
	expired, _ := s.signer.License(old)
	for name, text := range map[string]string{"forged": forged, "expired": expired, "cut": forged[:20], "empty": ""} {
		p := operator.AsProblem(k.Install(t.Context(), text))
		if p.Code != operator.Invalid || p.Object != "licence" || !strings.Contains(p.Next, "the one in force stays") {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if k.Entitled().Hosts != 2 {
		t.Error("a refused licence took the place of the good one")
	}
	good, _ := s.signer.License(l)
	if err := k.Install(t.Context(), good); err != nil || k.Entitled().Hosts != 5 {
		t.Errorf("a good one: %v, %+v", err, k.Entitled())
	}
}
