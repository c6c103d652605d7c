package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/testkit/ports"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/front"
	"hardnode.dev/internal/wire/hold"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/zone"
	"hardnode.dev/orchestrator/resolver/feed"
	"hardnode.dev/orchestrator/resolver/sites"
)

const cluster = "cl-0123456789abcdef"

// world is a cluster around one resolver: an agent that signs certificates, an orchestrator that answers polls with what the test says.
type world struct {
	*testing.T
	dir          string
	authority    *identity.Authority
	orchestrator *http.Server
	orchAddr     string
	secure       string // where it serves HTTPS
	names        string // and DNS

	mu struct {
		sync.Mutex
		doc   string
		rev   wire.Revision
		over  chan struct{}
		asked map[string]int // rev= of the polls
		held  string         // what the last poll said of nodes that are held
		deaf  map[string]int // of asked: those that said that nobody can ask it
		sent  int            // documents
	}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	now := time.Now()
	root, err := identity.NewRoot(cluster, now)
	if err != nil {
		t.Fatal(err)
	}
	issuing, err := root.Issue(cluster, now)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(issuing.Key)
	if err != nil {
		t.Fatal(err)
	}
	linger = 10 * time.Millisecond
	w := &world{T: t, dir: t.TempDir()}
	w.mu.over, w.mu.asked, w.mu.deaf = make(chan struct{}), map[string]int{}, map[string]int{}
	if w.authority, err = identity.OpenAuthority(cluster, root.Cert.Raw, issuing.Cert.Raw, key); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(w.dir, "identity.sock"))
	if err != nil {
		t.Fatal(err)
	}
	agent := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var q identity.ComponentCSR
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			t.Error(err)
		}
		json.NewEncoder(rw).Encode(
			host.RenewReply{Chain: w.sign(q.CSR, identity.Peer{CTID: 4, Component: "resolver", Host: "h-0123456789ab"})})
	})}
	go agent.Serve(l)
	t.Cleanup(func() { agent.Close() })
	w.startOrchestrator(ports.Own(t))
	raw, _ := json.Marshal(boot.ResolverConfig{Version: 1, Cluster: cluster, CAPin: identity.Pin(w.authority.Root),
		Orchestrator: []string{"127.0.0.1:1", w.orchAddr}})
	if err := os.WriteFile(filepath.Join(w.dir, "resolver.json"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) sign(csr []byte, p identity.Peer) [][]byte {
	chain, err := w.authority.Sign(csr, p, nil, time.Now())
	if err != nil {
		w.Error(err)
	}
	return chain
}

func (w *world) startOrchestrator(addr string) {
	w.Helper()
	key, err := identity.NewKey()
	if err != nil {
		w.Fatal(err)
	}
	csr, err := identity.CSR(key)
	if err != nil {
		w.Fatal(err)
	}
	c, err := identity.NewCredential(key, w.sign(csr, identity.Peer{CTID: 3, Component: "orchestrator"}))
	if err != nil {
		w.Fatal(err)
	}
	self := &identity.Holder{}
	self.Set(c)
	trust := identity.Trust{Pin: identity.Pin(w.authority.Root), Cluster: cluster}
	l, err := tls.Listen("tcp", addr, identity.ServerTLS(trust, nil, self))
	if err != nil {
		w.Fatal(err)
	}
	w.orchAddr = l.Addr().String()
	w.orchestrator = &http.Server{Handler: http.HandlerFunc(w.poll), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	go w.orchestrator.Serve(l)
	srv := w.orchestrator
	w.Cleanup(func() { srv.Close() })
}

func (w *world) poll(rw http.ResponseWriter, r *http.Request) {
	p, ok := identity.ClientOf(r.TLS, time.Now())
	if !ok || p.Component != "resolver" || r.URL.Path != host.PathRoutes {
		http.Error(rw, "no", http.StatusForbidden)
		return
	}
	rev := r.URL.Query().Get("rev")
	wait, err := time.ParseDuration(r.URL.Query().Get("wait"))
	if err != nil {
		w.Errorf("a poll waits %v", err)
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	for {
		w.mu.Lock()
		w.mu.asked[rev]++
		if r.URL.Query().Get(host.RoutesDeaf) == "1" {
			w.mu.deaf[rev]++
		}
		w.mu.held = r.URL.Query().Get(hold.Query)
		doc, over, newest := w.mu.doc, w.mu.over, w.mu.rev
		w.mu.Unlock()
		if doc != "" && rev != newest.String() {
			w.mu.Lock()
			w.mu.sent++
			w.mu.Unlock()
			io.WriteString(rw, doc)
			return
		}
		select {
		case <-over:
		case <-ctx.Done():
			rw.WriteHeader(http.StatusNoContent)
			return
		}
	}
}

// publish makes doc what the orchestrator answers.
func (w *world) publish(rev wire.Revision, doc string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.doc, w.mu.rev = doc, rev
	close(w.mu.over)
	w.mu.over = make(chan struct{})
}

// polls is how many asked for what comes after rev.
func (w *world) polls(rev string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.asked[rev]
}

// held is what the last poll said of nodes that are held.
func (w *world) held() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.held
}

func (w *world) sent() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.sent
}

func site(rev wire.Revision, addrs ...string) string {
	s := host.Site{Env: "alpha", Domain: "a.test", Running: true, State: "running"}
	for i, a := range addrs {
		s.Backends = append(s.Backends, host.Backend{CTID: wire.CTID(101 + i), Addr: netip.MustParseAddrPort(a), Host: "h-0123456789ab"})
	}
	raw, _ := json.Marshal(host.Routes{Version: 1, Revision: rev, Sites: []host.Site{s}})
	return string(raw)
}

// start runs the program; stop ends it as SIGTERM would.
func (w *world) start() (addr string, stop func() string) {
	w.Helper()
	addr, w.secure, w.names = ports.Own(w), ports.Own(w), ports.Own(w)
	ctx, cancel := context.WithCancel(context.Background())
	var log bytes.Buffer
	done := make(chan error, 1)
	go func() {
		done <- resolver(ctx, slog.New(slog.NewTextHandler(&log, nil)), filepath.Join(w.dir, "resolver.json"), filepath.Join(w.dir, "data"),
			listeners{addr, w.secure, w.names}, filepath.Join(w.dir, "identity.sock"))
	}()
	stopped := false
	stop = func() string {
		if !stopped {
			stopped = true
			cancel()
			if err := <-done; err != nil {
				w.Errorf("the resolver ended with %v", err)
			}
		}
		return log.String()
	}
	w.Cleanup(func() { stop() })
	return addr, stop
}

// until asks for a.test until the answer has this code and text.
func (w *world) until(addr string, code int, text string) {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	got := ""
	for {
		req, _ := http.NewRequest(http.MethodGet, "http://"+addr, nil)
		req.Host, req.Close = "a.test", true
		if resp, err := http.DefaultTransport.RoundTrip(req); err != nil {
			got = err.Error()
		} else {
			raw, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if got = resp.Status + " " + string(raw); resp.StatusCode == code && strings.Contains(string(raw), text) {
				return
			}
		}
		if !run.Wait(ctx, 20*time.Millisecond) {
			w.Fatalf("got %q in the end, want %d with %q", got, code, text)
		}
	}
}

func named(t *testing.T, name string) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, name) }))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestFollowsTheOrchestrator(t *testing.T) {
	w := newWorld(t)
	addr, stop := w.start()
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("it takes connections before it has routes: what they ask for it can't know")
	}
	w.publish(1, site(1, named(t, "one")))
	w.until(addr, 200, "one")
	w.publish(2, site(2, named(t, "two")))
	w.until(addr, 200, "two")
	w.publish(3, `{"version":1,"revision":3,"sites":[]}`)
	w.until(addr, 404, "No such environment")
	stop()
}

// TestAccessLog: requests of an environment that asked for it are kept, and read by the program's other way to run.
func TestAccessLog(t *testing.T) {
	w := newWorld(t)
	addr, stop := w.start()
	doc, _ := json.Marshal(host.Routes{Version: 1, Revision: 1, Sites: []host.Site{{Env: "alpha", Domain: "a.test", Running: true,
		Since: time.Unix(0, 0x99), Front: &front.Settings{AccessLog: true},
		Backends: []host.Backend{{CTID: 101, Addr: netip.MustParseAddrPort(named(t, "one")), Host: "h-0123456789ab"}}}}})
	w.publish(1, string(doc))
	w.until(addr, 200, "one")
	in, done := io.Pipe()
	out, lines := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- readLog(t.Context(), in, lines, filepath.Join(w.dir, "data"), "alpha.99", 0, true) }()
	text, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.Contains(text, `"path":"/","protocol":"HTTP/1.1","status":200,"sent":3`) {
		t.Errorf("got %q, %v", text, err)
	}
	done.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	var other bytes.Buffer
	if err := readLog(t.Context(), nil, &other, filepath.Join(w.dir, "data"), "alpha.9a", 0, false); err != nil || other.Len() > 0 {
		t.Errorf("another environment of the same name reads %q, %v", other.String(), err)
	}
	stop()
}

// TestFollowsChanges: changes lead on from what the resolver has; one that does not is refused, and all is asked for. What is on disk is
// whole.
func TestFollowsChanges(t *testing.T) {
	w := newWorld(t)
	addr, stop := w.start()
	change := func(rev, from wire.Revision, addrs ...string) string {
		return strings.Replace(site(rev, addrs...), `"sites"`, `"from":`+from.String()+`,"sites"`, 1)
	}
	w.publish(1, site(1, named(t, "one")))
	w.until(addr, 200, "one")
	w.publish(2, change(2, 1, named(t, "two")))
	w.until(addr, 200, "two")
	w.publish(3, `{"version":1,"revision":3,"from":2,"sites":[],"gone":["alpha"]}`)
	w.until(addr, 404, "No such environment")
	w.publish(4, change(4, 3, named(t, "four")))
	w.until(addr, 200, "four")
	before := w.polls("0")
	w.publish(6, change(6, 5, named(t, "six")))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for w.polls("0") < before+2 {
		if !run.Wait(ctx, 20*time.Millisecond) {
			t.Fatal("after a change of something else it does not ask for all")
		}
	}
	w.until(addr, 200, "four")
	w.publish(7, site(7, named(t, "seven")))
	w.until(addr, 200, "seven")
	w.publish(8, change(8, 7, named(t, "eight")))
	w.until(addr, 200, "eight")
	stop()
	w.orchestrator.Close()
	addr, _ = w.start()
	w.until(addr, 200, "eight")
}

// TestOrchestratorGone: without the orchestrator the resolver goes on, even when it is started anew; then it follows again.
func TestOrchestratorGone(t *testing.T) {
	w := newWorld(t)
	addr, stop := w.start()
	w.publish(1, site(1, named(t, "one")))
	w.until(addr, 200, "one")
	w.orchestrator.Close()
	w.until(addr, 200, "one")
	stop()
	addr, stop = w.start()
	w.until(addr, 200, "one")
	w.startOrchestrator(w.orchAddr)
	w.publish(2, site(2, named(t, "two")))
	w.until(addr, 200, "two")
	if log := stop(); !strings.Contains(log, "restored from disk") {
		t.Errorf("got log\n%s", log)
	}
}

// TestHoldsOverRestart: a resolver that is started again while it holds a node goes on with that, says so, and answers when it is over.
func TestHoldsOverRestart(t *testing.T) {
	w := newWorld(t)
	addr, stop := w.start()
	one := named(t, "one")
	w.publish(1, site(1, one))
	w.until(addr, 200, "one")
	held := strings.Replace(site(2, one), `"host":`, `"held":true,"host":`, 1)
	w.publish(2, held)
	said := func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for w.held() != "101:0" {
			if !run.Wait(ctx, 5*time.Millisecond) {
				t.Fatalf("the last poll says %q of what is held", w.held())
			}
		}
	}
	said()
	stop() // what is in force is on disk
	w.mu.Lock()
	w.mu.held = ""
	w.mu.Unlock()
	addr, _ = w.start()
	said()
	answer := make(chan string, 1)
	go func() {
		req, _ := http.NewRequest(http.MethodGet, "http://"+addr, nil)
		req.Host = "a.test"
		resp, err := (&http.Transport{}).RoundTrip(req)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		answer <- resp.Status + " " + string(text)
	}()
	select {
	case got := <-answer:
		t.Errorf("while its node is held a request is answered with %q", got)
	case <-time.After(100 * time.Millisecond):
	}
	w.publish(3, site(3, one))
	if got := <-answer; got != "200 OK one" {
		t.Errorf("answered with %q", got)
	}
}

// TestLingers: told to end it still takes what was on the way to it, and has each client make its next connection elsewhere.
func TestLingers(t *testing.T) {
	for range 5 { // a machine that is very busy lets the time pass
		w := newWorld(t)
		linger = time.Second
		addr, stop := w.start()
		w.publish(1, site(1, named(t, "one")))
		w.until(addr, 200, "one")
		ended := make(chan struct{})
		go func() { defer close(ended); stop() }()
		for lingers := false; ; {
			req, _ := http.NewRequest(http.MethodGet, "http://"+addr, nil)
			req.Host = "a.test"
			resp, err := (&http.Transport{}).RoundTrip(req)
			if err != nil {
				<-ended
				if lingers {
					return
				}
				break
			}
			raw, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			lingers = lingers || resp.Close && string(raw) == "one"
		}
	}
	t.Error("it never answered after it was told to end")
}

func TestBadRoutesAreRefused(t *testing.T) {
	w := newWorld(t)
	addr, stop := w.start()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	w.publish(1, site(1, named(t, "one")))
	w.until(addr, 200, "one")
	for i, bad := range []string{`{"version":1,`, `{"version":9,"revision":2,"sites":[]}`, strings.Replace(site(2, "127.0.0.1:1"), "a.test",
		"A.test", 1), strings.Replace(site(2, "127.0.0.1:1"), "127.0.0.1", "224.0.0.1", 1), site(2) + "x"} {
		w.publish(wire.Revision(2+i), bad)
		for w.sent() < min(2+i, 3) && run.Wait(ctx, 10*time.Millisecond) { // it had the first bad one; it asks more seldom then
		}
		w.until(addr, 200, "one")
	}
	w.publish(50, site(50, named(t, "two")))
	w.until(addr, 200, "two")
	if log := stop(); strings.Count(log, "going on with the last ones") != 1 {
		t.Errorf("the refusals were not said once:\n%s", log)
	}
}

func TestDamagedCopyIsSetAside(t *testing.T) {
	w := newWorld(t)
	dir := filepath.Join(w.dir, "data/routes")
	os.MkdirAll(dir, 0o700)
	os.WriteFile(filepath.Join(dir, "routes.json"), []byte("{half"), 0o600)
	addr, stop := w.start()
	w.publish(1, site(1, named(t, "one")))
	w.until(addr, 200, "one")
	stop()
	if _, err := os.Stat(filepath.Join(dir, "routes.json.damaged")); err != nil {
		t.Error(err)
	}
	w.orchestrator.Close()
	addr, _ = w.start()
	w.until(addr, 200, "one")
}

func TestRefusesBadConfiguration(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.json")
	os.WriteFile(file, []byte(`{"version":1,"orchestrators":[]}`), 0o600)
	nowhere := listeners{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"}
	if err := resolver(context.Background(), nil, file, t.TempDir(), nowhere, ""); err == nil ||
		!strings.Contains(err.Error(), "resolver configuration") {
		t.Errorf("got %v", err)
	}
}

// TestAnswersForTheDomain: the zone of the routes is answered over UDP and TCP, and after a start from disk with no orchestrator there.
func TestAnswersForTheDomain(t *testing.T) {
	w := newWorld(t)
	addr, stop := w.start()
	a := []netip.Addr{netip.MustParseAddr("198.51.100.4")}
	doc, _ := json.Marshal(host.Routes{Version: 1, Revision: 1, Sites: []host.Site{}, Zone: &zone.Zone{Domain: "paas.test", Serial: 9,
		Mail: "a@paas.test", Addresses: a, Servers: []zone.DnsServer{{Name: "ns1.paas.test", Addresses: a}}}})
	w.publish(1, string(doc))
	w.until(addr, 404, "No such environment")
	answered := func(when string) {
		t.Helper()
		q := new(dns.Msg).SetQuestion("hello.paas.test.", dns.TypeA)
		for _, network := range []string{"udp", "tcp"} {
			got, _, err := (&dns.Client{Net: network, Timeout: time.Minute}).Exchange(q, w.names)
			if err != nil || len(got.Answer) != 1 || !got.Authoritative || got.Answer[0].(*dns.A).A.String() != "198.51.100.4" {
				t.Errorf("%s, over %s: %v, %v", when, network, got, err)
			}
		}
	}
	answered("from the orchestrator")
	stop()
	w.orchestrator.Close()
	addr, stop = w.start()
	w.until(addr, 404, "No such environment")
	answered("from disk")
	stop()
}

// TestDeafUntilItListens: no poll says that a document can be asked for before the resolver listens.
func TestDeafUntilItListens(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	listening := &atomic.Bool{}
	trust, self, book := identity.Trust{Pin: identity.Pin(w.authority.Root), Cluster: cluster}, &identity.Holder{}, &sites.Book{}
	go identity.KeepComponent(ctx, nil, filepath.Join(w.dir, "identity.sock"), trust, self)
	f := &feed.Feed{Book: book, Dir: filepath.Join(w.dir, "data"), Orchestrator: []string{w.orchAddr}, Self: self, Listens: listening.Load,
		Client: &http.Client{Transport: &http.Transport{TLSClientConfig: identity.ClientTLS(trust, identity.WantComponent("orchestrator"),
			self)}}}
	if err := f.Restore(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	polls := func() (all, deaf int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.mu.asked["1"], w.mu.deaf["1"]
	}
	w.publish(1, site(1, "127.0.0.1:1"))
	for all, _ := polls(); all == 0; all, _ = polls() {
		if !run.Wait(ctx, 10*time.Millisecond) {
			t.Fatal("it does not ask for what comes after the first document")
		}
	}
	if all, deaf := polls(); all != deaf {
		t.Errorf("of %d polls %d say that nobody can ask it yet", all, deaf)
	}
	listening.Store(true)
	for all, deaf := polls(); all == deaf; all, deaf = polls() {
		if !run.Wait(ctx, 10*time.Millisecond) {
			t.Fatal("it never says that it can be asked")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
