package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/license"
	"hardnode.dev/internal/license/issue"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/testkit/ports"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/hostapi/hosttest"
	"hardnode.dev/orchestrator/seed"
	"hardnode.dev/orchestrator/store"
)

// cluster is an orchestrator on loopback with all that Day 0 made, and hosts that run nothing.
type cluster struct {
	prepare func(*orchestrator) // before it runs; may be nil
	t       testing.TB
	dir     string
	seed    boot.OrchestratorSeed
	tokens  map[string]secret.Text
	root    identity.CA
	client  *http.Client
	plain   *http.Client // HTTP/1.1
	bearer  string
	spoken  host.Protocols // by hosts that join from now on; zero: host.Spoken
	said    io.Writer      // what is logged goes there too; nil: nowhere else

	skew          atomic.Int64 // nanoseconds the operations' clock is ahead
	api, hostAddr string
	o             *orchestrator
	stopped       func()
}

const adminToken = "hnt.admin.0123456789abcdef0123456789abcdef"

func digest(s string) wire.Digest { return wire.DigestOf(sha256.Sum256([]byte(s))) }

// found makes a cluster's seed: tokens for the hosts named, a licence for `seats` hosts.
func found(t testing.TB, seats int, hosts ...string) *cluster {
	t.Helper()
	now := time.Now()
	id := wire.ClusterID("cl-0123456789abcdef")
	root, err := identity.NewRoot(id, now)
	must(t, err)
	issuing, err := root.Issue(id, now)
	must(t, err)
	key, err := x509.MarshalPKCS8PrivateKey(issuing.Key)
	must(t, err)
	licRoot := ed25519.NewKeyFromSeed(bytes.Repeat([]byte("r"), 32))
	signing := ed25519.NewKeyFromSeed(bytes.Repeat([]byte("s"), 32))
	cert, err := issue.Certify(licRoot, signing.Public().(ed25519.PublicKey), now.Add(-time.Hour), now.AddDate(1, 0, 0))
	must(t, err)
	text, err := issue.Signer{Key: signing, Cert: cert}.License(license.License{ID: "lic-0123456789abcdef", Customer: "Test", Hosts: seats,
		Issued: now.UTC().Truncate(time.Second).Add(-time.Minute), Expires: now.UTC().Truncate(time.Second).AddDate(1, 0, 0)})
	must(t, err)
	sum := sha256.Sum256([]byte(adminToken))
	c := &cluster{t: t, dir: t.TempDir(), root: root, tokens: map[string]secret.Text{}, bearer: adminToken}
	c.seed = boot.OrchestratorSeed{Version: 1, Cluster: id, Name: "demo", Domain: "demo.test", Names: []string{"127.0.0.1"},
		Range4: "10.96.0.0/12", Range6: "fd48:4e00:1::/48",
		RootCA: root.Cert.Raw, IssuingCA: issuing.Cert.Raw, IssuingKey: key, Gossip: bytes.Repeat([]byte("g"), 32),
		AdminToken: "sha256:" + hex.EncodeToString(sum[:]),
		Infra: boot.InfraHost{Name: "infra1", Underlay: "10.77.0.2", Block4: "10.96.0.0/24", Block6: "fd48:4e00:1::/64",
			External: "192.0.2.7"},
		License: text, LicenseKey: licRoot.Public().(ed25519.PublicKey),
		Work: host.Work{Version: 1, Revision: 3, Containers: []host.Container{
			{CTID: 3, Env: "jelastic", Layer: "cp", Hostname: "orchestrator", Generation: 1, Run: true,
				Image:   host.Image{Name: "orchestrator", Digest: digest("o"), Bytes: 1},
				Process: host.Process{Argv: []string{"/orchestrator"}}, Profile: host.ProfileApp, IPv4: netip.MustParseAddr("10.96.0.13"),
				Component: "orchestrator",
				Limits:    host.Limits{MemoryMax: 512 << 20}, Publish: []host.Port{{Proto: "tcp", Host: 7443, Container: 7443}}},
			{CTID: 4, Env: "jelastic", Layer: "cp", Hostname: "resolver", Generation: 1, Run: true,
				Image:   host.Image{Name: "resolver", Digest: digest("r"), Bytes: 1},
				Process: host.Process{Argv: []string{"/resolver"}}, Profile: host.ProfileApp, IPv4: netip.MustParseAddr("10.96.0.14"),
				Component: "resolver", Limits: host.Limits{MemoryMax: 128 << 20}},
		}}}
	for _, name := range hosts {
		role := host.RoleUser
		if strings.HasPrefix(name, "infra") {
			role = host.RoleInfra
		}
		expires := now.Add(time.Hour)
		if strings.HasPrefix(name, "late") {
			expires = now.Add(-time.Hour)
		}
		tok, rec, err := identity.NewJoinToken(name, role, expires)
		must(t, err)
		c.tokens[name] = tok
		c.seed.JoinTokens = append(c.seed.JoinTokens, rec)
	}
	pool := x509.NewCertPool()
	pool.AddCert(root.Cert)
	// An ordinary client: the chain must end in the root CA and the name must be in the certificate.
	c.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	c.plain = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	return c
}

// start runs the orchestrator on the cluster's data, as a new process would.
func (c *cluster) start() {
	c.t.Helper()
	raw, err := json.Marshal(c.seed)
	must(c.t, err)
	file := filepath.Join(c.dir, "seed.json")
	must(c.t, os.WriteFile(file, raw, 0o600))
	s, err := seed.Read(file)
	must(c.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	log := logging.New(testWriter{c.t, c.said}, "orchestrator", nil)
	o, err := construct(ctx, config{data: filepath.Join(c.dir, "data"), scale: 1, unsafe: true, started: time.Now(), log: log}, s)
	must(c.t, err)
	o.ops.Now = func() time.Time { return time.Now().Add(time.Duration(c.skew.Load())) }
	o.panel.Now = o.ops.Now
	if c.prepare != nil {
		c.prepare(o)
	}
	listen := func(addr string) net.Listener {
		l, err := net.Listen("tcp", addr)
		must(c.t, err)
		return l
	}
	if c.api == "" { // it is started again on the same ones
		c.api, c.hostAddr = ports.Own(c.t), ports.Own(c.t)
	}
	api, hosts := listen(c.api), listen(c.hostAddr)
	c.o = o
	done := make(chan error, 1)
	go func() { done <- o.run(ctx, api, hosts) }()
	c.stopped = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			c.t.Errorf("the orchestrator ended: %v", err)
		}
		o.close()
	})
	c.t.Cleanup(func() { c.stopped() })
	c.fillTemplates()
}

// fillTemplates does what the registry's list does.
func (c *cluster) fillTemplates() {
	_, err := c.o.store.Update(context.Background(), func(tx *store.Tx) error {
		t := host.Template{Image: host.Image{Name: "nginx:1.22", Digest: digest("nginx"), Bytes: 4096}, OCI: digest("oci"),
			Process:  host.Process{Argv: []string{"nginx"}},
			HTTPPort: 80, Check: &host.Check{Port: 80, Path: "/"}, Profile: host.ProfileApp, Account: wire.AdminAccount}
		store.Templates.Put(tx, store.TemplateKey(t.Name), t)
		return nil
	})
	must(c.t, err)
}

type testWriter struct {
	t    testing.TB
	said io.Writer
}

func (w testWriter) Write(p []byte) (int, error) {
	if w.said != nil {
		w.said.Write(p)
	}
	if testing.Verbose() {
		fmt.Fprint(os.Stderr, string(p))
	}
	return len(p), nil
}

// join makes a host join and run; cut cuts its power.
func (c *cluster) join(name string, memory int64) (h *hosttest.Host, cut func()) {
	c.t.Helper()
	h, err := hosttest.Join(context.Background(),
		hosttest.Options{Addr: c.hostAddr, Pin: identity.Pin(c.root.Cert), Token: c.tokens[name], Memory: memory,
			Underlay: netip.MustParseAddr("10.77.0.11"), Every: 300 * time.Millisecond, Spoken: c.spoken})
	must(c.t, err)
	cut = c.power(h)
	c.eventually(name+" is ACTIVE", func() bool { return c.host(name).State == operator.HostActive })
	return h, cut
}

// power switches a host on.
func (c *cluster) power(h *hosttest.Host) (cut func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	cut = sync.OnceFunc(func() { cancel(); <-done })
	c.t.Cleanup(cut)
	return cut
}

func (c *cluster) call(method, path string, in, into any, header ...string) *operator.Problem {
	c.t.Helper()
	var body io.Reader
	switch v := in.(type) {
	case nil:
	case string:
		body = strings.NewReader(v)
	default:
		raw, err := json.Marshal(v)
		must(c.t, err)
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequest(method, "https://"+c.api+path, body)
	must(c.t, err)
	if c.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+c.bearer)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := c.client
	if req.Header.Get("Upgrade") != "" {
		client = c.plain // WebSockets are HTTP/1.1
		req.Header.Set("Connection", "Upgrade")
	}
	resp, err := client.Do(req)
	must(c.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	must(c.t, err)
	if resp.StatusCode >= 300 {
		p := &operator.Problem{}
		if ct := resp.Header.Get("Content-Type"); ct != "application/problem+json" {
			c.t.Fatalf("%s %s: %s has content type %q, want problem+json: %s", method, path, resp.Status, ct, raw)
		}
		must(c.t, json.Unmarshal(raw, p))
		if p.Status != resp.StatusCode || p.Reason == "" || p.Code == "" {
			c.t.Errorf("%s %s: %d answered with an unfit problem: %s", method, path, resp.StatusCode, raw)
		}
		return p
	}
	if into != nil {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		if err := d.Decode(into); err != nil {
			c.t.Fatalf("%s %s: %v: %s", method, path, err, raw)
		}
	}
	return nil
}

func (c *cluster) ok(method, path string, in, into any, header ...string) {
	c.t.Helper()
	if p := c.call(method, path, in, into, header...); p != nil {
		c.t.Fatalf("%s %s: %v", method, path, p)
	}
}

func (c *cluster) host(name string) (h operator.Host) {
	c.t.Helper()
	if p := c.call("GET", "/api/v1/hosts/"+name, nil, &h); p != nil && p.Code != operator.NotFound {
		c.t.Fatal(p)
	}
	return h
}

func (c *cluster) env(name string) (e operator.Environment, ok bool) {
	c.t.Helper()
	p := c.call("GET", "/api/v1/environments/"+name, nil, &e)
	return e, p == nil
}

func (c *cluster) operation(id wire.OperationID) (op operator.Operation) {
	c.t.Helper()
	c.ok("GET", "/api/v1/operations/"+string(id), nil, &op)
	return op
}

// patience is how long an event is waited for: some come after 12 s of real clocks, and a machine with much to do is several times slower.
const patience = 2 * time.Minute

func (c *cluster) eventually(what string, f func() bool) {
	c.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); run.Wait(context.Background(), 20*time.Millisecond) {
		if f() {
			return
		}
	}
	c.t.Fatalf("not within %s: %s", patience, what)
}

// later moves the operations' clock on: what is at work now has run out of time.
func (c *cluster) later(d time.Duration) { c.skew.Add(int64(d)) }

// settle waits until what is stored now has been planned for and has reached every host that answers.
func (c *cluster) settle() {
	c.t.Helper()
	c.eventually("no node waits to be started anew", func() bool {
		must(c.t, c.o.loop.Once(c.t.Context()))
		for n := range store.Nodes.Rows(c.o.store.View()) {
			if n.Quiet != nil {
				return false
			}
		}
		return true
	})
	v := c.o.store.View()
	c.eventually("all hosts have planned for their work", func() bool {
		snapshot := c.o.fleet.Snapshot()
		for _, h := range store.Hosts.All(v) {
			if w, ok := store.Works.Get(v, string(h.ID)); ok && snapshot[h.ID].State.State == operator.HostActive &&
				snapshot[h.ID].Report.PlannedFor() < w.Revision {
				return false
			}
		}
		return true
	})
}

// create asks for an environment and waits for the end of the operation.
func (c *cluster) create(spec operator.EnvironmentSpec) operator.Operation {
	c.t.Helper()
	var a operator.Accepted
	c.ok("POST", "/api/v1/environments", spec, &a)
	return c.ended(a.Operation.ID)
}

func (c *cluster) ended(id wire.OperationID) (op operator.Operation) {
	c.t.Helper()
	c.eventually("operation "+string(id)+" ends", func() bool { op = c.operation(id); return op.State.Final() })
	return op
}

func hello(name wire.EnvName, nodes int) operator.EnvironmentSpec {
	return operator.EnvironmentSpec{Version: 1, Name: name,
		Layers: []operator.LayerSpec{{Name: "cp", Template: "nginx", Nodes: nodes, Cloudlets: wire.Cloudlets{Reserved: 1, Dynamic: 4}}}}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func problemOf(err error) *operator.Problem {
	var p *operator.Problem
	errors.As(err, &p)
	return p
}

func wireToken(s string) secret.Text { return secret.Text(s) }
