// Package converge brings what hosts shall run into line with what people want.
//
// Owns: the records of nodes, Works and Peers, the numbers of containers, the addresses inside each host's block.
// In: the store's view, the hosts' status, the licence's limits; the time.
// Out: a Plan (pure) and its execution in one transaction; why nodes have no host; alarms.
// Never: talks to a host (hostapi serves what is stored), refuses a person (the API's dry run does), or trusts an event: it always
// looks at everything.
package converge

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/entitle"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/place"
	"hardnode.dev/orchestrator/store"
)

// Input is everything a Plan follows from.
type Input struct {
	Now       time.Time
	Cluster   store.Cluster
	Envs      []store.Environment
	Nodes     []store.Node
	Hosts     []store.Host
	Templates env.Templates
	Works     map[wire.HostID]host.Work
	Peers     host.Peers
	Gossip    store.GossipKey
	Spreading map[wire.EnvName]bool // environments that an operation env.spread is at work on
	NextCTID  wire.CTID
	Cursors   map[wire.HostID]int
	Live      live.Snapshot
	License   entitle.License
	Clocks    live.Clocks
}

// Plan is what has to change. A zero Plan changes nothing.
type Plan struct {
	Nodes       map[wire.CTID]store.Node
	DeleteNodes []wire.CTID
	DeleteEnvs  []wire.EnvName
	Works       map[wire.HostID]host.Work
	DeleteWorks []wire.HostID
	Peers       *host.Peers
	Gossip      *store.GossipKey
	NextCTID    wire.CTID // 0: unchanged
	Cursors     map[wire.HostID]int
	Operations  []store.Operation
	Steps       []Step                  // what changes and why, for the log
	Stuck       map[wire.EnvName]string // environments with nodes that have no host, and why
	Uneven      map[wire.EnvName]string // environments with a layer that isn't spread over hosts any more, and how
	Alarms      []string
	Rotation    string // where the rotation of the gossip key is
}

// Step is one change with its reason.
type Step struct {
	What   string // "place node 101", "remove node 100", …
	Env    wire.EnvName
	Host   wire.HostID
	Reason string
}

// Empty tells whether the plan stores nothing.
func (p Plan) Empty() bool {
	return len(p.Nodes)+len(p.DeleteNodes)+len(p.DeleteEnvs)+len(p.Works)+len(p.DeleteWorks)+len(p.Operations)+len(p.Cursors) == 0 && p.Peers == nil && p.Gossip == nil && p.NextCTID == 0
}

// planner is a Plan in the making: nodes is the state the plan leads to.
type planner struct {
	Input
	plan    Plan
	nodes   map[wire.CTID]store.Node
	order   []wire.CTID                  // of nodes, ascending
	inEnv   map[wire.EnvName][]wire.CTID // likewise, of each environment
	envs    map[wire.EnvName]store.Environment
	hosts   map[wire.HostID]store.Host
	board   *place.Board        // made for the first node that is placed
	used    map[netip.Addr]bool // container addresses; likewise
	next    wire.CTID
	cursors map[wire.HostID]int
	storm   bool
}

// Make is the plan that leads from what is to what is wanted. It is pure and whole: the same input gives the same plan, and a plan that
// was carried out leads to an empty one.
func Make(in Input) Plan {
	p := &planner{Input: in, nodes: make(map[wire.CTID]store.Node, len(in.Nodes)), inEnv: map[wire.EnvName][]wire.CTID{}, envs: map[wire.EnvName]store.Environment{}, hosts: map[wire.HostID]store.Host{},
		next: max(in.NextCTID, wire.FirstUserCTID), cursors: maps.Clone(in.Cursors)}
	p.plan = Plan{Nodes: map[wire.CTID]store.Node{}, Works: map[wire.HostID]host.Work{}, Cursors: map[wire.HostID]int{}, Stuck: map[wire.EnvName]string{}}
	if p.cursors == nil {
		p.cursors = map[wire.HostID]int{}
	}
	for _, n := range in.Nodes {
		p.nodes[n.CTID] = n
		p.order = append(p.order, n.CTID)
	}
	slices.Sort(p.order)
	for _, id := range p.order {
		p.inEnv[p.nodes[id].Env] = append(p.inEnv[p.nodes[id].Env], id)
	}
	for _, e := range in.Envs {
		p.envs[e.Spec.Name] = e
	}
	var states []live.State
	for _, h := range in.Hosts {
		p.hosts[h.ID] = h
		states = append(states, in.Live[h.ID].State)
	}
	storm, alarm := live.Storm(states)
	if p.storm = storm; storm {
		p.plan.Alarms = append(p.plan.Alarms, alarm)
	}
	p.components()
	p.retire()
	p.replace()
	p.missing()
	p.spread()
	p.cleanUp()
	p.works()
	p.peers()
	if p.next != in.NextCTID && p.next != wire.FirstUserCTID {
		p.plan.NextCTID = p.next
	}
	return p.plan
}

func (p *planner) put(n store.Node, what, reason string) {
	switch was, there := p.nodes[n.CTID]; {
	case !there: // numbers grow: it is the last one
		p.order = append(p.order, n.CTID)
		p.inEnv[n.Env] = append(p.inEnv[n.Env], n.CTID)
	case n.Gone && !was.Gone && p.board != nil:
		p.board.Retire(place.Layer{Env: n.Env, Name: n.Layer}, n.Host)
	}
	p.nodes[n.CTID] = n
	p.plan.Nodes[n.CTID] = n
	p.step(what+" node "+n.CTID.String(), n.Env, n.Host, reason)
}

func (p *planner) step(what string, e wire.EnvName, h wire.HostID, reason string) {
	p.plan.Steps = append(p.plan.Steps, Step{what, e, h, reason})
}

// all goes through the nodes by number, each as it stands in the plan when its turn comes. Nodes that are made meanwhile have no turn.
func (p *planner) all() iter.Seq[store.Node] { return p.each(p.order) }

// of is all for the nodes of one environment.
func (p *planner) of(e wire.EnvName) iter.Seq[store.Node] { return p.each(p.inEnv[e]) }

func (p *planner) each(ids []wire.CTID) iter.Seq[store.Node] {
	return func(yield func(store.Node) bool) {
		for _, id := range ids {
			if n, there := p.nodes[id]; there && !yield(n) {
				return
			}
		}
	}
}

func (p *planner) reachable(id wire.HostID) bool {
	return p.Live[id].State.State != operator.HostUnreachable
}

// components gives the platform's own nodes to the infra host once it has joined: the one with block 0.
func (p *planner) components() {
	for _, h := range p.Hosts {
		if h.Role != host.RoleInfra || h.Number != 0 {
			continue
		}
		for n := range p.of(env.System) {
			if n.Host == "" {
				n.Host, n.Placed = h.ID, "components run on the infra host"
				p.put(n, "place", "the infra host has joined")
			}
		}
	}
}

// retire marks the nodes nobody wants any more: of deleted environments, and beyond the layers there are.
func (p *planner) retire() {
	for n := range p.all() {
		if n.Gone || n.Env == env.System {
			continue
		}
		e, ok := p.envs[n.Env]
		why := ""
		switch l := layerOf(e, n.Layer); {
		case !ok || e.Want == store.WantDeleted:
			why = "its environment is deleted"
		case l == nil || n.Index >= l.Nodes:
			why = "its layer has fewer nodes now"
		}
		if _, there := p.hosts[n.Host]; why == "" && !there {
			why = "its host was removed"
		}
		if why != "" {
			n.Gone, n.Why = true, why
			p.put(n, "retire", why)
		}
	}
}

func layerOf(e store.Environment, name wire.LayerName) *operator.LayerSpec {
	for i := range e.Spec.Layers {
		if e.Spec.Layers[i].Name == name {
			return &e.Spec.Layers[i]
		}
	}
	return nil
}

// replace gives every stateless node of a host that is lost (live.Lose) a successor elsewhere. The old one is out of its host's Work from now on,
// and its record goes when the host is back and says that the container is gone.
func (p *planner) replace() {
	for n := range p.all() {
		e := p.envs[n.Env]
		if n.Gone || n.Env == env.System || e.Want != store.WantRunning || p.reachable(n.Host) || p.storm {
			continue
		}
		name, reason := p.hosts[n.Host].Name, p.Live[n.Host].Reason
		if len(n.Container.Volumes) > 0 {
			p.plan.Stuck[n.Env] = fmt.Sprintf("node %d has volumes on host %s, which is unreachable: it waits for it", n.CTID, name)
			continue
		}
		loss := p.Live[n.Host].Loss
		if !loss.Lost {
			p.plan.Stuck[n.Env] = fmt.Sprintf("node %d is on host %s, which is unreachable: %s", n.CTID, name, loss.Why)
			continue
		}
		if n.Replaces != 0 || p.coming(n) {
			continue // moves sees to it
		}
		l := layerOf(e, n.Layer)
		spec := node(e, *l, n.Index, p.Templates, n)
		made, refusal := p.create(spec)
		if refusal != nil {
			p.plan.Stuck[n.Env] = fmt.Sprintf("node %d is on host %s, which is unreachable, and no other host takes it: %s", n.CTID, name, refusal)
			continue
		}
		why := fmt.Sprintf("host %s is unreachable: %s; %s", name, reason, loss.Why)
		made.Placed = fmt.Sprintf("replaces node %d: %s; %s", n.CTID, why, made.Placed)
		p.put(made, "place", made.Placed)
		n.Gone, n.Why, n.ReplacedBy = true, why, made.CTID
		p.put(n, "retire", fmt.Sprintf("replaced by node %d: %s", made.CTID, why))
		p.plan.Operations = append(p.plan.Operations, replacement(n, made, why, p.Now, p.Clocks))
	}
}

// coming tells whether another node is on its way to take this one's place: it does so at once when this one is lost.
func (p *planner) coming(old store.Node) bool {
	for n := range p.of(old.Env) {
		if n.Replaces != old.CTID || n.Gone || !p.reachable(n.Host) {
			continue
		}
		old.Gone, old.ReplacedBy, old.Why = true, n.CTID, fmt.Sprintf("its host is lost, and node %d was on its way to take its place", n.CTID)
		p.put(old, "retire", old.Why)
		return true
	}
	return false
}

// node expands one node of a layer. Without its template in the registry any more, it is made as the node before it was.
func node(e store.Environment, l operator.LayerSpec, index int, templates env.Templates, before store.Node) env.Node {
	if t, ok := templates.Find(l.Template); ok {
		return env.NodeOf(e.Account, e.Spec.Name, l, index, t)
	}
	c := before.Container
	c.Account, c.Generation = e.Account, 1
	return env.Node{Env: e.Spec.Name, Layer: l.Name, Index: index, Cloudlets: l.Cloudlets, HTTP: before.HTTP, Container: c}
}

// missing makes the nodes that layers want and nobody is.
func (p *planner) missing() {
	for _, e := range p.Envs {
		if e.System || e.Want == store.WantDeleted {
			continue
		}
		have := map[wire.LayerName]map[int]bool{}
		for n := range p.of(e.Spec.Name) {
			if !n.Gone {
				if have[n.Layer] == nil {
					have[n.Layer] = map[int]bool{}
				}
				have[n.Layer][n.Index] = true
			}
		}
		want, problem := env.Expand(e.Account, e.Spec, p.Templates)
		if problem != nil && p.wants(e.Spec, have) {
			p.plan.Stuck[e.Spec.Name] = problem.Reason
			continue
		}
		for _, n := range want {
			if have[n.Layer][n.Index] {
				continue
			}
			made, refusal := p.create(n)
			if refusal != nil {
				p.plan.Stuck[e.Spec.Name] = refusal.String()
				break
			}
			p.put(made, "place", made.Placed)
		}
	}
}

func (p *planner) wants(s operator.EnvironmentSpec, have map[wire.LayerName]map[int]bool) bool {
	for _, l := range s.Layers {
		if len(have[l.Name]) < l.Nodes {
			return true
		}
	}
	return false
}

// boarded is the hosts with what is on them in the plan now.
func (p *planner) boarded() *place.Board {
	if p.board == nil {
		in := p.Input
		in.Nodes = slices.Collect(p.all())
		p.board, p.used = place.NewBoard(Hosts(in)), map[netip.Addr]bool{}
		for n := range p.all() {
			p.used[n.Container.IPv4] = true
		}
	}
	return p.board
}

// create places one node and gives it its number and addresses.
func (p *planner) create(n env.Node) (store.Node, *place.Refusal) {
	chosen, refusal := p.boarded().Place(Wanted(n))
	if refusal != nil {
		return store.Node{}, refusal
	}
	h := p.hosts[chosen.Host]
	v4, v6, octet := p.address(h)
	c := n.Container
	c.CTID, c.Hostname, c.IPv4, c.IPv6 = p.next, env.Hostname(p.next), v4, v6
	made := store.Node{CTID: p.next, Env: n.Env, Layer: n.Layer, Index: n.Index, Host: h.ID, Placed: chosen.Why, Cloudlets: n.Cloudlets, HTTP: n.HTTP, Created: p.Now, Container: c}
	p.next++
	p.cursors[h.ID], p.plan.Cursors[h.ID] = octet, octet
	return made, nil
}

// cleanUp forgets nodes that are really gone, and deleted environments without any.
func (p *planner) cleanUp() {
	for n := range p.all() {
		if n.Gone && p.confirmed(n) {
			delete(p.nodes, n.CTID)
			delete(p.plan.Nodes, n.CTID)
			p.plan.DeleteNodes = append(p.plan.DeleteNodes, n.CTID)
			p.step("forget node "+n.CTID.String(), n.Env, n.Host, n.Why)
		}
	}
	for _, e := range p.Envs {
		if e.Want != store.WantDeleted || p.answers(e.Spec.Name) {
			continue
		}
		// What is left lies on hosts that don't answer; their Work leaves it out, so they remove it when they are back.
		p.plan.DeleteEnvs = append(p.plan.DeleteEnvs, e.Spec.Name)
		p.step("forget environment", e.Spec.Name, "", "all its nodes are removed")
	}
}

// answers tells whether an environment has a node on a host that answers.
func (p *planner) answers(e wire.EnvName) bool {
	for n := range p.of(e) {
		if p.reachable(n.Host) {
			return true
		}
	}
	return false
}

// confirmed tells whether the host of a node that is gone has said that the container is gone too.
func (p *planner) confirmed(n store.Node) bool {
	if _, there := p.hosts[n.Host]; !there {
		return true
	}
	w, s := p.Works[n.Host], p.Live[n.Host]
	if s.State.State != operator.HostActive || s.Report == nil || s.Report.PlannedFor() < cmp.Or(n.Assigned, w.Revision) {
		return false
	}
	if slices.ContainsFunc(w.Containers, func(c host.Container) bool { return c.CTID == n.CTID }) {
		return false
	}
	_, still := s.Container(n.CTID)
	return !still
}
