package hostapi

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/zone"
	"hardnode.dev/orchestrator/store"
)

// listener is a resolver, as far as it keeps a document.
type listener struct {
	doc     host.Routes
	changes bool // it takes them
	sent    int  // bytes
	wholes  int
}

// hear brings it up to date.
func (l *listener) hear(t interface{ Fatal(...any) }, r *Routes) {
	for {
		raw, over, err := r.news(l.doc.Revision, l.changes)
		if err != nil {
			t.Fatal(err)
		}
		if raw == nil {
			if over == nil {
				t.Fatal("there is no news, and nothing to wait for")
			}
			return
		}
		l.sent += len(raw)
		doc, err := host.DecodeRoutes(strings.NewReader(string(raw)))
		if err != nil {
			t.Fatal(err)
		}
		if doc.From == 0 {
			l.wholes++
		} else if !l.changes {
			t.Fatal("a change is sent to a resolver that takes none")
		}
		if l.doc, err = doc.After(l.doc); err != nil {
			t.Fatal(err)
		}
	}
}

func byName(doc host.Routes) []host.Site {
	return slices.SortedFunc(slices.Values(doc.Sites), func(a, b host.Site) int { return cmp.Compare(a.Env, b.Env) })
}

// cited is a store with environments, and the routes to them.
type cited struct {
	store  *store.Memory
	routes *Routes
}

func (c *cited) put(f func(tx *store.Tx)) {
	if _, err := c.store.Update(context.Background(), func(tx *store.Tx) error { f(tx); return nil }); err != nil {
		panic(err)
	}
}

func (c *cited) follow() { c.routes.take(c.store.View(), nil, true) }

func newCited() *cited {
	c := &cited{store.NewMemory(), &Routes{}}
	c.put(func(tx *store.Tx) { store.Clusters.Put(tx, store.Only, store.Cluster{Domain: "demo.test"}) })
	return c
}

func environment(tx *store.Tx, name string, want store.Want) {
	layers := []operator.LayerSpec{{Name: "cp", Nodes: 1}}
	store.Envs.Put(tx, name, store.Environment{Want: want, Spec: operator.EnvironmentSpec{Name: wire.EnvName(name), Layers: layers}})
}

// Whatever comes and goes, whoever asks how seldom: a resolver that takes changes and one that takes none have the newest document.
func TestRoutesAreTold(t *testing.T) {
	wholes, changes := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		c := newCited()
		all := []*listener{{changes: true}, {changes: true}, {}}
		for range rapid.IntRange(5, 40).Draw(t, "events") {
			name := fmt.Sprintf("e%d", rapid.IntRange(0, 5).Draw(t, "environment"))
			switch rapid.SampledFrom([]string{"put", "put", "put", "delete", "domain", "restart", "nothing"}).Draw(t, "what") {
			case "put":
				wants := []store.Want{store.WantRunning, store.WantStopped, store.WantDeleted}
				want := rapid.SampledFrom(wants).Draw(t, "want")
				c.put(func(tx *store.Tx) { environment(tx, name, want) })
			case "delete":
				c.put(func(tx *store.Tx) { store.Envs.Delete(tx, name) })
			case "domain":
				domain := rapid.SampledFrom([]string{"demo.test", "other.test"}).Draw(t, "domain")
				c.put(func(tx *store.Tx) { store.Clusters.Put(tx, store.Only, store.Cluster{Domain: domain}) })
			case "restart": // which takes longer than a millisecond, so that no revision comes twice
				for before, _ := c.routes.Get(); time.Now().UnixMilli() <= int64(before.Revision); {
					runtime.Gosched()
				}
				c.routes = &Routes{}
			}
			if rapid.Bool().Draw(t, "followed") {
				c.follow()
			}
			some := all[rapid.IntRange(0, 2).Draw(t, "resolver")]
			before := some.wholes
			some.hear(t, c.routes)
			if some.wholes > before {
				wholes++
			} else if some.doc.Revision != 0 {
				changes++
			}
		}
		c.follow()
		want, _ := c.routes.Get()
		for i, l := range all {
			if l.hear(t, c.routes); l.doc.Revision != want.Revision || !reflect.DeepEqual(byName(l.doc), byName(want)) {
				t.Fatalf("resolver %d has %+v\nwant %+v", i, l.doc, want)
			}
		}
	})
	if !t.Failed() && (wholes < 50 || changes < 50) {
		t.Errorf("the histories show too little: %d times all was sent, %d times not", wholes, changes)
	}
}

// TestRoutesCostTheChange: what is sent for one site is the same with few others and with many; a resolver that was away for longer than is
// remembered is sent all.
func TestRoutesCostTheChange(t *testing.T) {
	sent := func(n int) int {
		c := newCited()
		c.put(func(tx *store.Tx) {
			for i := range n {
				name := fmt.Sprintf("e%05d", i)
				environment(tx, name, store.WantRunning)
				node := store.Node{CTID: wire.CTID(100 + i), Env: wire.EnvName(name), Layer: "cp", HTTP: 80, Host: "h-1"}
				node.Container.IPv4 = netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
				store.Nodes.Put(tx, node.CTID.String(), node)
			}
		})
		c.follow()
		l, old := &listener{changes: true}, &listener{}
		l.hear(t, c.routes)
		old.hear(t, c.routes)
		whole := l.sent
		if whole != old.sent || l.wholes != 1 {
			t.Errorf("of %d sites %d bytes are sent to who has nothing, %d to who takes no changes", n, whole, old.sent)
		}
		c.put(func(tx *store.Tx) { environment(tx, "e00005", store.WantStopped) })
		c.follow()
		l.hear(t, c.routes)
		old.hear(t, c.routes)
		if l.wholes != 1 || old.wholes != 2 {
			t.Errorf("of %d sites: all was sent %d times to who takes changes, want once, and %d times to who does not", n, l.wholes,
				old.wholes)
		}
		t.Logf("of %d sites: %d bytes for all of them, %d for one", n, whole, l.sent-whole)
		return l.sent - whole
	}
	few, many := sent(10), sent(1000)
	if few != many || many == 0 {
		t.Errorf("for one site %d bytes are sent where there are 10, %d where there are 1000", few, many)
	}

	c, l := newCited(), &listener{changes: true}
	c.follow()
	l.hear(t, c.routes)
	for i := range 2 {
		c.put(func(tx *store.Tx) {
			for j := range keptNames/2 + 1 {
				environment(tx, fmt.Sprintf("e%d-%05d", i, j), store.WantStopped)
			}
		})
		c.follow()
	}
	if l.hear(t, c.routes); l.wholes != 2 || len(l.doc.Sites) != keptNames+2 {
		t.Errorf("who was away for long is sent all %d times, and has %d sites", l.wholes-1, len(l.doc.Sites))
	}
	if c.routes.mu.names > keptNames || len(c.routes.mu.steps) != 2 {
		t.Errorf("%d names are remembered, in %d steps", c.routes.mu.names, len(c.routes.mu.steps))
	}
	c.put(func(tx *store.Tx) { environment(tx, "e0-00000", store.WantRunning) })
	c.follow()
	if l.hear(t, c.routes); l.wholes != 2 {
		t.Error("who has the newest but one is sent all")
	}
}

// TestZoneIsTold: the zone comes with the whole document and, when it is another one, with a change; a change of a site leaves it as it is;
// one that is taken away is gone.
func TestZoneIsTold(t *testing.T) {
	c, l, late := newCited(), &listener{changes: true}, &listener{changes: true}
	now := &zone.Zone{}
	c.routes.Zone = func(*store.View) *zone.Zone { return now }
	step := func(what string, f func(), want string) {
		t.Helper()
		f()
		c.follow()
		l.hear(t, c.routes)
		got := ""
		if l.doc.Zone != nil {
			got = l.doc.Zone.Domain
		}
		if got != want || l.wholes != 1 {
			t.Errorf("%s: the zone is %q after %d whole documents, want %q", what, got, l.wholes, want)
		}
	}
	made := func(serial uint32) *zone.Zone {
		a := []netip.Addr{netip.MustParseAddr("198.51.100.4")}
		return &zone.Zone{Domain: "demo.test", Serial: serial, Mail: "a@demo.test", Addresses: a,
			Servers: []zone.DnsServer{{Name: "ns1.demo.test", Addresses: a}}}
	}
	step("at first", func() {}, "")
	step("it is set", func() { now = made(1) }, "demo.test")
	late.hear(t, c.routes)
	step("a site came", func() { c.put(func(tx *store.Tx) { environment(tx, "e1", store.WantRunning) }) }, "demo.test")
	step("it is another one", func() { now = made(2) }, "demo.test")
	if l.doc.Zone.Serial != 2 || late.doc.Zone.Serial != 1 {
		t.Errorf("serials %d and %d, want 2 and 1", l.doc.Zone.Serial, late.doc.Zone.Serial)
	}
	step("it is off", func() { now = &zone.Zone{} }, "")
	if late.hear(t, c.routes); late.doc.Zone.Domain != "" || late.wholes != 1 {
		t.Errorf("who was away has %+v", late.doc.Zone)
	}
}
