package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

// dial opens a session as hnctl does.
func (c *cluster) dial(path string) *websocket.Conn {
	c.t.Helper()
	return c.dialAt("nodes/" + path)
}

func (c *cluster) dialAt(path string) *websocket.Conn {
	c.t.Helper()
	conn, _, err := websocket.Dial(c.t.Context(), "wss://"+c.api+"/api/v1/"+path,
		&websocket.DialOptions{HTTPClient: c.plain, HTTPHeader: http.Header{"Authorization": {"Bearer " + c.bearer}}})
	must(c.t, err)
	c.t.Cleanup(func() { conn.CloseNow() })
	return conn
}

// drain reads a session to its exit frame.
func drain(t testing.TB, c *websocket.Conn) (out string, exit host.Exit) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		_, msg, err := c.Read(ctx)
		must(t, err)
		ch, p, err := host.ParseFrame(msg)
		must(t, err)
		if ch == host.ChanExit {
			must(t, json.Unmarshal(p, &exit))
			return out, exit
		}
		out += string(p)
	}
}

// A host is asked for a session in the answer of its one poll, or by a poll of sessions where it is of an earlier version.
func TestSessionsOfVersions(t *testing.T) {
	for _, newest := range []int{1, 2, host.ProtocolSessions} {
		t.Run(fmt.Sprint("protocol ", newest), func(t *testing.T) {
			t.Parallel()
			c := found(t, 2, "infra1", "host1")
			c.start()
			c.joins("host1", host.Protocols{Oldest: 1, Newest: newest}, 0)
			c.create(hello("hello", 1))
			for range 3 {
				conn := c.dial("100/exec?argv=cat")
				must(t, conn.Write(t.Context(), websocket.MessageBinary, host.Frame(host.ChanStdin, nil)))
				if out, exit := drain(t, conn); out != "cat\n" {
					t.Errorf("got %q, %+v", out, exit)
				}
			}
		})
	}
}

// Sessions carry much, carry no lies, and end with their host or their token. What else they do is testdata/stories/session.txtar.
func TestSessions(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1")
	c.start()
	_, cut := c.join("host1", 0)
	c.create(hello("hello", 1))
	// 2 MiB through cat, both ways, in frames of the largest size.
	conn := c.dial("100/exec?argv=cat")
	conn.SetReadLimit(host.MaxFrame + 1)
	chunk := strings.Repeat("x", host.MaxFrame)
	go func() {
		for range 64 {
			conn.Write(t.Context(), websocket.MessageBinary, host.Frame(host.ChanStdin, []byte(chunk)))
		}
		conn.Write(t.Context(), websocket.MessageBinary, host.Frame(host.ChanStdin, nil))
	}()
	if out, _ := drain(t, conn); len(out) != len("cat\n")+64*host.MaxFrame {
		t.Errorf("cat gave %d bytes back", len(out))
	}
	// A person may not pretend to be the process.
	conn = c.dial("100/exec?argv=cat")
	must(t, conn.Write(t.Context(), websocket.MessageBinary, host.Frame(host.ChanExit, host.ExitPayload(host.Exit{}))))
	if _, msg, err := conn.Read(t.Context()); err == nil {
		_, msg, err = conn.Read(t.Context()) // the first is cat's greeting
		if websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
			t.Errorf("after a forged exit frame: %q, %v", msg, err)
		}
	} else if websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		t.Errorf("after a forged exit frame: %q, %v", msg, err)
	}
	// The host loses its power under an open session.
	conn = c.dial("100/exec?argv=cat")
	cut()
	if _, exit := drain(t, conn); !strings.Contains(exit.Error, "link to the host broke") {
		t.Errorf("after the host's death: %+v", exit)
	}
	// Scopes: reading is not running.
	var made operator.MadeToken
	c.ok("POST", "/api/v1/tokens", operator.NewToken{Name: "viewer", Scopes: []string{"read"}}, &made)
	c.bearer = made.Text
	if p := c.call("GET", "/api/v1/nodes/100/exec?argv=true", nil, nil, "Upgrade", "websocket"); p == nil || p.Code != operator.Denied {
		t.Errorf("exec with scope read: %+v", p)
	}
	if p := c.call("POST", "/api/v1/environments/hello/stop", nil, nil); p == nil || p.Code != operator.Denied {
		t.Errorf("stop with scope read: %+v", p)
	}
	c.ok("GET", "/api/v1/hosts", nil, nil)
	c.bearer = adminToken
	c.ok("DELETE", "/api/v1/tokens/"+made.ID, nil, nil)
	c.bearer = made.Text
	if p := c.call("GET", "/api/v1/hosts", nil, nil); p == nil || p.Status != 401 {
		t.Errorf("a revoked token: %+v", p)
	}
}

// Watching an operation sends every change and ends with it; /metrics counts what there is.
func TestWatchAndMetrics(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1")
	c.start()
	h1, _ := c.join("host1", 0)
	h1.Force(0, host.CtStarting, "not yet")
	var a operator.Accepted
	c.ok("POST", "/api/v1/environments", hello("hello", 1), &a)
	req, _ := http.NewRequestWithContext(t.Context(), "GET", "https://"+c.api+"/api/v1/operations/"+string(a.Operation.ID)+"/events", nil)
	req.Header.Set("Authorization", "Bearer "+c.bearer)
	resp, err := c.client.Do(req)
	must(t, err)
	defer resp.Body.Close()
	if ct := resp.Header.Get("Content-Type"); ct != "text/event-stream" {
		t.Fatalf("content type %q", ct)
	}
	c.eventually("the node starts", func() bool { e, _ := c.env("hello"); return len(e.Nodes) == 1 && e.Nodes[0].State == "starting" })
	h1.Force(0, "", "")
	var last operator.Operation
	events := 0
	for s := bufio.NewScanner(resp.Body); s.Scan(); {
		if data, ok := strings.CutPrefix(s.Text(), "data: "); ok {
			must(t, json.Unmarshal([]byte(data), &last))
			events++
		}
	}
	if events < 2 || last.State != operator.OpDone {
		t.Errorf("%d events, the last: %+v", events, last)
	}
	req, _ = http.NewRequest("GET", "https://"+c.api+"/metrics", nil)
	req.Header.Set("Authorization", "Bearer "+c.bearer)
	resp, err = c.client.Do(req)
	must(t, err)
	defer resp.Body.Close()
	found, confirmed := map[string]bool{}, 0
	for s := bufio.NewScanner(resp.Body); s.Scan(); {
		found[s.Text()] = true
		fmt.Sscanf(s.Text(), "hardnode_work_accepted_seconds_count %d", &confirmed)
	}
	if confirmed == 0 {
		t.Error("/metrics counts no work a host confirmed")
	}
	for _, want := range []string{`hardnode_hosts{role="user",state="ACTIVE"} 1`, `hardnode_environments{state="running"} 1`,
		`hardnode_nodes{state="running"} 1`, `hardnode_hosts_disks_unwell 0`, `hardnode_host_disks{health="unknown"} 1`,
		`hardnode_host_disks{health="failing"} 0`} {
		if !found[want] {
			t.Errorf("/metrics lacks %q", want)
		}
	}
}

// A host's certificate opens its own things only.
func TestHostsAreKeptApart(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1", "host2")
	c.start()
	infra, _ := c.join("infra1", 0)
	h1, _ := c.join("host1", 0)
	key, err := identity.NewKey()
	must(t, err)
	csr, err := identity.CSR(key)
	must(t, err)
	var got host.RenewReply
	c.eventually("the infra host's components are known", func() bool {
		return infra.Call(t.Context(), "POST", host.PathComponent, host.ComponentRequest{CTID: 4, CSR: csr}, &got) == nil
	})
	cred, err := identity.NewCredential(key, got.Chain)
	must(t, err)
	if p := cred.Peer(); p.Component != "resolver" || p.CTID != 4 || p.Host != infra.ID {
		t.Errorf("the resolver's certificate names %s", p)
	}
	// What is published on the infra host has the names people reach it under; what is not, has not.
	for id, published := range map[wire.CTID]bool{3: true, 4: false} {
		must(t, infra.Call(t.Context(), "POST", host.PathComponent, host.ComponentRequest{CTID: id, CSR: csr}, &got))
		leaf, err := x509.ParseCertificate(got.Chain[0])
		must(t, err)
		for _, name := range []string{"localhost", "127.0.0.1", "::1"} {
			if err := leaf.VerifyHostname(name); (err == nil) != published {
				t.Errorf("certificate of container %d for %s: %v", id, name, err)
			}
		}
		if err := leaf.VerifyHostname("evil.test"); err == nil {
			t.Errorf("certificate of container %d for any name", id)
		}
	}
	for _, id := range []wire.CTID{4, 99, 100} {
		if p := problemOf(h1.Call(t.Context(), "POST", host.PathComponent, host.ComponentRequest{CTID: id, CSR: csr}, &got)); p == nil ||
			p.Code != operator.Denied {
			t.Errorf("host1 asked for a certificate of container %d and got %v", id, p)
		}
	}
	if p := problemOf(h1.Call(t.Context(), "GET", host.PathRoutes, nil, nil)); p == nil || p.Code != operator.Denied {
		t.Errorf("host1 asked for the routes and got %v", p)
	}
	// The enrolled key renews its leaf; another key does not.
	own, err := identity.CSR(h1.Key)
	must(t, err)
	must(t, h1.Call(t.Context(), "POST", host.PathRenew, host.RenewRequest{CSR: own}, &got))
	if p := problemOf(h1.Call(t.Context(), "POST", host.PathRenew, host.RenewRequest{CSR: csr}, &got)); p == nil ||
		p.Code != operator.Denied {
		t.Errorf("host1 asked for a certificate of another key and got %v", p)
	}
	for _, h := range infra.Peers().Hosts {
		if h.Name == "infra1" && h.Blocks[0].String() != "10.96.0.0/24" {
			t.Errorf("the infra host's block: %v", h.Blocks)
		}
	}
	c.eventually("the infra host has its work", func() bool { return infra.Work().Revision != 0 })
	if w := infra.Work(); w.Revision != 3 || len(w.Containers) != 2 {
		t.Errorf("the infra host runs work 3 since Day 0, now it is told %d", w.Revision)
	}
}
