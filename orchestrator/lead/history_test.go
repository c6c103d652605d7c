package lead

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/license"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/converge"
	"hardnode.dev/orchestrator/entitle"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
)

var t0 = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// event is something that happens to a cluster: what, and up to three numbers that say to whom and how.
type event struct {
	what    string
	a, b, c int
}

func (e event) String() string { return fmt.Sprintf("{%q, %d, %d, %d}", e.what, e.a, e.b, e.c) }

// cluster is a store, a fleet, agents and a loop, on a clock of their own. What happens to it follows from its events alone.
type cluster struct {
	memory  *store.Memory
	fleet   *live.Fleet
	loop    *Loop
	license entitle.License
	now     time.Time
	agents  map[wire.HostID]*agent
	joined  int
	ops     int
	door    func() error // asked before each transaction of the loop; nil: all pass
	limit   limits
}

// agent is what a host does: it reports each second unless it is silent, and runs what it is told unless it is slow.
type agent struct {
	rep    host.Report
	silent bool
	slow   bool                              // it does not plan
	lost   bool                              // the others call it dead while it is silent
	states map[wire.CTID]host.ContainerState // of containers that don't run as they shall
	loops  int
	boots  map[wire.CTID]begun // nil: what is started anew runs at once
}

// begun is which start of a container a host saw last, and until which report it takes.
type begun struct {
	generation, boot int64
	until            int64
}

// starts tells whether a container is being started anew: that takes two reports.
func (a *agent) starts(ct host.Container) bool {
	if a.boots == nil {
		return false
	}
	b, seen := a.boots[ct.CTID]
	if now := (begun{ct.Generation, ct.Boot, b.until}); seen && now != b {
		b.until = a.rep.Seq + 2
	}
	a.boots[ct.CTID] = begun{ct.Generation, ct.Boot, b.until}
	return a.rep.Seq < b.until
}

func newCluster() *cluster {
	c := &cluster{memory: store.NewMemory(), now: t0, agents: map[wire.HostID]*agent{},
		license: entitle.License{Hosts: 4, State: license.StateActive}}
	c.fleet = live.NewFleet(live.ClocksFor(1), t0, nil)
	c.update(func(tx *store.Tx) {
		store.Clusters.Put(tx, store.Only,
			store.Cluster{ID: "cl-0123456789abcdef", Name: "c", Domain: "demo.test", Range4: netip.MustParsePrefix("10.96.0.0/12"),
				Range6: netip.MustParsePrefix("fd48:4e00::/48"), Gossip: secret.Bytes(strings.Repeat("a", 32)), FirstWork: 3})
		store.Envs.Put(tx, "jelastic",
			store.Environment{Spec: operator.EnvironmentSpec{Version: 1, Name: "jelastic"}, Want: store.WantRunning, System: true})
		store.Nodes.Put(tx, "3", store.Node{CTID: 3, Env: "jelastic", Layer: "cp", Created: t0,
			Container: host.Container{CTID: 3, Env: "jelastic", Component: "orchestrator", Run: true,
				IPv4: netip.MustParseAddr("10.96.0.13")}})
	})
	for i := range 3 {
		c.template(i, 1)
	}
	c.restart()
	for range 4 {
		c.join()
	}
	return c
}

func (c *cluster) restart() {
	c.loop = &Loop{Store: door{c}, Fleet: c.fleet, License: func() entitle.License { return c.license },
		Now: func() time.Time { return c.now }, limit: c.limit}
}

// door is the store as the loop sees it.
type door struct{ c *cluster }

func (d door) View() *store.View { return d.c.memory.View() }
func (d door) Update(ctx context.Context, f func(*store.Tx) error) (wire.Revision, error) {
	if d.c.door != nil {
		if err := d.c.door(); err != nil {
			return 0, err
		}
	}
	return d.c.memory.Update(ctx, f)
}

func (c *cluster) update(f func(*store.Tx)) {
	if _, err := c.memory.Update(context.Background(), func(tx *store.Tx) error { f(tx); return nil }); err != nil {
		panic(err)
	}
}

// template is one of three.
func (c *cluster) template(i, version int) {
	name := wire.TemplateName(fmt.Sprintf("t%d:1", i))
	t := host.Template{Image: host.Image{Name: name, Digest: wire.Digest(fmt.Sprintf("sha256:%d.%d", i, version))},
		Process:  host.Process{Argv: []string{"/x"}},
		HTTPPort: 80, Profile: host.ProfileApp, Imported: t0}
	c.update(func(tx *store.Tx) { store.Templates.Put(tx, store.TemplateKey(name), t) })
}

func (c *cluster) join() {
	i := c.joined
	c.joined++
	h := store.Host{ID: wire.HostID(fmt.Sprintf("h-%d", i)), Name: fmt.Sprintf("host%d", i), Role: host.RoleUser, Number: i,
		Order: int64(i), Joined: c.now,
		Block4: netip.MustParsePrefix(fmt.Sprintf("10.96.%d.0/24", i)),
		Block6: netip.MustParsePrefix(fmt.Sprintf("fd48:4e00:0:%d::/64", i))}
	if i == 0 {
		h.Role, h.Name = host.RoleInfra, "infra"
	}
	c.agents[h.ID] = &agent{states: map[wire.CTID]host.ContainerState{},
		rep: host.Report{Boot: "b0", MeshKey: "k" + h.Name, Underlay: netip.MustParseAddr(fmt.Sprintf("10.77.0.%d", 10+i)),
			Capacity: host.Capacity{MemoryBytes: int64(1+i%2) << 30, DiskBytes: 100 << 30},
			Keys:     host.GossipKeyIDs{Use: host.GossipKeyID(secret.Bytes(strings.Repeat("a", 32)))}}}
	c.update(func(tx *store.Tx) { store.Hosts.Put(tx, string(h.ID), h) })
}

// some is one of the hosts that can be had by a number; "" if there is none.
func (c *cluster) some(n int) wire.HostID {
	all := store.Hosts.All(c.memory.View())
	if len(all) == 0 {
		return ""
	}
	return all[n%len(all)].ID
}

// pass lets time go by: agents report, states move.
func (c *cluster) pass(d time.Duration) {
	for end := c.now.Add(d); c.now.Before(end); {
		c.now = c.now.Add(min(time.Second, end.Sub(c.now)))
		v := c.memory.View()
		var members []live.Member
		var dead []host.GossipView
		hosts := store.Hosts.All(v)
		for _, h := range hosts {
			members = append(members, live.Member{ID: h.ID, Name: h.Name, Joined: h.Joined})
			if a := c.agents[h.ID]; a.silent && a.lost {
				dead = append(dead, host.GossipView{Host: h.ID})
			}
		}
		for i, h := range hosts {
			if a := c.agents[h.ID]; !a.silent {
				rep := a.report(v, h.ID)
				rep.Gossip = dead
				m := members[i]
				m.From = rep.Underlay
				c.fleet.Report(m, rep, c.now)
			}
		}
		c.fleet.Tick(c.now, members)
	}
}

func (a *agent) report(v *store.View, id wire.HostID) *host.Report {
	a.rep.Seq++
	if w, there := store.Works.Get(v, string(id)); there && !a.slow {
		a.rep.Seen, a.rep.Work, a.rep.Planned, a.rep.Containers = w.Revision, w.Revision, w.Revision, nil
		for _, ct := range w.Containers {
			s := host.ContainerStatus{CTID: ct.CTID, Generation: ct.Generation, Boot: ct.Boot, State: host.CtRunning}
			switch {
			case !ct.Run:
				s.State = host.CtStopped
			case a.starts(ct):
				s.State = host.CtStarting
			}
			if odd, there := a.states[ct.CTID]; there {
				a.loops++
				if s.State, s.Reason = odd, fmt.Sprintf("it ended; next start in %d.3s", a.loops%10); odd == "" {
					continue // it is not there, though it should be
				}
			}
			a.rep.Containers = append(a.rep.Containers, s)
		}
	}
	if doc := store.PeersDoc.Find(v, store.Only); doc != nil {
		a.rep.Keys = host.GossipKeyIDs{Use: host.GossipKeyID(doc.Gossip.Use)}
		for _, k := range doc.Gossip.Accept {
			a.rep.Keys.Accept = append(a.rep.Keys.Accept, host.GossipKeyID(k))
		}
	}
	rep := a.rep
	rep.Load.UptimeSec = rep.Seq
	return &rep
}

// kinds are the events, by how often they come.
var kinds = []string{"create", "create", "create", "scale", "scale", "stop", "start", "delete", "spread", "spread", "operation ends",
	"silent", "lost", "lost", "lost", "back", "back", "all back", "all back", "all back", "remove host", "join", "template",
	"template gone", "licence", "licence", "slow", "container", "container", "volume", "memory", "address", "reboot", "rotate", "restart",
	"pass", "pass long", "cordon", "drain", "drain", "drain", "drain fails", "uncordon", "uncordon", "edit",
	"edit", "edit", "edit ends", "edit ends"}

// happen lets one event happen. One that does not fit is nothing.
func (c *cluster) happen(e event) {
	name := wire.EnvName(fmt.Sprintf("e%d", e.a%5))
	agent := c.agents[c.some(e.a)]
	edit := func(f func(*store.Environment)) {
		c.update(func(tx *store.Tx) {
			if rec, there := store.Envs.Read(tx, string(name)); there {
				rec.Spec.Layers = slices.Clone(rec.Spec.Layers)
				f(&rec)
				store.Envs.Put(tx, string(name), rec)
			}
		})
	}
	want := func(w store.Want) func(*store.Environment) {
		return func(rec *store.Environment) {
			if rec.Want != store.WantDeleted {
				rec.Want = w
			}
		}
	}
	switch e.what {
	case "create":
		spec := operator.EnvironmentSpec{Version: 1, Name: name}
		for l := range 1 + e.b%2 {
			spec.Layers = append(spec.Layers, operator.LayerSpec{Name: wire.LayerName([]string{"cp", "bl"}[l]),
				Template: wire.TemplateName([]string{"t0", "t1:1", "t2"}[(e.b+l)%3]),
				Nodes:    1 + e.c%4, Cloudlets: wire.Cloudlets{Reserved: 1 + e.c%2, Dynamic: 4}})
		}
		c.update(func(tx *store.Tx) {
			if _, there := store.Envs.Read(tx, string(name)); !there {
				store.Envs.Put(tx, string(name),
					store.Environment{Account: wire.AdminAccount, Spec: spec, Want: store.WantRunning, Created: c.now})
			}
		})
	case "scale":
		edit(func(rec *store.Environment) { rec.Spec.Layers[0].Nodes = e.b % 6 })
	case "stop":
		edit(want(store.WantStopped))
	case "start":
		edit(want(store.WantRunning))
	case "delete":
		edit(func(rec *store.Environment) { rec.Want = store.WantDeleted })
	case "spread":
		c.update(func(tx *store.Tx) {
			for rec := range store.Envs.Rows(tx.View()) {
				if rec.System || e.b%2 == 0 && rec.Spec.Name != name {
					continue
				}
				c.ops++
				id := wire.OperationID(fmt.Sprintf("op-%d", c.ops))
				rec.Operation = id
				store.Envs.Put(tx, string(rec.Spec.Name), rec)
				store.Operations.Put(tx, string(id), store.Operation{Env: rec.Spec.Name,
					Operation: operator.Operation{ID: id, Kind: "env.spread", State: operator.OpRunning, Created: c.now, Updated: c.now}})
			}
		})
	case "edit":
		c.edit(name, e)
	case "edit ends":
		c.update(func(tx *store.Tx) {
			for id, op := range store.Operations.Refs(tx.View()) {
				rec, there := store.Envs.Read(tx, string(op.Env))
				if op.Kind != "env.edit" || op.State.Final() || op.Env != name {
					continue
				}
				ended := *op
				switch {
				case e.c%3 == 0 && !op.Settled:
					ended.Settled = true
				case e.c%3 == 1 || op.Settled:
					ended.State = operator.OpDone
				case there && rec.Operation == op.ID:
					ended.State = operator.OpFailed
					rec.Spec = op.Before.Spec
					store.Envs.Put(tx, string(name), rec)
				}
				store.Operations.Put(tx, id, ended)
			}
		})
	case "operation ends":
		c.update(func(tx *store.Tx) {
			for id, op := range store.Operations.Refs(tx.View()) {
				if op.Kind != "env.spread" || e.b%2 == 0 && op.Env != name {
					continue
				}
				if ended := *op; e.c%2 == 0 {
					ended.State = operator.OpDone
					store.Operations.Put(tx, id, ended)
				} else {
					store.Operations.Delete(tx, id)
				}
			}
		})
	case "silent", "lost":
		if agent != nil {
			agent.silent, agent.lost = true, e.what == "lost"
			c.pass(time.Duration(1+e.b%9) * time.Second)
		}
	case "back", "all back":
		for id, a := range c.agents {
			if a == agent || e.what == "all back" {
				a.silent, a.slow = false, false
				clear(a.states)
				_ = id
			}
		}
	case "remove host":
		if id := c.some(e.a); id != "" && e.b%3 == 0 {
			c.update(func(tx *store.Tx) { store.Hosts.Delete(tx, string(id)) })
		}
	case "join":
		if c.joined < 8 {
			c.join()
		}
	case "template":
		c.template(e.a%3, 1+e.b%2)
	case "template gone":
		c.update(func(tx *store.Tx) { store.Templates.Delete(tx, fmt.Sprintf("t%d:1", e.a%3)) })
	case "licence":
		c.license = entitle.License{Hosts: e.a % 6,
			State: []license.State{license.StateActive, license.StateExpired, license.StateNone}[e.b%3],
			Since: t0.Add(time.Duration(e.c) * time.Second)}
	case "slow":
		if agent != nil {
			agent.slow = !agent.slow
		}
	case "container":
		if nodes := store.Nodes.All(c.memory.View()); agent != nil && len(nodes) > 0 {
			n := nodes[e.b%len(nodes)]
			if a := c.agents[n.Host]; a != nil {
				a.states[n.CTID] = []host.ContainerState{"", host.CtFailing, host.CtStarting}[e.c%3]
			}
		}
	case "volume":
		if nodes := store.Nodes.All(c.memory.View()); len(nodes) > 0 {
			n := nodes[e.b%len(nodes)]
			n.Container.Volumes = []host.Volume{{Name: "data", Path: "/data"}}
			c.update(func(tx *store.Tx) { store.Nodes.Put(tx, n.CTID.String(), n) })
		}
	case "memory":
		if agent != nil {
			agent.rep.Capacity.MemoryBytes = int64(1+e.b%3) << 30
		}
	case "address":
		if agent != nil {
			agent.rep.Underlay = netip.MustParseAddr(fmt.Sprintf("10.77.0.%d", 10+e.b%8))
		}
	case "reboot":
		if agent != nil {
			agent.rep.Boot, agent.rep.MeshKey, agent.rep.Planned, agent.rep.Work, agent.rep.Containers = fmt.Sprintf("b%d", e.b),
				fmt.Sprintf("k%d", e.b), 0, 0, nil
		}
	case "rotate":
		c.update(func(tx *store.Tx) {
			if k, _ := store.GossipKeys.Read(tx, store.Only); !k.Rotating() {
				store.GossipKeys.Put(tx, store.Only, store.GossipKey{Use: secret.Bytes(strings.Repeat("a", 32)),
					Next: secret.Bytes(strings.Repeat("b", 32)), Since: c.now, By: "ann"})
			}
		})
	case "cordon", "drain", "drain fails", "uncordon":
		id := string(c.some(e.a))
		c.update(func(tx *store.Tx) {
			rec, there := store.Cordons.Read(tx, id)
			switch {
			case id == "" || !there && e.what != "cordon" && e.what != "drain":
				return
			case e.what == "uncordon":
				store.Cordons.Delete(tx, id)
				return
			case e.what == "drain":
				rec.Drain = &store.Drain{Operation: "op-d", Stop: e.b%2 == 0}
			case e.what == "drain fails" && rec.Drain != nil:
				rec.Drain = &store.Drain{Operation: "op-d", Ended: c.now, Failed: "out of time"}
			}
			rec.By = "ann"
			store.Cordons.Put(tx, id, rec)
		})
	case "restart":
		c.restart()
	case "pass":
		c.pass(time.Duration(1+e.a%3) * time.Second)
	case "pass long":
		c.pass(time.Duration(10+e.a%40) * time.Second)
	}
	c.pass(time.Second)
}

// edit is what ops does: the other spec, the operation, and each node's own.
func (c *cluster) edit(name wire.EnvName, e event) {
	c.update(func(tx *store.Tx) {
		rec, there := store.Envs.Read(tx, string(name))
		if op := store.Operations.Find(tx.View(), string(rec.Operation)); !there || rec.Want == store.WantDeleted ||
			op != nil && !op.State.Final() {
			return
		}
		for n := range store.NodesOf.Of(tx.View(), string(name)) {
			for _, l := range rec.Spec.Layers {
				if !n.Gone && n.Made == nil && l.Name == n.Layer {
					n.Made = &store.Made{Spec: l}
					store.Nodes.Put(tx, n.CTID.String(), n)
				}
			}
		}
		c.ops++
		op := store.Operation{Env: name, Before: &store.Earlier{Spec: rec.Spec, Want: rec.Want}, Operation: operator.Operation{
			ID: wire.OperationID(fmt.Sprintf("op-%d", c.ops)), Kind: "env.edit", State: operator.OpRunning, Created: c.now, Updated: c.now}}
		rec.Spec.Layers, rec.Operation = slices.Clone(rec.Spec.Layers), op.ID
		switch l := &rec.Spec.Layers[0]; e.b % 4 {
		case 0:
			l.Template = wire.TemplateName(fmt.Sprintf("t%d", e.c%3))
		case 1:
			l.Env = map[string]string{"A": fmt.Sprint(e.c % 2)}
		case 2:
			l.Cloudlets.Dynamic = 2 + e.c%3
		default:
			l.Nodes = 1 + e.c%4
		}
		store.Envs.Put(tx, string(name), rec)
		store.Operations.Put(tx, string(op.ID), op)
	})
}

// long is the plan of now, made of everything.
func (c *cluster) long() converge.Plan {
	snapshot := c.fleet.Snapshot()
	in := converge.Gather(c.memory.View(), snapshot)
	in.Now, in.License, in.Clocks = c.now, c.license, c.fleet.Clocks()
	return converge.Make(in)
}

// valid says what is wrong with a state, whoever made it last.
func valid(v *store.View) error {
	var all []error
	bad := func(format string, a ...any) { all = append(all, fmt.Errorf(format, a...)) }
	next, _ := store.Numbers.Get(v, "ctid")
	addresses := map[netip.Addr]wire.CTID{}
	for n := range store.Nodes.Rows(v) {
		if n.CTID >= wire.FirstUserCTID && int64(n.CTID) >= next.Next {
			bad("node %d has a number that will be given again: the next is %d", n.CTID, next.Next)
		}
		if other, taken := addresses[n.Container.IPv4]; taken {
			bad("nodes %d and %d have the address %s", other, n.CTID, n.Container.IPv4)
		}
		addresses[n.Container.IPv4] = n.CTID
		if n.ReplacedBy != 0 {
			if op := replacing(v, n.CTID); op == nil && n.Why != "" && strings.Contains(n.Why, "is unreachable:") {
				bad("node %d was replaced by node %d, and there is no operation that says so", n.CTID, n.ReplacedBy)
			}
		}
	}
	for id, w := range store.Works.Refs(v) {
		for _, ct := range w.Containers {
			if n := store.Nodes.Find(v, ct.CTID.String()); n == nil || string(n.Host) != id {
				bad("the work of host %s has container %d, which is no node there", id, ct.CTID)
			}
		}
	}
	return errors.Join(all...)
}

func replacing(v *store.View, old wire.CTID) *store.Operation {
	for _, op := range store.Operations.Refs(v) {
		if op.Kind == "node.replace" && op.Old == old {
			return op
		}
	}
	return nil
}
