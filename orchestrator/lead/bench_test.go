package lead

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"hardnode.dev/internal/license"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/entitle"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
)

// large is a cluster of many hosts, each of which reports that it runs what it was told.
type large struct {
	*store.Memory
	fleet *live.Fleet
	loop  *Loop
	hosts []store.Host
	seq   int64
	back  time.Duration // spent on reading back what was stored, which follows the store beside the loop otherwise
}

// Update is Memory's, and takes the time from the end of the transaction's making on.
func (l *large) Update(ctx context.Context, f func(*store.Tx) error) (wire.Revision, error) {
	var made time.Time
	rev, err := l.Memory.Update(ctx, func(tx *store.Tx) error {
		defer func() { made = time.Now() }()
		return f(tx)
	})
	l.back += time.Since(made)
	return rev, err
}

// four is an environment of four nodes.
func four(name wire.EnvName, i int) store.Environment {
	image := func(n int) wire.TemplateName { return wire.TemplateName(fmt.Sprintf("image%d", n%20)) }
	return store.Environment{
		Want: store.WantRunning, Created: t0, Spec: operator.EnvironmentSpec{Version: 1, Name: name, Layers: []operator.LayerSpec{
			{Name: "lb", Template: image(i), Nodes: 1, Cloudlets: wire.Cloudlets{Reserved: 1, Dynamic: 4}, DiskMiB: 1024},
			{Name: "cp", Template: image(i + 7), Nodes: 3, Cloudlets: wire.Cloudlets{Reserved: 1 + i%8, Dynamic: 8 + i%8}, DiskMiB: 1024}}}}
}

func newLarge(t *testing.T, hosts, envs int) *large {
	l := &large{Memory: store.NewMemory(), fleet: live.NewFleet(live.ClocksFor(1), t0, nil)}
	put := func(n int, f func(*store.Tx, int)) {
		for from := 0; from < n; from += 1000 {
			_, err := l.Update(t.Context(), func(tx *store.Tx) error {
				for i := from; i < min(from+1000, n); i++ {
					f(tx, i)
				}
				return nil
			})
			must(t, err)
		}
	}
	put(1, func(tx *store.Tx, _ int) {
		store.Clusters.Put(tx, store.Only,
			store.Cluster{ID: "cl-0123456789abcdef", Domain: "demo.test", Range4: netip.MustParsePrefix("10.0.0.0/8")})
	})
	put(20, func(tx *store.Tx, i int) {
		name := wire.TemplateName(fmt.Sprintf("image%d:1", i))
		store.Templates.Put(tx, store.TemplateKey(name),
			host.Template{Image: host.Image{Name: name, Digest: wire.Digest(fmt.Sprintf("sha256:%d", i))},
				Process: host.Process{Argv: []string{"/x"}, Env: map[string]string{"A": "b"}}, HTTPPort: 80, Profile: host.ProfileApp})
	})
	for i := range hosts {
		block, _ := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}).Prefix(24)
		l.hosts = append(l.hosts, store.Host{ID: wire.HostID(fmt.Sprintf("h-%012x", i)), Name: fmt.Sprintf("host%d", i),
			Role: host.RoleUser, Number: i, Order: int64(i),
			Key: make([]byte, 32), Block4: block, Joined: t0})
	}
	put(hosts, func(tx *store.Tx, i int) { store.Hosts.Put(tx, string(l.hosts[i].ID), l.hosts[i]) })
	put(envs, func(tx *store.Tx, i int) {
		e := four(wire.EnvName(fmt.Sprintf("e%05d", i)), i)
		store.Envs.Put(tx, string(e.Spec.Name), e)
	})
	l.loop = &Loop{Store: l, Fleet: l.fleet, License: func() entitle.License {
		return entitle.License{Hosts: hosts, State: license.StateActive}
	}, Now: func() time.Time { return t0 }}
	return l
}

// report lets one host say what it runs.
func (l *large) report(t *testing.T, i int) {
	h := l.hosts[i]
	l.seq++
	r := &host.Report{Boot: "b", MeshKey: "k", Seq: l.seq, Underlay: netip.AddrFrom4([4]byte{172, 16, byte(i >> 8), byte(i)}),
		Capacity: host.Capacity{MemoryBytes: int64(32+i%4*32) << 30, DiskBytes: 4 << 40}}
	if w := store.Works.Find(l.View(), string(h.ID)); w != nil {
		r.Work, r.Planned = w.Revision, w.Revision
		for _, c := range w.Containers {
			r.Containers = append(r.Containers,
				host.ContainerStatus{CTID: c.CTID, Generation: c.Generation, State: host.CtRunning, Started: t0, CPUMicros: l.seq})
		}
	}
	_, err := l.fleet.Report(live.Member{ID: h.ID, Name: h.Name, Joined: h.Joined, From: r.Underlay}, r, t0)
	must(t, err)
}

func (l *large) round(t *testing.T) time.Duration {
	began := time.Now()
	l.back = 0
	must(t, l.loop.Once(t.Context()))
	return time.Since(began) - l.back
}

// spell is the mean and the longest of some times.
func spell(all []time.Duration) string {
	var sum time.Duration
	for _, d := range all {
		sum += d
	}
	ms := func(d time.Duration) float64 { return d.Seconds() * 1000 }
	return fmt.Sprintf("%.3f ms (mean of %d; the longest %.3f)", ms(sum)/float64(len(all)), len(all), ms(slices.Max(all)))
}

// TestFigures measures rounds of the loop, plan and documents, on one thread, with the store in memory: what etcd takes for a commit comes
// on top. Its figures are for make bench-orchestrator.
func TestFigures(t *testing.T) {
	if os.Getenv("HARDNODE_BENCH") == "" {
		t.Skip("HARDNODE_BENCH is not set: figures are measured by make bench-orchestrator")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const hosts, envs = 5000, 25000
	l := newLarge(t, hosts, envs)
	all := func() {
		for i := range hosts {
			l.report(t, i)
		}
	}
	all()
	fmt.Printf("FIGURE everything made anew and stored, 100000 nodes on 5000 hosts: %.2f s\n", l.round(t).Seconds())
	if n := store.Nodes.Len(l.View()); n != 4*envs {
		t.Fatalf("%d nodes placed, want %d: %v", n, 4*envs, l.loop.Last().Stuck)
	}
	all()
	fmt.Printf("FIGURE the round after that, everything looked at: %.2f s\n", l.round(t).Seconds())
	l.round(t)
	at := l.View().Revision()
	var quiet, made, back, after, dry []time.Duration
	for i := range 200 {
		l.report(t, i)
		quiet = append(quiet, l.round(t))
	}
	if l.View().Revision() != at {
		t.Error("there was something to do after all")
	}
	fmt.Printf("FIGURE nothing to do, 100000 nodes on 5000 hosts: %s\n", spell(quiet))
	for i := range 50 {
		e := four(wire.EnvName(fmt.Sprintf("more%d", i)), i)
		began := time.Now()
		if _, problem := l.loop.DryRun("admin",
			func() operator.EnvironmentSpec { s := e.Spec; s.Name += "-dry"; return s }()); problem != nil {
			t.Fatal(problem)
		}
		dry = append(dry, time.Since(began))
		_, err := l.Update(t.Context(), func(tx *store.Tx) error { store.Envs.Put(tx, string(e.Spec.Name), e); return nil })
		must(t, err)
		before := store.Nodes.Len(l.View())
		made = append(made, l.round(t))
		back = append(back, l.back)
		if n := store.Nodes.Len(l.View()) - before; n != 4 {
			t.Fatalf("%d nodes more, want 4", n)
		}
		after = append(after, l.round(t))
	}
	fmt.Printf("FIGURE one environment of 4 nodes more, there: %s\n", spell(made))
	fmt.Printf("FIGURE reading its records back into the view of the store: %s\n", spell(back))
	fmt.Printf("FIGURE the round after that one, which looks at it again: %s\n", spell(after))
	fmt.Printf("FIGURE dry run of one environment of 4 nodes, there: %s\n", spell(dry))
}
