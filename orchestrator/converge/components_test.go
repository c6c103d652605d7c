package converge

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

// TestPatchedComponents: a component is the version that its record says, on trial and confirmed; what goes on is not made anew.
func TestPatchedComponents(t *testing.T) {
	w := newWorld(1)
	w.in.Cluster.Infra = boot.InfraHost{Block4: "10.96.0.0/24"}
	w.in.Envs = []store.Environment{{Spec: operator.EnvironmentSpec{Version: 1, Name: env.System}, Want: store.WantRunning, System: true}}
	w.in.Nodes = []store.Node{{CTID: 3, Env: env.System, Layer: "orchestrator", Host: "h-0", Container: host.Container{CTID: 3,
		Env: env.System, Component: "orchestrator", Generation: 1, IPv4: netip.MustParseAddr("10.96.0.13"),
		Files: []host.File{{Path: "/run/hardnode/x"}}}}}
	is := func(i int) host.Container { return w.in.Works["h-0"].Containers[i] }
	w.turn("first")
	version := func(g int64, image string) store.ComponentVersion {
		return store.ComponentVersion{Release: "1.1.0", Generation: g, Image: host.Image{Name: host.Image{}.Name, Digest: "sha256:b"},
			Process: host.Process{Argv: []string{image}}}
	}
	was, due := version(1, "/a"), w.in.Now.Add(time.Minute)
	w.in.Components = []store.Component{{Name: "orchestrator", CTID: 3, Version: version(2, "/b"), ConfirmBy: due, Before: &was}}
	w.turn("tried")
	if c := is(0); c.Generation != 2 || !c.ConfirmBy.Equal(due) || c.Process.Argv[0] != "/b" || len(c.Files) != 1 || !c.Run {
		t.Errorf("on trial it is %+v", c)
	}
	if p := w.turn("again"); len(p.Steps) > 0 {
		t.Errorf("again: %+v", p.Steps)
	}
	w.in.Components[0].ConfirmBy, w.in.Components[0].Before = time.Time{}, nil
	w.turn("confirmed")
	if c := is(0); c.Generation != 2 || !c.ConfirmBy.IsZero() {
		t.Errorf("confirmed it is %+v", c)
	}
	w.in.Components[0].Version = was
	w.turn("back")
	if c := is(0); c.Generation != 1 || c.Process.Argv[0] != "/a" {
		t.Errorf("back it is %+v", c)
	}

	w.in.Netboot = &store.Netboot{Interface: "underlay", All: true, By: "admin"}
	w.turn("netboot on")
	netboot := version(7, "/n")
	w.in.Components = append(w.in.Components, store.Component{Name: host.ComponentNetboot, CTID: netbootCTID, Version: netboot,
		ConfirmBy: due, Before: &was})
	for _, step := range []struct {
		name       string
		change     func(*store.Component)
		generation int64
	}{
		{"netboot is tried", func(*store.Component) {}, 2},
		{"confirmed", func(c *store.Component) { c.ConfirmBy, c.Before = time.Time{}, nil }, 2},
		{"on another card", func(*store.Component) { w.in.Netboot.Interface = "outside" }, 3},
		{"back", func(c *store.Component) { c.Version = was }, 4},
	} {
		step.change(&w.in.Components[1])
		w.turn(step.name)
		c := is(1)
		if c.Generation != step.generation || c.ConfirmBy.Equal(due) != (step.name == "netboot is tried") || len(c.Sockets) == 0 {
			t.Errorf("%s: it is %+v", step.name, c)
		}
		if p := w.turn("again"); len(p.Steps) > 0 {
			t.Errorf("%s, again: %+v", step.name, p.Steps)
		}
	}
}

// TestResolverPublishesHTTPS: the resolver of a cluster made when it published 80 alone publishes 443 too from its first version of a
// release on, once, and other components don't.
func TestResolverPublishesHTTPS(t *testing.T) {
	w := newWorld(1)
	w.in.Cluster.Infra = boot.InfraHost{Block4: "10.96.0.0/24"}
	w.in.Envs = []store.Environment{{Spec: operator.EnvironmentSpec{Version: 1, Name: env.System}, Want: store.WantRunning, System: true}}
	plain := []host.Port{{Proto: "tcp", Host: 80, Container: 80}}
	for i, name := range []string{"registry", host.ComponentResolver} {
		id := wire.CTID(1 + 3*i)
		w.in.Nodes = append(w.in.Nodes, store.Node{CTID: id, Env: env.System, Layer: wire.LayerName(name), Host: "h-0",
			Container: host.Container{CTID: id, Env: env.System, Component: name, Generation: 1, Publish: plain,
				IPv4: netip.AddrFrom4([4]byte{10, 96, 0, byte(10 + id)})}})
		w.in.Components = append(w.in.Components, store.Component{Name: name, CTID: id,
			Version: store.ComponentVersion{Generation: 1, Image: host.Image{Digest: "sha256:a"}}})
	}
	published := func() (out []string) {
		for _, c := range w.in.Works["h-0"].Containers {
			for _, p := range c.Publish {
				out = append(out, c.Component+" "+strconv.Itoa(int(p.Host)))
			}
		}
		return out
	}
	w.turn("as it was made")
	if got := strings.Join(published(), ", "); got != "registry 80, resolver 80" {
		t.Errorf("as it was made: %s", got)
	}
	for i := range w.in.Components {
		w.in.Components[i].Version = store.ComponentVersion{Release: "1.1.0", Generation: 2, Image: host.Image{Digest: "sha256:b"}}
	}
	w.turn("of a release")
	if got := strings.Join(published(), ", "); got != "registry 80, resolver 80, resolver 443" {
		t.Errorf("of a release: %s", got)
	}
	if p := w.turn("again"); len(p.Steps) > 0 {
		t.Errorf("again: %+v", p.Steps)
	}
}

// TestResolverPublishesDNS: resolvers publish port 53 while the cluster answers for its domain, and go on as they are when that begins and
// ends.
func TestResolverPublishesDNS(t *testing.T) {
	w := newWorld(1)
	w.in.Cluster.Infra = boot.InfraHost{Block4: "10.96.0.0/24"}
	w.in.Envs = []store.Environment{{Spec: operator.EnvironmentSpec{Version: 1, Name: env.System}, Want: store.WantRunning, System: true}}
	for i, name := range []string{"registry", host.ComponentResolver} {
		id := wire.CTID(1 + 3*i)
		w.in.Nodes = append(w.in.Nodes, store.Node{CTID: id, Env: env.System, Layer: wire.LayerName(name), Host: "h-0",
			Container: host.Container{CTID: id, Env: env.System, Component: name, Generation: 1,
				Publish: []host.Port{{Proto: "tcp", Host: 80, Container: 80}}, IPv4: netip.AddrFrom4([4]byte{10, 96, 0, byte(10 + id)})}})
	}
	for _, step := range []struct {
		answers bool
		want    string
	}{{false, "registry tcp 80, resolver tcp 80"}, {true, "registry tcp 80, resolver tcp 80, resolver udp 53, resolver tcp 53"},
		{false, "registry tcp 80, resolver tcp 80"}} {
		w.in.Answers = step.answers
		w.turn("turned")
		var out []string
		for _, c := range w.in.Works["h-0"].Containers {
			for _, p := range c.Publish {
				out = append(out, c.Component+" "+p.Proto+" "+strconv.Itoa(int(p.Host)))
			}
			if c.Generation != 1 {
				t.Errorf("%s is made anew", c.Component)
			}
		}
		if got := strings.Join(out, ", "); got != step.want {
			t.Errorf("answers %t: got %s, want %s", step.answers, got, step.want)
		}
		if p := w.turn("again"); len(p.Steps) > 0 {
			t.Errorf("again: %+v", p.Steps)
		}
	}
}
