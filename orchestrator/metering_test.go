package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/run/listen"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/metering"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/usage"
	"hardnode.dev/orchestrator/hostapi/hosttest"
	"hardnode.dev/orchestrator/metering/ledger"
	"hardnode.dev/orchestrator/metering/pull"
	metered "hardnode.dev/orchestrator/metering/serve"
)

// meteringAddr is an address of loopback where only this process's test listens on metering.Port.
var meteringAddr = patcherAddr

// withMetering gives a cluster that has not started yet the component.
func (c *cluster) withMetering() {
	c.seed.Work.Containers = append(c.seed.Work.Containers, host.Container{CTID: 9, Env: "jelastic", Layer: "metering",
		Hostname: "metering", Generation: 1, Run: true, Image: host.Image{Name: "metering", Digest: digest("m"), Bytes: 1},
		Process: host.Process{Argv: []string{"/metering"}}, Profile: host.ProfileApp, IPv4: netip.MustParseAddr(meteringAddr),
		Component: metering.Component, Limits: host.Limits{MemoryMax: 128 << 20}})
}

// metering runs the component beside the orchestrator, with the certificate that its host got it, until it is stopped. It reads hosts when
// it is told to.
func (c *cluster) metering(h *hosttest.Host, dir string) (read func(), stop func()) {
	c.t.Helper()
	self := c.component(h, 9)
	trust := identity.Trust{Pin: identity.Pin(c.root.Cert), Cluster: c.seed.Cluster}
	kept, err := ledger.Open(c.t.Context(), filepath.Join(dir, "usage.db"))
	must(c.t, err)
	p := &pull.Puller{Source: pull.From([]string{"127.0.0.1:1", c.hostAddr}, trust, self), Ledger: kept,
		Now: func() time.Time { return time.Unix(1_700_000_100, 0) }}
	l, err := net.Listen("tcp", net.JoinHostPort(meteringAddr, metering.Port))
	must(c.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- run.Group(ctx, nil, run.Task{Name: "serve", Run: listen.HTTP(l, identity.ServerTLS(trust, nil, self),
			(&metered.Server{Use: kept.Use}).Handler(), listen.Limits{}, nil)})
	}()
	read = func() { c.t.Helper(); must(c.t, p.Round(c.t.Context())) }
	return read, func() {
		cancel()
		if err := <-ended; err != nil {
			c.t.Error(err)
		}
		must(c.t, kept.Close())
	}
}

// TestMetering: what hosts count comes to metering through the orchestrator, and from there to who may see it: to an account its own, to
// those who run the cluster all. Nobody else asks in metering's name, or metering itself.
func TestMetering(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1")
	c.withMetering()
	c.start()
	infra, _ := c.join("infra1", 0)
	c.join("host1", 0)
	c.ok("POST", "/api/v1/accounts", account.NewAccount{Name: "acme"}, nil)
	c.fillTemplates()
	c.create(hello("hello", 1))
	acme := c.tokenOf("acme")
	c.as(acme, func() { c.create(hello("theirs", 2)) })
	const at = "/api/v1/usage?from=1699999000&to=1700006400&span=hour"
	var p *operator.Problem
	if p = c.call("GET", at, nil, nil); p == nil || p.Code != operator.Unavailable || !strings.Contains(p.Next, "nothing is lost") {
		t.Errorf("while it is off: %v", p)
	}
	dir := t.TempDir()
	read, stop := c.metering(infra, dir)
	read()
	rows := func(query string) (out []string) {
		var got operator.Usage
		c.ok("GET", at+query, nil, &got)
		if notes := strings.Join(got.Notes, "; "); strings.Contains(notes, "host1") != (c.bearer == adminToken) || notes == "" {
			t.Errorf("it is told %q", notes) // by the tests' clock hosts were not read for years: which, is for those who run the cluster
		}
		for _, r := range got.Items {
			out = append(out, fmt.Sprint(r.Account, " ", r.Environment, " ", r.Node, " ", r.Host, " ", r.CPUSeconds, " ", r.CloudletHours))
		}
		return out
	}
	same := func(what string, got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	same("environments", rows("&by=environment"), "acme theirs 0  12 2", "admin hello 0  6 1", "admin jelastic 0  18 3")
	same("nodes", rows("&by=node&account=acme"), "acme theirs 101  6 1", "acme theirs 102  6 1")
	same("hosts", rows("&by=host"), "  0 host1 18 3", "  0 infra1 18 3")
	same("one host", rows("&by=account&host=host1"), "acme  0  12 2", "admin  0  6 1")
	same("one environment", rows("&environment=hello"), "admin hello 0  6 1")
	var narrow operator.MadeToken
	c.as(acme, func() {
		same("its own", rows("&by=account"), "acme  0  12 2")
		same("its own, named", rows("&by=node&node=102&account=acme"), "acme theirs 102  6 1")
		same("another's environment", rows("&environment=hello"))
		same("another's node", rows("&node=100"))
		for _, query := range []string{"&by=host", "&host=host1", "&host=nosuch", "&account=admin", "&account=nosuch"} {
			if p := c.call("GET", at+query, nil, nil); p == nil || p.Code != operator.Denied {
				t.Errorf("%s: %v", query, p)
			}
		}
		c.create(hello("more", 1))
		c.ok("POST", "/api/v1/tokens", operator.NewToken{Name: "ci", Scopes: []string{"read"}, Environments: []wire.EnvName{"more"}},
			&narrow)
	})
	read()
	c.as(narrow.Text, func() {
		same("a token for one environment", rows("&by=account"), "acme  0  6 1")
		if p := c.call("GET", at+"&environment=theirs", nil, nil); p == nil || p.Code != operator.NotFound {
			t.Errorf("another environment: %v", p)
		}
	})
	for query, want := range map[string]string{"&from=1700006400": "want a time after", "&span=minute": "", "&by=what": "", "&node=-1": "",
		"&to=1900000000": "366 days at most"} {
		path := at + query
		if strings.HasPrefix(query, "&from") || strings.HasPrefix(query, "&to") || strings.HasPrefix(query, "&span") {
			key, _, _ := strings.Cut(query[1:], "=")
			path = "/api/v1/usage?" + query[1:]
			for _, other := range []string{"from=1699999000", "to=1700006400", "span=hour"} {
				if !strings.HasPrefix(other, key+"=") {
					path += "&" + other
				}
			}
		}
		if p := c.call("GET", path, nil, nil); p == nil || p.Code != operator.Invalid || !strings.Contains(p.Reason, want) {
			t.Errorf("%s: %v", query, p)
		}
	}

	c.refuses(infra)
	stop()
	c.as(acme, func() { // what is deleted stays the account's
		var a operator.Accepted
		c.ok("DELETE", "/api/v1/environments/theirs", nil, &a)
		c.ended(a.Operation.ID)
	})
	_, stop = c.metering(infra, dir)
	defer stop()
	same("after a restart", rows("&by=environment&account=acme"), "acme more 0  6 1", "acme theirs 0  24 2")
}

// refuses tells whether metering's ways are closed to others.
func (c *cluster) refuses(infra *hosttest.Host) {
	c.t.Helper()
	for method, path := range map[string]string{"GET": metering.PathHosts, "POST": metering.PathHosts + "/h-0123456789ab"} {
		if err := problemOf(infra.Call(c.t.Context(), method, path, usage.Ask{Step: usage.Minute}, nil)); err == nil ||
			err.Code != operator.Denied {
			c.t.Errorf("a host asks for %s: %v", path, err)
		}
	}
	ask := func(self *identity.Holder, method, at string, body any) (status int) {
		c.t.Helper()
		raw, err := json.Marshal(body)
		must(c.t, err)
		req, err := http.NewRequestWithContext(c.t.Context(), method, at, bytes.NewReader(raw))
		must(c.t, err)
		req.Header.Set(host.ProtocolHeader, host.Spoken.String())
		client := c.with(self)
		trust := identity.Trust{Pin: identity.Pin(c.root.Cert), Cluster: c.seed.Cluster}
		if strings.Contains(at, meteringAddr) {
			client.Transport = &http.Transport{TLSClientConfig: identity.ClientTLS(trust, identity.WantComponent(metering.Component), self)}
		}
		resp, err := client.Do(req)
		must(c.t, err)
		resp.Body.Close()
		client.CloseIdleConnections()
		return resp.StatusCode
	}
	resolver, own := c.component(infra, 4), c.component(infra, 9)
	hosts, door := "https://"+c.hostAddr+metering.PathHosts, "https://"+net.JoinHostPort(meteringAddr, metering.Port)+metering.PathUsage
	for what, got := range map[string]bool{
		"the resolver lists hosts":     ask(resolver, "GET", hosts, nil) == http.StatusForbidden,
		"the resolver asks a host":     ask(resolver, "POST", hosts+"/h-1", usage.Ask{Step: usage.Minute}) == http.StatusForbidden,
		"the resolver asks metering":   ask(resolver, "POST", door, metering.Question{}) == http.StatusForbidden,
		"metering asks itself":         ask(own, "POST", door, metering.Question{}) == http.StatusForbidden,
		"metering asks for no host":    ask(own, "POST", hosts+"/h-0123456789ab", usage.Ask{Step: usage.Minute}) == http.StatusNotFound,
		"metering asks for days":       ask(own, "POST", hosts+"/h-0123456789ab", usage.Ask{Step: "day"}) == http.StatusUnprocessableEntity,
		"metering asks for assignment": ask(own, "GET", "https://"+c.hostAddr+host.PathAssigned, nil) == http.StatusForbidden,
	} {
		if !got {
			c.t.Errorf("%s, and is not answered as it should be", what)
		}
	}
}
