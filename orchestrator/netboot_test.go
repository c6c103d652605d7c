package main

import (
	"context"
	"net/http"
	"testing"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/testkit/released"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/hostapi/hosttest"
	"hardnode.dev/orchestrator/netboot/feed"
	"hardnode.dev/orchestrator/netboot/offer"
)

// component gets a component's certificate from its host.
func (c *cluster) component(h *hosttest.Host, id wire.CTID) *identity.Holder {
	c.t.Helper()
	key, err := identity.NewKey()
	must(c.t, err)
	csr, err := identity.CSR(key)
	must(c.t, err)
	var got host.RenewReply
	must(c.t, h.Call(c.t.Context(), "POST", host.PathComponent, host.ComponentRequest{CTID: id, CSR: csr}, &got))
	cred, err := identity.NewCredential(key, got.Chain)
	must(c.t, err)
	holder := &identity.Holder{}
	holder.Set(cred)
	return holder
}

// with is a client of the host API with a certificate.
func (c *cluster) with(self *identity.Holder) *http.Client {
	trust := identity.Trust{Pin: identity.Pin(c.root.Cert), Cluster: c.seed.Cluster}
	conf := identity.ClientTLS(trust, identity.WantComponent("orchestrator"), self)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: conf}}
}

// TestNetboot: switched on, the infra host gets the component, and the component what it serves, with the files of the imported release;
// nobody else does. Switched off, the infra host is told to remove it.
func TestNetboot(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1")
	c.start()
	infra, _ := c.join("infra1", 0)
	p := released.Both(t, c.seed.Cluster, time.Now().Add(time.Hour))
	for _, name := range []string{"metal-vmlinuz", "metal-host.initrd", "metal-cmdline"} {
		p.Release(t, "1.4.0", name, "content of "+name)
	}
	c.ok("PUT", "/api/v1/releases/trust", operator.ReleaseTrust{Image: p.Image.Anchor().Pin, Director: p.Director.Anchor().Pin}, nil)
	in := operator.ReleaseImport{Image: p.Image.Files, Director: p.Director.Files}
	var got operator.ReleaseImported
	c.ok("POST", "/api/v1/releases/import", in, &got)
	for _, m := range got.Missing {
		c.ok("PUT", "/api/v1/releases/files/"+string(m.Digest), operator.ReleaseChunk{Data: []byte(p.Content[m.Path])}, nil)
	}
	c.ok("POST", "/api/v1/releases/import", in, &got)
	var n operator.Netboot
	c.ok("PUT", "/api/v1/cluster/netboot", operator.NewNetboot{Interface: "underlay", For: []string{"52:54:00:12:34:56"}}, &n)
	if !n.Enabled || n.Serves != "1.4.0" || n.Target != "metal" || n.By != "admin" {
		t.Errorf("the setting is %+v", n)
	}
	has := func(remove bool) func() bool {
		return func() bool {
			for _, ct := range infra.Work().Containers {
				if ct.Component == host.ComponentNetboot {
					return ct.Remove == remove && len(ct.Sockets) == 4 && ct.Sockets[0].Link == "underlay"
				}
			}
			return false
		}
	}
	c.eventually("the infra host has the component", has(false))

	book, err := offer.Open(t.TempDir(), nil)
	must(t, err)
	self := c.component(infra, 8)
	since := time.Now().UTC().Truncate(time.Second)
	f := &feed.Feed{Book: book, Orchestrator: []string{c.hostAddr}, Self: self, Client: c.with(self),
		Troubles: func() []host.NetbootTrouble {
			return []host.NetbootTrouble{{What: "dhcp", Text: "another one answers", Since: since}}
		}}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() { done <- f.Run(ctx) }()
	go func() { done <- f.Report(ctx) }()
	c.eventually("it is served", func() bool {
		folder, _ := book.Boots("52:54:00:12:34:56")
		return folder == "1.4.0/" && len(book.Lacking()) == 0
	})
	if _, why := book.Boots("52:54:00:12:34:57"); why != "it is none of the cards that are answered" {
		t.Errorf("another card: %q", why)
	}
	resolver := c.with(c.component(infra, 4))
	for _, path := range []string{host.PathNetboot, host.PathNetbootFile + string(p.Targets()[0].Digest)} {
		if err := problemOf(infra.Call(t.Context(), "GET", path, nil, nil)); err == nil || err.Code != operator.Denied {
			t.Errorf("the infra host asks for %s: %v", path, err)
		}
		req, err := http.NewRequest(http.MethodGet, "https://"+c.hostAddr+path, nil)
		must(t, err)
		req.Header.Set(host.ProtocolHeader, host.Spoken.String())
		resp, err := resolver.Do(req)
		must(t, err)
		if resp.Body.Close(); resp.StatusCode != http.StatusForbidden {
			t.Errorf("the resolver asks for %s: %s", path, resp.Status)
		}
	}
	c.eventually("what netboot says of itself is shown", func() bool {
		c.ok("GET", "/api/v1/cluster/netboot", nil, &n)
		return len(n.Troubles) == 1 && n.Troubles[0] == operator.NetbootTrouble{What: "dhcp", Text: "another one answers", Since: since}
	})
	if err := problemOf(infra.Call(t.Context(), "PUT", host.PathNetbootReport, host.NetbootReport{Version: 1}, nil)); err == nil ||
		err.Code != operator.Denied {
		t.Errorf("the infra host reports in netboot's name: %v", err)
	}
	c.ok("PUT", "/api/v1/cluster/netboot", operator.NewNetboot{Interface: "underlay", All: true,
		Addresses: "10.77.0.100-10.77.0.150/24"}, &n)
	c.eventually("addresses are given", func() bool { return book.Gives().Count() == 51 })
	c.eventually("all are answered", func() bool { folder, _ := book.Boots("52:54:00:12:34:57"); return folder == "1.4.0/" })

	c.ok("DELETE", "/api/v1/cluster/netboot", nil, nil)
	c.eventually("the component is told that it is off", func() bool { _, why := book.Boots("52:54:00:12:34:56"); return why != "" })
	c.eventually("it is gone", func() bool {
		var n operator.Netboot
		c.ok("GET", "/api/v1/cluster/netboot", nil, &n)
		return !n.Enabled && n.State == ""
	})
	stop()
	for range 2 {
		if err := <-done; err != nil {
			t.Errorf("the feed ended: %v", err)
		}
	}
}
