package main

import (
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/run/listen"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/testkit/released"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/patch"
	"hardnode.dev/internal/wire/release"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/patcher/drive"
	"hardnode.dev/orchestrator/patcher/platform"
	"hardnode.dev/orchestrator/patcher/rollout"
	door "hardnode.dev/orchestrator/patcher/serve"
	"hardnode.dev/orchestrator/patcher/shelf"
	"hardnode.dev/orchestrator/store"
)

const patcherToken = "hnt1.0123456789abcdef"

// patcherAddr is an address of loopback where only this process's test listens on patch.Port.
var patcherAddr = netip.AddrFrom4([4]byte{127, byte(64 + os.Getpid()>>16), byte(os.Getpid() >> 8), byte(os.Getpid())}).String()

// withPatcher gives a cluster that has not started yet the component.
func (c *cluster) withPatcher() {
	c.seed.PatcherToken = "sha256:" + identity.HashToken(secret.Text(patcherToken))
	c.seed.Work.Containers = append(c.seed.Work.Containers, host.Container{CTID: 5, Env: "jelastic", Layer: "patcher", Hostname: "patcher",
		Generation: 1, Run: true, Image: host.Image{Name: "patcher", Digest: digest("p"), Bytes: 1},
		Process: host.Process{Argv: []string{"/patcher"}}, Profile: host.ProfileApp, IPv4: netip.MustParseAddr(patcherAddr),
		Component: patch.Component, Limits: host.Limits{MemoryMax: 128 << 20}})
}

// patcher runs the Patcher beside the orchestrator, on the rollouts in dir, until it is stopped.
func (c *cluster) patcher(dir string) (stop func()) {
	c.t.Helper()
	a, err := identity.OpenAuthority(c.seed.Cluster, c.seed.RootCA, c.seed.IssuingCA, c.seed.IssuingKey)
	must(c.t, err)
	key, err := identity.NewKey()
	must(c.t, err)
	csr, err := identity.CSR(key)
	must(c.t, err)
	chain, err := a.Sign(csr, identity.Peer{CTID: 5, Component: patch.Component, Host: "h-0123456789ab"}, nil, time.Now())
	must(c.t, err)
	cred, err := identity.NewCredential(key, chain)
	must(c.t, err)
	self := &identity.Holder{}
	self.Set(cred)
	trust := identity.Trust{Pin: identity.Pin(c.root.Cert), Cluster: c.seed.Cluster}
	kept, err := shelf.Open(dir, nil)
	must(c.t, err)
	driver := drive.New(kept, platform.New([]string{c.api}, trust, secret.Text(patcherToken)), rollout.Rules{Scale: 1},
		drive.Clocks{Soon: 50 * time.Millisecond, Later: 100 * time.Millisecond, Keep: 100 * time.Millisecond}, nil)
	l, err := net.Listen("tcp", net.JoinHostPort(patcherAddr, patch.Port))
	must(c.t, err)
	conf := identity.ServerTLS(trust, nil, self)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- run.Group(ctx, nil, run.Task{Name: "rollouts", Run: driver.Run},
			run.Task{Name: "serve", Run: listen.HTTP(l, conf, (&door.Server{Rollouts: driver, Kept: kept}).Handler(),
				listen.Limits{}, nil)})
	}()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			c.t.Error(err)
		}
	}
}

// imports brings release 1.1.0 into the cluster.
func (c *cluster) imports() {
	c.t.Helper()
	pair := released.Both(c.t.(*testing.T), c.seed.Cluster, time.Now().Add(24*time.Hour))
	anchors := pair.Anchors()
	uki := pair.Release(c.t.(*testing.T), "1.1.0", "vm-host.efi", "a system")
	image := pair.Release(c.t.(*testing.T), "1.1.0", "patcher.erofs", "a patcher")
	m := release.Manifest{Version: 1, Release: "1.1.0", Channel: release.Dev, Severity: release.Normal, Arch: release.Arch,
		Artefacts: []release.Artefact{{Name: "vm-host.efi", Kind: release.UKI, Target: release.VM, Profile: release.Host,
			Bytes: uki.Length, Digest: uki.Digest},
			{Name: "patcher.erofs", Kind: release.Component, Bytes: image.Length, Digest: image.Digest}},
		Components: []boot.BundledImage{{Image: host.Image{Name: "jelastic/patcher", Digest: image.Digest, Bytes: image.Length},
			Process: host.Process{Argv: []string{"/patcher"}}}}}
	raw, err := m.Encode()
	must(c.t, err)
	pair.Release(c.t.(*testing.T), "1.1.0", release.ManifestFile, string(raw))
	c.ok("PUT", operator.Prefix+"/releases/trust", operator.ReleaseTrust{Image: anchors.Image.Pin, Director: anchors.Director.Pin}, nil)
	in := operator.ReleaseImport{Image: pair.Image.Files, Director: pair.Director.Files}
	var got operator.ReleaseImported
	c.ok("POST", operator.Prefix+"/releases/import", in, &got)
	for _, m := range got.Missing {
		c.ok("PUT", operator.Prefix+"/releases/files/"+string(m.Digest), operator.ReleaseChunk{Data: []byte(pair.Content[m.Path])}, nil)
	}
	c.ok("POST", operator.Prefix+"/releases/import", in, &got)
	if !got.Done {
		c.t.Fatalf("the import: %+v", got)
	}
}

// A rollout through the whole platform, over hosts and a component: asked of the orchestrator, allowed and recorded there, driven by the
// Patcher with its own token by the same API; the Patcher away is said, and goes on where it was.
func TestRollout(t *testing.T) {
	t.Parallel()
	c := found(t, 3, "infra1", "host1", "host2")
	c.withPatcher()
	c.start()
	for _, name := range []string{"infra1", "host1", "host2"} {
		c.join(name, 0)
	}
	c.create(hello("hello", 2))
	c.imports()
	dir := t.TempDir()
	const path = operator.Prefix + "/rollouts"
	if p := c.call("GET", path, nil, nil); p == nil || p.Code != operator.Unavailable || !strings.Contains(p.Reason,
		"the Patcher does not answer") {
		t.Errorf("without a Patcher: %v", p)
	}
	stop := c.patcher(dir)
	want := operator.NewRollout{Release: "1.1.0", Policy: operator.RolloutPolicy{Canary: "host2",
		CanarySoakSec: 1, SoakSec: 1, HealthSec: 1}}
	var plan operator.RolloutPlan
	c.ok("POST", path+"/plan", want, &plan)
	if len(plan.Cohorts) != 4 || plan.Cohorts[0].Hosts[0].Name != "host2" ||
		plan.Cohorts[2].Hosts[0].Name != "infra1/patcher" || plan.Cohorts[3].Hosts[0].Name != "infra1" ||
		len(plan.Warnings) != 1 {
		t.Fatalf("plan %+v", plan)
	}
	if p := c.call("POST", path, operator.NewRollout{Release: "1.2.0"}, nil); p == nil || p.Code != operator.NotFound {
		t.Errorf("another release: %v", p)
	}
	var r operator.Rollout
	c.ok("POST", path, want, &r)
	if p := c.call("POST", path, want, nil); p == nil || p.Code != operator.Conflict {
		t.Errorf("a second one: %v", p)
	}
	c.eventually("the canary is under way", func() bool {
		c.ok("GET", path+"/"+r.ID, nil, &r)
		return r.Visits[0].Step != "" && r.Visits[0].Step != "cordon"
	})
	stop()
	if p := c.call("GET", path+"/"+r.ID, nil, nil); p == nil || p.Code != operator.Unavailable {
		t.Errorf("the Patcher is away: %v", p)
	}
	stop = c.patcher(dir)
	defer stop()
	id := r.ID
	c.eventually("the rollout ends", func() bool {
		r = operator.Rollout{}
		c.ok("GET", path+"/"+id, nil, &r)
		return r.State.Final()
	})
	if r.State != operator.RolloutDone || len(r.Visits) != 4 {
		t.Errorf("%s %q: %+v", r.State, r.Reason, r.Visits)
	}
	var parts operator.List[operator.Component]
	c.ok("GET", operator.Prefix+"/components?release=1.1.0", nil, &parts)
	i := slices.IndexFunc(parts.Items, func(o operator.Component) bool { return o.Name == patch.Component })
	if p := parts.Items[max(0, i)]; i < 0 || p.Release != "1.1.0" || p.Trial != nil || p.Failed != nil || p.Image != p.Offered ||
		p.Image == "" {
		t.Errorf("the Patcher's own component: %+v", parts.Items)
	}
	for _, name := range []string{"infra1", "host1", "host2"} {
		var is operator.HostSystem
		c.ok("GET", operator.Prefix+"/hosts/"+name+"/system", nil, &is)
		if h := c.host(name); h.Cordon != nil || is.Status.Release != "1.1.0" ||
			!strings.HasPrefix(is.Wanted.By, "patcher from 127.0.0.1") {
			t.Errorf("%s: %+v, cordon %+v", name, is, h.Cordon)
		}
	}
	var report operator.RolloutReport
	c.ok("GET", path+"/"+id+"/report", nil, &report)
	if len(report.Hosts) != 4 || len(report.Nodes) < 2 {
		t.Errorf("report %+v", report)
	}
	var audit operator.List[operator.Audit]
	c.ok("GET", operator.Prefix+"/audit?limit=1000", nil, &audit)
	said := func(who, what, object string) bool {
		return slices.ContainsFunc(audit.Items, func(a operator.Audit) bool {
			return a.Who == who && a.What == what && strings.HasPrefix(a.Object, object) && a.Result == "ok"
		})
	}
	for _, x := range [][3]string{{"admin", "rollout.start", "releases/1.1.0"}, {"patcher", "host.cordon", "hosts/host2 \"rollout " + id},
		{"patcher", "host.system", "hosts/host2 switch 1.1.0"}, {"patcher", "host.uncordon", "hosts/infra1"},
		{"patcher", "component.replace", "components/patcher 1.1.0"}, {"patcher", "component.confirm", "components/patcher"}} {
		if !said(x[0], x[1], x[2]) {
			t.Errorf("not on record: %v", x)
		}
	}
	// The Patcher's token is revoked as any other.
	if _, ok := store.Tokens.Get(c.o.store.View(), identity.HashToken(secret.Text(patcherToken))); !ok {
		t.Error("the Patcher's token is not in the store")
	}
	c.ok("DELETE", operator.Prefix+"/tokens/"+authz.PatcherID, nil, nil)
	if p := c.call("POST", path+"/plan", want, nil); p == nil || !strings.Contains(p.Reason, "token") {
		t.Errorf("with its token revoked: %v", p)
	}
}
