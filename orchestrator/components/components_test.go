package components

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/release"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
)

func digest(c string) wire.Digest { return wire.Digest("sha256:" + strings.Repeat(c, 64)) }

// platform is a Desk with the store and all that is around it.
type platform struct {
	*Desk
	t     *testing.T
	store *store.Store
	now   time.Time
	says  host.ContainerStatus
	files map[wire.Digest]string
	all   []operator.Release
}

// List and Read are the releases.
func (p *platform) List() operator.Releases { return operator.Releases{Releases: p.all} }

func (p *platform) Read(d wire.Digest, at int64, n int) ([]byte, error) {
	return []byte(p.files[d][at : at+int64(n)]), nil
}

func newPlatform(t *testing.T) *platform {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	p := &platform{t: t, store: s, now: time.Unix(1_800_000_000, 0).UTC(), files: map[wire.Digest]string{}}
	p.Desk = &Desk{Store: s, Live: func() live.Snapshot {
		return live.Snapshot{"h-0": {Report: &host.Report{Containers: []host.ContainerStatus{p.says}}}}
	}, Releases: p, Now: func() time.Time { return p.now }}
	p.put(store.Node{CTID: 1, Env: env.System, Host: "h-0", Container: host.Container{CTID: 1, Env: env.System, Component: "registry",
		Generation: 1, Image: host.Image{Name: "jelastic/registry"}, Process: host.Process{Argv: []string{"/registry", "-verbose"}}}})
	p.says = host.ContainerStatus{CTID: 1, Generation: 1, State: host.CtRunning, Image: digest("a")}
	p.publish("1.0.0", digest("a"))
	p.publish("1.1.0", digest("b"))
	return p
}

func (p *platform) put(n store.Node) {
	p.t.Helper()
	put := func(tx *store.Tx) error { store.Nodes.Put(tx, n.CTID.String(), n); return nil }
	if _, err := p.store.Update(p.t.Context(), put); err != nil {
		p.t.Fatal(err)
	}
}

// publish imports a release with an image of the registry.
func (p *platform) publish(version string, d wire.Digest) {
	p.t.Helper()
	m := release.Manifest{Version: 1, Release: release.Version(version), Channel: release.Dev, Severity: release.Normal, Arch: release.Arch,
		Artefacts: []release.Artefact{{Name: "registry.erofs", Kind: release.Component, Bytes: 9, Digest: d}},
		Components: []boot.BundledImage{{Image: host.Image{Name: "jelastic/registry", Digest: d, Bytes: 9},
			Process: host.Process{Argv: []string{"/registry"}, UID: 7}},
			{Image: host.Image{Name: "jelastic/orchestrator", Digest: d, Bytes: 9},
				Process: host.Process{Argv: []string{"/orchestrator"}}}}}
	raw, err := m.Encode()
	if err != nil {
		p.t.Fatal(err)
	}
	sum := wire.DigestOf(sha256.Sum256(raw))
	p.files[sum] = string(raw)
	p.all = append(p.all, operator.Release{Version: version, Files: []operator.ReleaseFile{
		{Path: version + "/" + release.ManifestFile, Digest: sum, Bytes: int64(len(raw))},
		{Path: version + "/registry.erofs", Digest: d, Bytes: 9}}})
}

// follow has the node be what the record says, as converge does, and the host run it if it does as it is told.
func (p *platform) follow(runs bool) store.Component {
	p.t.Helper()
	rec, ok := store.Components.Get(p.store.View(), "registry")
	if !ok {
		p.t.Fatal("there is no record")
	}
	n, _ := store.Nodes.Get(p.store.View(), "1")
	n.Container.Image, n.Container.Process, n.Container.ConfirmBy = rec.Version.Image, rec.Version.Process, rec.ConfirmBy
	n.Container.Generation = rec.Version.Generation
	p.put(n)
	if runs {
		p.says = host.ContainerStatus{CTID: 1, Generation: rec.Version.Generation, State: host.CtRunning, Image: rec.Version.Image.Digest}
	}
	return rec
}

func (p *platform) refused(what string, err error, words string) {
	p.t.Helper()
	var problem *operator.Problem
	if !errors.As(err, &problem) || !strings.Contains(problem.Error(), words) || problem.Next == "" {
		p.t.Errorf("%s: got %v, want a problem with %q and a next step", what, err, words)
	}
}

func (p *platform) settled() store.Component {
	p.t.Helper()
	rec, _ := store.Components.Get(p.store.View(), "registry")
	n, _ := store.Nodes.Get(p.store.View(), "1")
	next, _ := settle(rec, n, p.says, p.now)
	return next
}

func TestReplaceAndConfirm(t *testing.T) {
	p := newPlatform(t)
	want := operator.ReplaceComponent{Release: "1.1.0", WithinSec: 60}
	for range 2 { // asked twice it is done once
		if err := p.Replace(t.Context(), "registry", want, "admin"); err != nil {
			t.Fatal(err)
		}
	}
	p.refused("not there yet", p.Confirm(t.Context(), "registry"), "generation 1 is running")
	other := p.Replace(t.Context(), "registry", operator.ReplaceComponent{Release: "1.0.0"}, "x")
	p.refused("another one meanwhile", other, "1.1.0 is tried")
	rec := p.follow(true)
	if rec.Version.Generation != 2 || rec.Version.Image.Digest != digest("b") || !rec.ConfirmBy.Equal(p.now.Add(time.Minute)) ||
		rec.Before.Generation != 1 || rec.Before.Image.Digest != digest("a") || rec.Version.Process.UID != 7 ||
		!slices.Equal(rec.Version.Process.Argv, []string{"/registry", "-verbose"}) {
		t.Errorf("on trial: %+v, before %+v", rec, rec.Before)
	}
	p.says.State = host.CtStarting
	p.refused("its check has not passed", p.Confirm(t.Context(), "registry"), "is starting")
	p.says.State = host.CtRunning
	p.now = p.now.Add(59 * time.Second)
	p.refused("too late", p.Confirm(t.Context(), "registry"), "its time is over")
	p.now = p.now.Add(-30 * time.Second)
	list, err := p.Desk.List(func(n store.Node) operator.Node { return operator.Node{State: "running"} }, "1.0.0")
	if err != nil || len(list) != 1 || list[0].Trial == nil || !list[0].Trial.Runs || list[0].Offered != digest("a") ||
		list[0].Release != "" {
		t.Errorf("the list: %+v, %v", list, err)
	}
	if err := p.Confirm(t.Context(), "registry"); err != nil {
		t.Fatal(err)
	}
	if rec = p.follow(true); rec.Before != nil || !rec.ConfirmBy.IsZero() || rec.Version.Release != "1.1.0" {
		t.Errorf("confirmed: %+v", rec)
	}
	p.refused("again", p.Confirm(t.Context(), "registry"), "no version of it is tried")
	if err := p.TakeBack(t.Context(), "registry", "admin"); err != nil || p.settled().Version.Generation != 2 {
		t.Errorf("nothing to take back: %v", err)
	}
}

// TestWentBack: what a host says that it went back from is noted, the former version is wanted again as it was, and the next try is another
// generation.
func TestWentBack(t *testing.T) {
	p := newPlatform(t)
	want := operator.ReplaceComponent{Release: "1.1.0", WithinSec: 60}
	if err := p.Replace(t.Context(), "registry", want, "admin"); err != nil {
		t.Fatal(err)
	}
	p.follow(false)
	if p.settled().Before == nil {
		t.Error("it is over before the host said anything")
	}
	p.says.WentBack = host.WentBack{Generation: 2, Reason: "generation 2 ended 4 times in a row", At: 5}
	rec := p.settled()
	if rec.Before != nil || rec.Version.Generation != 1 || rec.Failed == nil || rec.Failed.Release != "1.1.0" ||
		!strings.Contains(rec.Failed.Reason, "4 times") {
		t.Errorf("after it went back: %+v", rec)
	}
	p.says.WentBack = host.WentBack{}
	p.now = p.now.Add(80 * time.Second)
	if p.settled().Before == nil {
		t.Error("it is over although the host may still say so")
	}
	p.now = p.now.Add(20 * time.Second)
	if rec := p.settled(); rec.Before != nil { // an agent of before they said so
		t.Errorf("long after its time: %+v", rec)
	}
	if err := p.TakeBack(t.Context(), "registry", "admin"); err != nil {
		t.Fatal(err)
	}
	if rec := p.follow(false); rec.Version.Generation != 1 || rec.Version.Image.Digest != digest("a") ||
		rec.Failed.Reason != "it was taken back by admin" {
		t.Errorf("taken back: %+v", rec)
	}
	if err := p.Replace(t.Context(), "registry", want, "admin"); err != nil {
		t.Fatal(err)
	}
	if rec := p.follow(false); rec.Version.Generation != 3 || rec.Before.Generation != 1 || rec.Failed != nil {
		t.Errorf("tried again: %+v", rec)
	}
}

func TestReplaceRefused(t *testing.T) {
	p := newPlatform(t)
	ask := func(name, version string) error {
		return p.Replace(t.Context(), name, operator.ReplaceComponent{Release: version}, "admin")
	}
	p.refused("no release", ask("registry", "9.9.9"), "no such release was imported")
	p.refused("not in it", ask("resolver", "1.1.0"), "has no image of it")
	p.all[1].Files = p.all[1].Files[:1]
	p.refused("not signed", ask("registry", "1.1.0"), "not signed as a part of it")
	p.all[1].Files = nil
	p.refused("no manifest", ask("registry", "1.1.0"), "no manifest")
	if err := ask("registry", "1.0.0"); err != nil { // it runs that image: nothing is replaced
		t.Fatal(err)
	}
	if rec := p.follow(false); rec.Before != nil || rec.Version.Release != "1.0.0" || rec.Version.Generation != 1 {
		t.Errorf("the same image: %+v", rec)
	}
}

// TestSnapshotBefore: what is stored is kept before the orchestrator is replaced, and it is not replaced when that can't be.
func TestSnapshotBefore(t *testing.T) {
	p := newPlatform(t)
	p.put(store.Node{CTID: 3, Env: env.System, Host: "h-0", Container: host.Container{CTID: 3, Env: env.System,
		Component: "orchestrator", Generation: 1, Image: host.Image{Name: "jelastic/orchestrator", Digest: digest("a")}}})
	full, taken := errors.New("write snapshot: no space left on device"), 0
	p.Snapshot = func(context.Context, string) error { return full }
	p.Snapshots = func() []store.Snapshot { return []store.Snapshot{{At: p.now, Reason: "the orchestrator is replaced"}} }
	want := operator.ReplaceComponent{Release: "1.1.0"}
	if err := p.Replace(t.Context(), "orchestrator", want, "admin"); !errors.Is(err, full) {
		t.Errorf("without a snapshot: %v", err)
	}
	if _, ok := store.Components.Get(p.store.View(), "orchestrator"); ok {
		t.Error("it is replaced without a snapshot")
	}
	p.Snapshot = func(context.Context, string) error { taken++; return nil }
	for range 2 {
		if err := p.Replace(t.Context(), "orchestrator", want, "admin"); err != nil {
			t.Fatal(err)
		}
	}
	if taken != 1 {
		t.Errorf("%d snapshots were taken", taken)
	}
	list, err := p.Desk.List(func(store.Node) operator.Node { return operator.Node{} }, "")
	if err != nil || len(list) != 2 || len(list[1].Snapshots) != 1 {
		t.Errorf("the list is %+v, %v", list, err)
	}
}
