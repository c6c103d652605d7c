package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"hardnode.dev/internal/testkit/ports"
	"hardnode.dev/internal/wire/acme"
	"hardnode.dev/internal/wire/front"
	"hardnode.dev/internal/wire/mail"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/store"
)

// ca is a real CA, pebble's program, behind a front that the test can have fail; and the DNS, as the CA and the orchestrator see it.
type ca struct {
	t         *testing.T
	directory string
	trust     string // PEM of who signed for the directory
	roots     *x509.CertPool
	orders    atomic.Int32 // that were made
	refused   atomic.Int32 // requests, by answer

	mu     sync.Mutex
	away   bool
	mute   bool                         // it does not say when to renew
	wrong  time.Duration                // that its clock is off
	called func()                       // before each call; nil: nobody asks
	answer func(path string) (int, int) // a status in the place of its answer, and Retry-After; 0: none
	points map[string]string            // names to addresses; 127.0.0.1 else
	zone   string                       // what is in it the CA asks of the server at names
	names  string
}

func (a *ca) set(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

// lookup is the orchestrator's sight of the DNS.
func (a *ca) lookup(_ context.Context, name string) ([]netip.Addr, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if addr := a.points[name]; addr != "" {
		return []netip.Addr{netip.MustParseAddr(addr)}, nil
	}
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

// ServeDNS is the CA's.
func (a *ca) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	a.mu.Lock()
	zone, names := a.zone, a.names
	a.mu.Unlock()
	if zone != "" && dns.IsSubDomain(zone+".", dns.CanonicalName(q.Question[0].Name)) {
		got, _, err := (&dns.Client{Net: "udp", Timeout: 30 * time.Second}).Exchange(q, names)
		if err != nil {
			got = new(dns.Msg).SetRcode(q, dns.RcodeServerFailure)
		}
		w.WriteMsg(got)
		return
	}
	m := new(dns.Msg).SetReply(q)
	if q.Question[0].Qtype == dns.TypeA {
		m.Answer = append(m.Answer, &dns.A{A: net.IPv4(127, 0, 0, 1),
			Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}})
	}
	w.WriteMsg(m)
}

// authority starts a CA that issues certificates of that life, and looks for proofs at these addresses; env are variables of its program.
func authority(t *testing.T, life time.Duration, plain, secure string, env ...string) *ca {
	t.Helper()
	a := &ca{t: t, roots: x509.NewCertPool(), points: map[string]string{}}
	dir := t.TempDir()
	program := built(t, "github.com/letsencrypt/pebble/v2/cmd/pebble")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	names := &dns.Server{Listener: l, Handler: a}
	go names.ActivateAndServe()
	t.Cleanup(func() { names.Shutdown() })
	pair, _ := pairFor(t, "127.0.0.1")
	for file, text := range map[string]string{"cert.pem": pair.Chain, "key.pem": pair.Key.Reveal()} {
		must(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600))
	}
	listen, management := ports.Own(t), ports.Own(t)
	_, plainPort, _ := net.SplitHostPort(plain)
	_, securePort, _ := net.SplitHostPort(secure)
	config := fmt.Sprintf(`{"pebble":{"listenAddress":%q,"managementListenAddress":%q,"certificate":%q,"privateKey":%q,"httpPort":%s,
		"tlsPort":%s,"externalAccountBindingRequired":%t,"externalAccountMACKeys":{"kid-1":%q},
		"retryAfter":{"authz":1,"order":1},"keyAlgorithm":"ecdsa",
		"profiles":{"default":{"description":"x","validityPeriod":%d}}}}`, listen, management, filepath.Join(dir, "cert.pem"),
		filepath.Join(dir, "key.pem"), plainPort, securePort, slices.Contains(env, bound), externalKey, int(life/time.Second))
	must(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600))
	cmd := exec.Command(program, "-config", filepath.Join(dir, "config.json"), "-dnsserver", l.Addr().String())
	cmd.Env = append(append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_AUTHZREUSE=0"), env...)
	said := &strings.Builder{}
	cmd.Stdout, cmd.Stderr = said, said
	must(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() && testing.Verbose() {
			t.Logf("pebble said:\n%s", said)
		}
	})
	any := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // pebble's own, on loopback
	until(t, "pebble gives its root", func() bool {
		resp, err := any.RoundTrip(httptest.NewRequest("GET", "https://"+management+"/roots/0", nil))
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		raw, _ := io.ReadAll(resp.Body)
		return a.roots.AppendCertsFromPEM(raw)
	})
	until(t, "pebble serves", func() bool {
		resp, err := any.RoundTrip(httptest.NewRequest("GET", "https://"+listen+"/dir", nil))
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
	a.front(&httputil.ReverseProxy{Transport: any, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "https", Host: listen})
		r.Out.Host = r.In.Host // what pebble says of itself leads through here
	}, ModifyResponse: func(r *http.Response) error {
		a.mu.Lock()
		defer a.mu.Unlock()
		if r.Request.URL.Path == "/order-plz" && r.StatusCode == http.StatusCreated { // pebble refuses some for their nonce
			a.orders.Add(1)
		}
		if a.mute && r.Request.URL.Path == "/dir" {
			raw, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			raw = bytes.Replace(raw, []byte("renewalInfo"), []byte("renewalNone"), 1)
			r.Body = io.NopCloser(bytes.NewReader(raw))
		}
		r.Header.Set("Date", time.Now().Add(a.wrong).UTC().Format(http.TimeFormat))
		return nil
	}})
	return a
}

// bound among authority's variables: it makes accounts only that are bound to kid-1, whose key is externalKey.
const (
	bound       = "BOUND=1"
	externalKey = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
)

func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	(&cluster{t: t}).eventually(what, f)
}

// front stands before the CA.
func (a *ca) front(to http.Handler) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		away, answer, called := a.away, a.answer, a.called
		a.mu.Unlock()
		if called != nil {
			called()
		}
		if away {
			panic(http.ErrAbortHandler)
		}
		if answer != nil {
			if status, retry := answer(r.URL.Path); status != 0 {
				a.refused.Add(1)
				w.Header().Set("Retry-After", fmt.Sprint(retry))
				w.Header().Set("Content-Type", "application/problem+json")
				w.WriteHeader(status)
				json.NewEncoder(w).Encode(map[string]any{"type": "urn:ietf:params:acme:error:rateLimited", "status": status,
					"detail": "too many certificates already issued for shop.example"})
				return
			}
		}
		// what a CA has heard it does, whoever has gone: w has no CloseNotify
		to.ServeHTTP(struct{ http.ResponseWriter }{w}, r.WithContext(context.WithoutCancel(r.Context())))
	}))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	a.t.Cleanup(s.Close)
	a.directory = s.URL + "/dir"
	a.trust = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

// certified is a cluster with an environment, a resolver's process and a CA that is named.
type certified struct {
	*cluster
	ca     *ca
	secure string
	names  string       // where the resolver serves DNS
	ahead  atomic.Int64 // nanoseconds that the certificates' clock is ahead
}

// asksCA starts one with a CA whose certificates last so long; astray: it looks for proofs by HTTP where nobody listens.
func asksCA(t *testing.T, life time.Duration, astray bool, env ...string) *certified {
	t.Helper()
	c := &certified{cluster: found(t, 2, "infra1", "host1")}
	c.prepare = func(o *orchestrator) {
		o.certify.Now = func() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }
		o.domains.Now = o.certify.Now
		o.zones.Look = worldOf{c}
		o.certify.Lookup = func(ctx context.Context, name string) ([]netip.Addr, error) { return c.ca.lookup(ctx, name) }
	}
	c.start()
	infra, _ := c.join("infra1", 0)
	c.join("host1", 0)
	c.create(hello("hello", 1))
	c.ok("POST", "/api/v1/environments/hello/stop", nil, nil)
	plain, secure, names := c.resolver(infra)
	if c.secure, c.names = secure, names; astray {
		plain = ports.Own(t)
	}
	c.ca = authority(t, life, plain, secure, env...)
	return c
}

func (c *certified) settings() acme.SetAcmeSettings {
	return acme.SetAcmeSettings{Directory: c.ca.directory, Mail: "ada@example.com", AgreeTerms: true, CA: c.ca.trust,
		Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}
}

// at has the certificates' clock so far ahead, and looked at.
func (c *certified) at(d time.Duration) {
	c.ahead.Store(int64(d))
	c.o.certify.Look()
}

func (c *certified) name(name string) (d operator.Domain) {
	c.t.Helper()
	var all operator.Domains
	c.ok("GET", "/api/v1/environments/hello/domains", nil, &all)
	for _, d := range all.Domains {
		if d.Name == name {
			return d
		}
	}
	return d
}

// shows waits until a name stands so, and gives it back.
func (c *certified) shows(name, state, reason string) (d operator.Domain) {
	c.t.Helper()
	c.eventually(fmt.Sprintf("%s is %s with %q; it is %+v", name, state, reason, c.name(name).Issue), func() bool {
		d = c.name(name)
		i := d.Issue
		return i != nil && i.State == state && strings.Contains(i.Reason, reason) && (reason != "" || i.Reason == "")
	})
	return d
}

// served is the SHA-256 of the certificate that clients of the CA are shown, which they believe.
func (c *certified) served(name string) (sum string) {
	c.t.Helper()
	c.eventually("clients believe what "+name+" shows", func() bool {
		got, status, _, err := shown(c.t.Context(), c.secure, name, c.ca.roots)
		sum = got
		return err == nil && status == 503
	})
	return sum
}

// serves waits until clients are shown another certificate than one before.
func (c *certified) serves(name, other string) (sum string) {
	c.t.Helper()
	c.eventually("another certificate is shown", func() bool { sum = c.served(name); return sum != other })
	return sum
}

func (c *certified) alarms(with string) bool {
	var got operator.Cluster
	c.ok("GET", "/api/v1/cluster", nil, &got)
	return strings.Contains(strings.Join(got.Alarms, "\n"), with)
}

// TestIssued: from the CA's name in the settings to clients that believe what the resolver shows: asked for, renewed, gone on with after
// the orchestrator's end, behind an uploaded one, gone with its name.
func TestIssued(t *testing.T) {
	t.Parallel()
	const life = 30 * time.Minute
	c := asksCA(t, life, false)
	const path, names = "/api/v1/cluster/acme", "/api/v1/environments/hello/domains/"
	bad := c.settings()
	bad.AgreeTerms = false
	if p := c.call("PUT", path, bad, nil); p == nil || p.Code != operator.Invalid || !strings.Contains(p.Next, "read data:text/plain") {
		t.Errorf("without the terms: %v", p)
	}
	bad = c.settings()
	bad.CA = ""
	if p := c.call("PUT", path, bad, nil); p == nil || !strings.Contains(p.Error(), "unknown authority") {
		t.Errorf("of a directory that is not believed: %v", p)
	}
	c.ca.set(func() { c.ca.wrong = 3 * time.Hour })
	if p := c.call("PUT", path, c.settings(), nil); p == nil || !strings.Contains(p.Error(), "the clock is wrong: it is") {
		t.Errorf("with clocks far from each other: %v", p)
	}
	c.ca.set(func() { c.ca.wrong = 0 })
	var set acme.AcmeSettings
	c.ok("GET", path, nil, &set)
	if set.Directory != "" {
		t.Errorf("what was refused is kept: %+v", set)
	}
	c.ok("PUT", path, c.settings(), &set)
	if set.Account == "" || set.Terms == "" {
		t.Errorf("the settings are %+v", set)
	}

	c.ok("PUT", names+"shop.example", front.Scheme{Redirect: true}, nil)
	one := c.served("shop.example")
	d := c.shows("shop.example", "issued", "")
	if d.Certificate == nil || !d.Certificate.Issued || d.Certificate.SHA256 != one || d.Certificate.Warning != "" ||
		c.ca.orders.Load() != 1 {
		t.Errorf("it is %+v after %d orders", d.Certificate, c.ca.orders.Load())
	}
	rec, _ := store.Issues.Get(c.o.store.View(), "shop.example")
	if latest := rec.Certificate.Ends.Add(-life / 6); rec.Renew.After(latest.Add(time.Second)) || rec.Certificate.Key == nil {
		t.Errorf("it is renewed at %s, and ends at %s", rec.Renew, rec.Certificate.Ends)
	}

	c.at(life * 5 / 6) // whatever the CA said, it is renewed now
	two := c.serves("shop.example", one)
	c.at(0)

	// the orchestrator ends between the order and its certificate
	c.ca.set(func() {
		c.ca.answer = func(path string) (int, int) {
			if strings.HasPrefix(path, "/certZ/") {
				return 503, 1
			}
			return 0, 0
		}
	})
	before := c.ca.orders.Load()
	c.ok("PUT", names+"next.example", front.Scheme{}, nil)
	c.eventually("the CA has issued it, and says no when it is fetched", func() bool {
		i := c.name("next.example").Issue
		return i != nil && i.State == "ordered" && i.Reason != ""
	})
	c.stopped()
	if got, status, _, err := shown(t.Context(), c.secure, "shop.example", c.ca.roots); err != nil || got != two || status != 503 {
		t.Errorf("without the orchestrator: %d, %v", status, err)
	}
	c.ca.set(func() { c.ca.answer = nil })
	c.start()
	c.served("next.example")
	if got := c.ca.orders.Load(); got != before+1 {
		t.Errorf("%d orders were made, want one", got-before)
	}

	pair, der := pairFor(t, "shop.example")
	sum := sha256.Sum256(der)
	mine := x509.NewCertPool()
	mine.AppendCertsFromPEM([]byte(pair.Chain))
	const certificates = "/api/v1/environments/hello/certificates/"
	c.ok("PUT", certificates+"shop.example", pair, nil)
	c.eventually("the uploaded one is shown", func() bool {
		got, _, _, err := shown(t.Context(), c.secure, "shop.example", mine)
		return err == nil && got == hex.EncodeToString(sum[:])
	})
	c.ok("DELETE", certificates+"shop.example", nil, nil)
	if got := c.serves("shop.example", hex.EncodeToString(sum[:])); got != two {
		t.Error("without the uploaded one the issued one is not back")
	}
	c.ok("DELETE", names+"shop.example", nil, nil)
	c.eventually("nothing is kept of a name that is gone", func() bool {
		return store.Issues.Find(c.o.store.View(), "shop.example") == nil
	})
	c.ok("DELETE", path, nil, nil)
	c.served("next.example")
}

// TestCAAway: the CA is away for two thirds of the time in which a certificate is renewed, and then for longer than its life: it is served
// all the time, and people are told.
func TestCAAway(t *testing.T) {
	t.Parallel()
	const life = 30 * time.Minute
	c := asksCA(t, life, false)
	c.ok("PUT", "/api/v1/cluster/acme", c.settings(), nil)
	c.ok("PUT", "/api/v1/environments/hello/domains/shop.example", front.Scheme{}, nil)
	one := c.served("shop.example")
	away := func(is bool) { c.ca.set(func() { c.ca.away = is }) }

	c.ok("POST", "/api/v1/users", user.NewUser{Mail: "owner@example.com", Password: "correct horse", Account: "admin",
		Role: user.Owner}, nil)
	c.ok("PUT", "/api/v1/cluster/mail", mail.SetMailSettings{Host: "127.0.0.1", Port: 1, From: "paas@example.com",
		Panel: "https://paas.example.com", Security: mail.None}, nil)

	away(true)
	c.at(life * 5 / 6)
	d := c.shows("shop.example", "issued", "the CA is not reached: ")
	if d.Issue.Next.IsZero() || c.served("shop.example") != one {
		t.Errorf("with the CA away: %+v", d.Issue)
	}
	c.eventually("an alarm tells", func() bool {
		return c.alarms("environment hello: the certificate of shop.example ends at ") &&
			c.alarms("and is not renewed: the CA is not reached")
	})
	if d := c.name("shop.example"); !strings.HasPrefix(d.Certificate.Warning, "it ends soon, and is not renewed: the CA is not reached") {
		t.Errorf("its account is told %q", d.Certificate.Warning)
	}
	c.eventually("its owner is written to, once", func() bool {
		c.o.certify.Look()
		var waiting operator.List[mail.QueuedMail]
		c.ok("GET", "/api/v1/cluster/mail/outbox", nil, &waiting)
		return len(waiting.Items) == 1 && waiting.Items[0].To == "owner@example.com" &&
			waiting.Items[0].Subject == "The certificate of shop.example is not renewed"
	})
	away(false)
	c.at(life*5/6 + 2*time.Minute) // after the pause
	two := c.serves("shop.example", one)
	c.at(0)
	c.eventually("the alarm is over", func() bool { c.o.certify.Look(); return !c.alarms("shop.example") })

	away(true)
	c.at(life + 10*time.Minute)
	c.eventually("an alarm tells that it has ended", func() bool { return c.alarms("the certificate of shop.example has ended at ") })
	if d := c.name("shop.example"); !strings.HasPrefix(d.Certificate.Warning, "it has ended: clients refuse it: the CA is not reached") {
		t.Errorf("its account is told %q", d.Certificate.Warning)
	}
	if got := c.served("shop.example"); got != two {
		t.Error("an ended certificate is not shown any more")
	}
	away(false)
	c.at(life + 12*time.Minute)
	c.serves("shop.example", two)
	if n := c.ca.orders.Load(); n != 3 {
		t.Errorf("%d orders were made for three certificates", n)
	}
}

// TestCARefuses: a name that leads elsewhere is not asked for; what the CA refuses is shown in its words and tried again when it says; a
// proof that failed is given the other way.
func TestCARefuses(t *testing.T) {
	t.Parallel()
	c := asksCA(t, 90*24*time.Hour, true)
	c.ok("PUT", "/api/v1/cluster/acme", c.settings(), nil)
	const names = "/api/v1/environments/hello/domains/"
	c.ca.set(func() { c.ca.points["shop.example"] = "192.0.2.7" })
	c.ok("PUT", names+"shop.example", front.Scheme{}, nil)
	d := c.shows("shop.example", "failed", "shop.example points to 192.0.2.7, not to this cluster's resolver 127.0.0.1")
	if d.Issue.Next.IsZero() || c.ca.orders.Load() != 0 {
		t.Errorf("it is %+v after %d orders", d.Issue, c.ca.orders.Load())
	}

	c.ca.set(func() {
		c.ca.points = map[string]string{}
		c.ca.answer = func(path string) (int, int) {
			if path == "/order-plz" {
				return 429, 1000
			}
			return 0, 0
		}
	})
	c.ok("PUT", names+"shop.example", front.Scheme{}, nil) // said again it is looked at at once
	d = c.shows("shop.example", "failed", "the CA says: too many certificates already issued for shop.example")
	if wait := time.Until(d.Issue.Next); wait < 13*time.Minute || wait > 1001*time.Second {
		t.Errorf("it is tried again in %s, want the CA's 1000 s", wait)
	}
	if got := c.ca.refused.Load(); got != 1 || c.ca.orders.Load() != 0 {
		t.Errorf("the CA was asked %d times, and made %d orders", got, c.ca.orders.Load())
	}

	// its number of tries says by which proof it is tried: by HTTP, then by TLS
	c.ca.set(func() { c.ca.answer = nil })
	c.ok("DELETE", names+"shop.example", nil, nil)
	c.eventually("nothing is kept of it", func() bool { return store.Issues.Find(c.o.store.View(), "shop.example") == nil })
	c.at(10 * time.Second) // the CA is asked nothing for a while after it said so
	c.ok("PUT", names+"shop.example", front.Scheme{}, nil)
	d = c.shows("shop.example", "failed", "connection refused (http-01)")
	if wait := time.Until(d.Issue.Next); d.Issue.Tries != 1 || wait < 13*time.Minute || wait > 16*time.Minute {
		t.Errorf("after a proof that failed it is %+v", d.Issue)
	}
	c.at(16 * time.Minute)
	c.served("shop.example")
	if rec, _ := store.Issues.Get(c.o.store.View(), "shop.example"); rec.Tries != 0 || rec.Reason != "" {
		t.Errorf("its record is %+v", rec)
	}
}
