package converge

import (
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
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
)

// cluster is one of many hosts, with environments of four nodes that are wanted and not made yet.
func cluster(hosts, nodes int) Input {
	in := Input{Now: t0, NextCTID: 100, Works: map[wire.HostID]host.Work{}, Cursors: map[wire.HostID]int{}, Live: live.Snapshot{},
		Clocks:    live.ClocksFor(1),
		License:   entitle.License{Hosts: hosts, State: license.StateActive},
		Cluster:   store.Cluster{ID: "cl-0123456789abcdef", Domain: "demo.test", Range4: netip.MustParsePrefix("10.0.0.0/8")},
		Templates: env.Templates{}}
	for i := range 20 {
		name := wire.TemplateName(fmt.Sprintf("image%d:1", i))
		in.Templates[name] = host.Template{Image: host.Image{Name: name, Digest: wire.Digest(fmt.Sprintf("sha256:%d", i))},
			Process: host.Process{Argv: []string{"/x"}, Env: map[string]string{"A": "b"}}, HTTPPort: 80, Profile: host.ProfileApp}
	}
	for i := range hosts {
		block, _ := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}).Prefix(24)
		h := store.Host{ID: wire.HostID(fmt.Sprintf("h-%012x", i)), Name: fmt.Sprintf("host%d", i), Role: host.RoleUser, Number: i,
			Order: int64(i), Block4: block}
		in.Hosts = append(in.Hosts, h)
		in.Live[h.ID] = live.Status{State: live.State{State: operator.HostActive, Since: t0}, Report: &host.Report{Boot: "b", MeshKey: "k",
			Underlay: netip.AddrFrom4([4]byte{172, 16, byte(i >> 8), byte(i)}),
			Capacity: host.Capacity{MemoryBytes: int64(32+i%4*32) << 30, DiskBytes: 4 << 40}}}
	}
	for i := range nodes / 4 {
		in.Envs = append(in.Envs, store.Environment{Want: store.WantRunning,
			Spec: operator.EnvironmentSpec{Version: 1, Name: wire.EnvName(fmt.Sprintf("e%d", i)), Layers: []operator.LayerSpec{
				{Name: "lb", Template: wire.TemplateName(fmt.Sprintf("image%d", i%20)), Nodes: 1,
					Cloudlets: wire.Cloudlets{Reserved: 1, Dynamic: 4}, DiskMiB: 1024},
				{Name: "cp", Template: wire.TemplateName(fmt.Sprintf("image%d", (i+7)%20)), Nodes: 3,
					Cloudlets: wire.Cloudlets{Reserved: 1 + i%8, Dynamic: 8 + i%8}, DiskMiB: 1024}}}})
	}
	return in
}

// carry is the input after a plan was carried out.
func carry(in Input, p Plan) Input {
	in.Nodes = nil
	for _, n := range p.Nodes {
		in.Nodes = append(in.Nodes, n)
	}
	for i, h := range in.Hosts {
		in.Hosts[i].More = slices.Concat(h.More, p.More[h.ID])
	}
	for id, w := range p.Works {
		in.Works[id] = w
	}
	for id, c := range p.Cursors {
		in.Cursors[id] = c
	}
	if p.Peers != nil {
		in.Peers = *p.Peers
	}
	in.Names = map[wire.EnvName]store.Names{}
	for name, rec := range p.Names {
		in.Names[name] = *rec
	}
	in.NextCTID = max(in.NextCTID, p.NextCTID)
	return in
}

// TestFigures measures placing, on one thread; its figures are for make bench-orchestrator. What a round costs, orchestrator/lead measures.
func TestFigures(t *testing.T) {
	if os.Getenv("HARDNODE_BENCH") == "" {
		t.Skip("HARDNODE_BENCH is not set: figures are measured by make bench-orchestrator")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	each := map[int]time.Duration{}
	var in Input
	for _, hosts := range []int{500, 5000} {
		nodes := 20 * hosts
		in = cluster(hosts, nodes)
		began := time.Now()
		p := Make(in)
		took := time.Since(began)
		if len(p.Nodes) != nodes {
			t.Fatalf("%d of %d nodes placed: %v", len(p.Nodes), nodes, p.Stuck)
		}
		each[hosts] = took / time.Duration(nodes)
		fmt.Printf("FIGURE place %d nodes on %d hosts: %.2f s, %.0f nodes/s\n", nodes, hosts, took.Seconds(), float64(nodes)/took.Seconds())
		in = carry(in, p)
	}
	fmt.Printf("FIGURE place, growth per node from 500 to 5000 hosts: %.2f ×\n", float64(each[5000])/float64(each[500]))
	if p := Make(in); !p.Empty() {
		t.Errorf("a plan that was carried out leads to another: %d nodes, %d works", len(p.Nodes), len(p.Works))
	}
}
