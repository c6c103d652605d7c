package server_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/license"
	"hardnode.dev/internal/license/issue"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/jls/keys"
	"hardnode.dev/jls/ledger"
	"hardnode.dev/jls/server"
)

// site is a JLS with a clock of its own, and the licence root's owner beside it.
type site struct {
	t      *testing.T
	now    time.Time
	db     string
	cfg    jls.Config
	token  string // administrator's
	signer issue.Signer
	ledger *ledger.Ledger
	http   *httptest.Server
}

func newSite(t *testing.T) *site {
	dir := filepath.Join(t.TempDir(), "keys")
	s := &site{t: t, now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), db: filepath.Join(t.TempDir(), "jls.db")}
	_, err := keys.Init(dir, s.now)
	s.must(err)
	s.cfg, err = keys.Load(dir)
	s.must(err)
	raw, err := os.ReadFile(filepath.Join(dir, keys.TokenFile))
	s.must(err)
	s.token = strings.TrimSpace(string(raw))
	s.signer, err = keys.Signer(s.cfg, s.now)
	s.must(err)
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) start() {
	led, err := ledger.Open(s.t.Context(), s.db)
	s.must(err)
	s.ledger = led
	s.http = s.serve(nil)
}

func (s *site) serve(d *jls.Director) *httptest.Server {
	return httptest.NewServer((&server.Server{Ledger: s.ledger, Signer: s.signer, Root: s.cfg.Root, AdminToken: s.cfg.AdminToken,
		Director: d, Now: func() time.Time { return s.now }}).Handler())
}

func (s *site) stop() { s.http.Close(); s.ledger.Close() }

func (s *site) sell(hosts, days int) (string, license.License) {
	s.t.Helper()
	token, lic, err := keys.Issue(s.signer, keys.Sold{Customer: "Demo", Hosts: hosts, For: time.Duration(days) * 24 * time.Hour}, s.now)
	s.must(err)
	return token, lic
}

// call sends a request; out is filled on 200, else the problem comes back.
func (s *site) call(method, path string, in, out any, header ...string) (*operator.Problem, http.Header) {
	s.t.Helper()
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		s.must(err)
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequest(method, s.http.URL+path, body)
	s.must(err)
	req.Header.Set("Content-Type", "application/json")
	if len(header) > 0 {
		req.Header.Set("Authorization", header[0])
	}
	resp, err := http.DefaultClient.Do(req)
	s.must(err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	s.must(err)
	if resp.StatusCode != http.StatusOK {
		if ct := resp.Header.Get("Content-Type"); ct != "application/problem+json" {
			s.t.Fatalf("%s %s: %s as %s: %s", method, path, resp.Status, ct, raw)
		}
		var p operator.Problem
		s.must(json.Unmarshal(raw, &p))
		return &p, resp.Header
	}
	s.must(json.Unmarshal(raw, out))
	return nil, resp.Header
}

func (s *site) admin(method, path string, in, out any) *operator.Problem {
	s.t.Helper()
	p, _ := s.call(method, path, in, out, "Bearer "+s.token)
	return p
}

// box is an installation.
type box struct {
	*site
	id  jls.InstallationID
	key ed25519.PrivateKey
	seq int64
}

func (s *site) box(n byte) *box {
	return &box{site: s, id: jls.InstallationID("in-000000000000000" + string('0'+n)),
		key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, 32))}
}

func (b *box) head() jls.Head { b.seq++; return jls.Head{Installation: b.id, Seq: b.seq} }

func (b *box) send(path string, v, out any) *operator.Problem {
	b.t.Helper()
	sealed, err := jls.Seal(path, b.key, v)
	b.must(err)
	p, _ := b.call(http.MethodPost, path, sealed, out)
	return p
}

func (b *box) activate(token string) (license.Lease, *operator.Problem) {
	b.t.Helper()
	var r jls.LeaseReply
	p := b.send(jls.PathActivate, jls.Activate{Head: b.head(), Key: b.key.Public().(ed25519.PublicKey), License: token,
		Cluster: "cl-0123456789abcdef", Name: "demo"}, &r)
	return b.read(r, p), p
}

func (b *box) renew() (license.Lease, *operator.Problem) {
	b.t.Helper()
	var r jls.LeaseReply
	p := b.send(jls.PathLease, jls.Renew{Head: b.head(), Version: "0.1.0"}, &r)
	return b.read(r, p), p
}

func (b *box) read(r jls.LeaseReply, p *operator.Problem) license.Lease {
	b.t.Helper()
	if p != nil {
		return license.Lease{}
	}
	l, err := license.VerifyLease(r.Lease, b.cfg.Root, string(b.id), b.key.Public().(ed25519.PublicKey), b.now)
	b.must(err)
	return l
}

func (b *box) seats(hosts ...wire.HostID) (jls.SeatsReply, *operator.Problem) {
	b.t.Helper()
	list := []jls.Seat{}
	for _, h := range hosts {
		list = append(list, jls.Seat{Host: h, Name: string(h)})
	}
	var r jls.SeatsReply
	p := b.send(jls.PathSeats, jls.Seats{Head: b.head(), Hosts: list}, &r)
	return r, p
}

func wantProblem(t *testing.T, p *operator.Problem, code operator.Code, word string) {
	t.Helper()
	if p == nil || p.Code != code || !strings.Contains(p.Error(), word) {
		t.Errorf("got problem %v, want %s naming %q", p, code, word)
	}
}

const day = 24 * time.Hour

func TestActivationAndLeases(t *testing.T) {
	s := newSite(t)
	token, lic := s.sell(2, 20)
	a := s.box(1)
	lease, p := a.activate(token)
	if p != nil || lease.License != lic.ID || !lease.Expires.Equal(s.now.Add(license.LeaseFor)) {
		t.Fatalf("got %+v, %v", lease, p)
	}
	if again, p := a.activate(token); p != nil || again.License != lic.ID {
		t.Errorf("activating again: got %v", p)
	}
	s.now = s.now.Add(10 * day)
	if lease, p = a.renew(); p != nil || !lease.Expires.Equal(lic.Expires) {
		t.Errorf("a lease must not outlive the licence: got %+v, %v", lease, p)
	}
	s.now = s.now.Add(10 * day)
	_, p = a.renew()
	wantProblem(t, p, operator.Denied, "ended")
	_, p = s.box(2).renew()
	wantProblem(t, p, operator.NotFound, "not activated")
}

func TestSecondInstallationIsRefusedUntilRelease(t *testing.T) {
	s := newSite(t)
	token, lic := s.sell(2, 20)
	a, b := s.box(1), s.box(2)
	if _, p := a.activate(token); p != nil {
		t.Fatal(p)
	}
	_, p := b.activate(token)
	wantProblem(t, p, operator.Conflict, string(a.id))
	var in jls.Installation
	if p := s.admin(http.MethodPost, jls.PathInstallations+"/"+string(a.id)+"/release", nil, &in); p != nil || in.Released.IsZero() {
		t.Fatalf("release: got %+v, %v", in, p)
	}
	if _, p := b.activate(token); p != nil {
		t.Errorf("after the release: %v", p)
	}
	_, p = a.renew()
	wantProblem(t, p, operator.Denied, "released")
	_, p = a.activate(token)
	wantProblem(t, p, operator.Conflict, string(b.id))
	var audit []jls.Audit
	if p := s.admin(http.MethodGet, jls.PathAudit, nil, &audit); p != nil || len(audit) != 5 {
		t.Fatalf("want a row for each of 5 attempts, got %+v, %v", audit, p)
	}
	if audit[0].Result == "ok" || audit[1].Result != "ok" || audit[0].Object != "licenses/"+lic.ID {
		t.Errorf("audit: got %+v", audit[:2])
	}
	p = s.admin(http.MethodPost, jls.PathInstallations+"/in-9999999999999999/release", nil, &in)
	wantProblem(t, p, operator.NotFound, "in-9999999999999999")
}

func TestForgedAndStaleRequests(t *testing.T) {
	s := newSite(t)
	token, _ := s.sell(2, 20)
	a := s.box(1)
	if _, p := a.activate(token); p != nil {
		t.Fatal(p)
	}
	thief := s.box(2)
	thief.id, thief.seq = a.id, 100
	_, p := thief.renew()
	wantProblem(t, p, operator.Denied, "not signed")
	_, p = thief.activate(token)
	wantProblem(t, p, operator.Denied, "another key")

	sealed, err := jls.Seal(jls.PathLease, a.key, jls.Renew{Head: a.head()})
	s.must(err)
	var r jls.LeaseReply
	if p, _ := s.call(http.MethodPost, jls.PathLease, sealed, &r); p != nil {
		t.Fatal(p)
	}
	p, h := s.call(http.MethodPost, jls.PathLease, sealed, &r)
	wantProblem(t, p, operator.Conflict, "used before")
	if h.Get(jls.SeqHeader) != "2" {
		t.Errorf("got %s %q, want 2", jls.SeqHeader, h.Get(jls.SeqHeader))
	}
	sealed, err = jls.Seal(jls.PathLease, a.key, jls.Seats{Head: a.head()})
	s.must(err)
	p, _ = s.call(http.MethodPost, jls.PathSeats, sealed, &r) // sealed for another path
	wantProblem(t, p, operator.Denied, "not signed")
	p, _ = s.call(http.MethodPost, jls.PathSeats, map[string]any{"body": "e30=", "signature": "", "extra": 1}, &r)
	wantProblem(t, p, operator.Invalid, "extra")
	p, _ = s.call(http.MethodPost, jls.PathSeats, jls.Signed{Body: []byte("{"), Signature: []byte{1}}, &r)
	wantProblem(t, p, operator.Invalid, "seats")
}

func TestBadLicences(t *testing.T) {
	s := newSite(t)
	other := newSite(t)
	foreign, _ := other.sell(1, 20)
	_, p := s.box(1).activate(foreign)
	wantProblem(t, p, operator.Denied, "another licence root")
	token, _ := s.sell(1, 20)
	_, p = s.box(1).activate(token[:40] + "AAAA" + token[44:])
	wantProblem(t, p, operator.Denied, "signature does not match")
	_, p = s.box(1).activate("nonsense")
	wantProblem(t, p, operator.Invalid, "malformed")
	s.now = s.now.Add(-day)
	_, p = s.box(1).activate(token)
	wantProblem(t, p, operator.Denied, "not valid yet")
	s.now = s.now.Add(21 * day)
	_, p = s.box(1).activate(token)
	wantProblem(t, p, operator.Denied, "expired")
}

func TestRevoke(t *testing.T) {
	s := newSite(t)
	var lic jls.IssuedLicense
	if p := s.admin(http.MethodPost, jls.PathLicenses, jls.NewLicense{Customer: "Demo", Hosts: 2, Days: 30}, &lic); p != nil {
		t.Fatal(p)
	}
	a := s.box(1)
	if _, p := a.activate(lic.Token); p != nil {
		t.Fatal(p)
	}
	var rev jls.License
	if p := s.admin(http.MethodPost, jls.PathLicenses+"/"+lic.ID+"/revoke", nil, &rev); p != nil || rev.Revoked.IsZero() ||
		rev.Installation != a.id {
		t.Fatalf("got %+v, %v", rev, p)
	}
	_, p := a.renew()
	wantProblem(t, p, operator.Denied, "revoked")
	_, p = a.activate(lic.Token)
	wantProblem(t, p, operator.Denied, "revoked")
	wantProblem(t, s.admin(http.MethodPost, jls.PathLicenses+"/lic-x/revoke", nil, &rev), operator.NotFound, "lic-x")
	wantProblem(t, s.admin(http.MethodPost, jls.PathLicenses, jls.NewLicense{Customer: "Demo", Days: 30}, &lic), operator.Invalid, "hosts")
}

func TestSeats(t *testing.T) {
	s := newSite(t)
	token, _ := s.sell(2, 20)
	a := s.box(1)
	if _, p := a.activate(token); p != nil {
		t.Fatal(p)
	}
	const h1, h2, h3 = "h-000000000001", "h-000000000002", "h-000000000003"
	if r, p := a.seats(h2, h1); p != nil || r.Allowed != 2 || r.Used != 2 || len(r.Over) != 0 {
		t.Errorf("got %+v, %v", r, p)
	}
	if r, _ := a.seats(h3, h2, h1); r.Used != 3 || len(r.Over) != 1 || r.Over[0] != h3 {
		t.Errorf("the host that came last is over, whatever the order of the list: got %+v", r)
	}
	if r, _ := a.seats(h3, h2); r.Used != 2 || len(r.Over) != 0 {
		t.Errorf("a host left: got %+v", r)
	}
	var list []jls.Installation
	if p := s.admin(http.MethodGet, jls.PathInstallations, nil, &list); p != nil || len(list) != 1 || len(list[0].Hosts) != 2 ||
		list[0].Allowed != 2 {
		t.Errorf("got %+v, %v", list, p)
	}
}

func TestAdminNeedsItsToken(t *testing.T) {
	s := newSite(t)
	for _, h := range [][]string{nil, {"Bearer "}, {"Bearer wrong"}, {"Basic " + s.token}} {
		var out any
		p, _ := s.call(http.MethodGet, jls.PathInstallations, nil, &out, h...)
		wantProblem(t, p, operator.Denied, "token")
	}
	// What the JLS can do is told to its callers, not to the world.
	var description map[string]any
	if p, _ := s.call("GET", "/openapi.json", nil, &description); p == nil || p.Code != operator.Denied {
		t.Errorf("the description without a token: %+v", p)
	}
	if p, _ := s.call("GET", "/openapi.json", nil, &description, "Bearer "+s.token); p != nil || description["openapi"] == nil {
		t.Errorf("the description with the token: %v, %+v", p, description)
	}
	for _, path := range []string{"/openapi.yaml", "/openapi-3.0.json", "/docs", "/schemas/License.json"} {
		if resp, err := http.Get(s.http.URL + path); err != nil || resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %v, %v", path, resp, err)
		}
	}
}

// A power cut: the files as they lie on disk while the server runs, opened by a new one.
func TestPowerCut(t *testing.T) {
	s := newSite(t)
	token, lic := s.sell(2, 20)
	a := s.box(1)
	if _, p := a.activate(token); p != nil {
		t.Fatal(p)
	}
	if _, p := a.seats("h-000000000001"); p != nil {
		t.Fatal(p)
	}
	dir := t.TempDir()
	files, err := filepath.Glob(s.db + "*")
	s.must(err)
	for _, f := range files {
		raw, err := os.ReadFile(f)
		s.must(err)
		s.must(os.WriteFile(filepath.Join(dir, filepath.Base(f)), raw, 0o600))
	}
	s.stop()
	s.db = filepath.Join(dir, filepath.Base(s.db))
	s.start()
	if r, p := a.seats("h-000000000001", "h-000000000002", "h-000000000003"); p != nil || len(r.Over) != 1 {
		t.Errorf("got %+v, %v", r, p)
	}
	if lease, p := a.renew(); p != nil || lease.License != lic.ID {
		t.Errorf("got %+v, %v", lease, p)
	}
	_, p := s.box(2).activate(token)
	wantProblem(t, p, operator.Conflict, string(a.id))
}
