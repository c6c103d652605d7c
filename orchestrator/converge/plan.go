// Package converge decides what hosts shall run, so that it comes into line with what people want.
//
// Owns: the decisions on the records of nodes, Works, Peers and names: the numbers of containers, the addresses inside each host's
// blocks, which of them get further blocks.
// In: what changed in the store's view, which hosts moved, the licence's limits, the time; an Index keeps what decisions read of them.
// Out: a Plan; why nodes have no host; alarms. A Plan's cost is that of what changed.
// Never: stores or reads anything (orchestrator/lead does), refuses a person (the API's dry run does), or depends on the order of events:
// the plan is that of an index which was just made of everything.
package converge

import (
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/blocks"
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
	Names     map[wire.EnvName]store.Names
	Published wire.Revision // of Peers and Names together
	Gossip    store.GossipKey
	Netboot   *store.Netboot // nil: it is switched off
	Answers   bool           // for the cluster's domain in the DNS

	Components []store.Component // those that were ever replaced

	Spreading map[wire.EnvName]bool // environments that an operation env.spread is at work on
	Editing   map[wire.EnvName]bool // or an env.edit that may still be undone
	Stopping  map[wire.EnvName]bool // or an env.stop, or an env.trash
	Cordons   map[wire.HostID]store.Cordon
	NextCTID  wire.CTID
	NextBlock int // how many blocks were given
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
	Names       map[wire.EnvName]*store.Names // nil: there are none any more
	Gossip      *store.GossipKey
	NextCTID    wire.CTID // 0: unchanged
	Cursors     map[wire.HostID]int
	At          map[wire.CTID]int              // of each node that is made, the place of its address in its host's blocks
	More        map[wire.HostID][]netip.Prefix // blocks that hosts get, each behind those it has
	NextBlock   int                            // the number of blocks given ever, if hosts get some
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
	records := len(p.More) + len(p.Nodes) + len(p.DeleteNodes) + len(p.DeleteEnvs) + len(p.Works) + len(p.DeleteWorks) + len(p.Operations) +
		len(p.Cursors)
	return records+len(p.Names) == 0 && p.Peers == nil && p.Gossip == nil && p.NextCTID == 0
}

// Make is the plan that leads from what is to what is wanted, the long way: everything is looked at. It is pure and whole: the same input
// gives the same plan, and a plan that was carried out leads to an empty one.
func Make(in Input) Plan { return in.index().Plan(in.Now) }

// planner is a Plan in the making: the nodes are those of the index, as the plan has them.
type planner struct {
	*Index
	now      time.Time
	plan     Plan
	list     []wire.EnvName // the dirty environments, by name
	order    []wire.CTID    // of their nodes, ascending
	made     map[wire.EnvName][]wire.CTID
	deleted  map[wire.CTID]bool
	given    map[netip.Addr]bool // addresses
	blocks   map[netip.Prefix]bool
	block    int       // how many were given
	number   wire.CTID // the next
	stuck    map[wire.EnvName]string
	uneven   map[wire.EnvName]string
	watching map[wire.EnvName]bool
	rolling  map[wire.EnvName]bool // edits that are not at their end
	leaving  map[wire.CTID]bool    // nodes that are to be started anew, and wait until nothing comes for them
	rerouted bool                  // addresses lead to another host
}

// Plan is what has to change because of what is dirty, and leaves that dirty until Looked says that the plan was carried out. What it says
// of environments that are not dirty is what was found out when they were.
func (x *Index) Plan(now time.Time) Plan {
	x.recount()
	x.drained()
	maps.Copy(x.dirty.envs, x.rolling)
	for id, until := range x.formers {
		if !now.Before(until) {
			x.dirty.envs[x.nodes[id].Env] = true
		}
	}
	if x.board.Version() != x.kept.board {
		x.watchers()
	}
	for {
		p := x.decide(now)
		if moved := x.board.Undo(); moved && x.watchers() {
			continue // they come before or after what was placed, each in its turn
		}
		x.kept.board = x.board.Version()
		p.keep()
		return p.plan
	}
}

// decide makes a plan of what is dirty. The board is left with it carried out.
func (x *Index) decide(now time.Time) *planner {
	p := &planner{Index: x, now: now, made: map[wire.EnvName][]wire.CTID{}, deleted: map[wire.CTID]bool{}, given: map[netip.Addr]bool{},
		blocks: map[netip.Prefix]bool{}, block: x.block,
		number: max(x.next, wire.FirstUserCTID), stuck: map[wire.EnvName]string{}, uneven: map[wire.EnvName]string{},
		watching: map[wire.EnvName]bool{}, rolling: map[wire.EnvName]bool{}, leaving: map[wire.CTID]bool{}}
	p.plan = Plan{Nodes: map[wire.CTID]store.Node{}, Works: map[wire.HostID]host.Work{}, Cursors: map[wire.HostID]int{},
		At: map[wire.CTID]int{}, More: map[wire.HostID][]netip.Prefix{}, Names: map[wire.EnvName]*store.Names{}}
	p.list = slices.Sorted(maps.Keys(x.dirty.envs))
	for _, name := range p.list {
		if e := x.envs[name]; e != nil {
			p.order = append(p.order, e.nodes...)
		}
	}
	slices.Sort(p.order)
	x.board.Try()
	p.components()
	p.patch()
	p.domain()
	p.netboot()
	p.retire()
	p.advance()
	p.forget()
	p.revise()
	p.restart()
	p.loud()
	p.replace()
	p.missing()
	moving := p.moves()
	p.leave()
	p.spread(moving)
	p.cleanUp()
	p.turns()
	p.works()
	p.peers()
	if len(p.plan.More) > 0 {
		p.plan.NextBlock = p.block
	}
	if p.number != x.next && p.number != wire.FirstUserCTID {
		p.plan.NextCTID = p.number
	}
	return p
}

// keep notes what was found out of the dirty environments, and completes the plan with what is known of all.
func (p *planner) keep() {
	k := &p.kept
	for _, name := range p.list {
		delete(k.watching, name)
		delete(p.Index.rolling, name)
	}
	maps.Copy(p.Index.rolling, p.rolling)
	maps.Copy(k.watching, p.watching)
	k.stuck, _ = merge(k.stuck, p.stuck, p.list)
	var changed bool
	if k.uneven, changed = merge(k.uneven, p.uneven, p.list); changed {
		k.alarms = unevenAlarms(k.uneven)
	}
	p.plan.Stuck, p.plan.Uneven = k.stuck, k.uneven
	if k.storm {
		p.plan.Alarms = append(p.plan.Alarms, k.stormy)
	}
	p.plan.Alarms = append(p.plan.Alarms, k.alarms...)
}

// merge is old with what is said of the names now. Old stays as it is: somebody reads it.
func merge(old, now map[wire.EnvName]string, names []wire.EnvName) (map[wire.EnvName]string, bool) {
	changed := false
	for _, name := range names {
		was, there := old[name]
		is, still := now[name]
		if was == is && there == still {
			continue
		}
		if !changed {
			changed = true
			old = maps.Clone(old)
		}
		if still {
			old[name] = is
		} else {
			delete(old, name)
		}
	}
	return old, changed
}

// node is a node as it stands in the plan.
func (p *planner) node(id wire.CTID) (store.Node, bool) {
	if p.deleted[id] {
		return store.Node{}, false
	}
	if n, there := p.plan.Nodes[id]; there {
		return n, true
	}
	if n := p.nodes[id]; n != nil {
		return *n, true
	}
	return store.Node{}, false
}

func (p *planner) put(n store.Node, what, reason string) {
	switch was, there := p.node(n.CTID); {
	case !there: // numbers grow: it is the last one
		p.made[n.Env] = append(p.made[n.Env], n.CTID)
	case n.Gone && !was.Gone:
		p.board.Retire(place.Layer{Env: n.Env, Name: n.Layer}, n.Host)
	}
	p.plan.Nodes[n.CTID] = n
	p.step(what+" node "+n.CTID.String(), n.Env, n.Host, reason)
}

func (p *planner) step(what string, e wire.EnvName, h wire.HostID, reason string) {
	p.plan.Steps = append(p.plan.Steps, Step{what, e, h, reason})
}

// all goes through the nodes of the dirty environments by number, each as it stands in the plan when its turn comes. Nodes that the plan
// makes have no turn.
func (p *planner) all() iter.Seq[store.Node] { return p.each(p.order) }

// of goes through all nodes of one environment, those of the plan last.
func (p *planner) of(name wire.EnvName) iter.Seq[store.Node] {
	var ids []wire.CTID
	if e := p.envs[name]; e != nil {
		ids = e.nodes
	}
	if made := p.made[name]; len(made) > 0 {
		ids = slices.Concat(ids, made)
	}
	return p.each(ids)
}

func (p *planner) each(ids []wire.CTID) iter.Seq[store.Node] {
	return func(yield func(store.Node) bool) {
		for _, id := range ids {
			if n, there := p.node(id); there && !yield(n) {
				return
			}
		}
	}
}

// record is an environment's record; the zero one if there is none.
func (p *planner) record(name wire.EnvName) (store.Environment, bool) {
	if e := p.envs[name]; e != nil && e.record != nil {
		return *e.record, true
	}
	return store.Environment{}, false
}

// machine is a host's record, nil if there is none.
func (p *planner) machine(id wire.HostID) *store.Host {
	if m := p.hosts[id]; m != nil {
		return m.record
	}
	return nil
}

func (p *planner) hostName(id wire.HostID) string {
	if h := p.machine(id); h != nil {
		return h.Name
	}
	return ""
}

func (p *planner) spreading(name wire.EnvName) bool {
	e := p.envs[name]
	return e != nil && e.spreading
}

func (p *planner) reachable(id wire.HostID) bool {
	return p.status(id).State.State != operator.HostUnreachable
}

func layerOf(e store.Environment, name wire.LayerName) *operator.LayerSpec {
	for i := range e.Spec.Layers {
		if e.Spec.Layers[i].Name == name {
			return &e.Spec.Layers[i]
		}
	}
	return nil
}

// create places one node and gives it its number and addresses. Old is the node whose place it takes, nil: none; on is where it is to be,
// "": where there is the best place for it.
func (p *planner) create(n env.Node, old *store.Node, on wire.HostID) (store.Node, *place.Refusal) {
	want := wanted(n)
	if old != nil {
		want.For = old.Host
	}
	chosen, refusal := place.Choice{}, (*place.Refusal)(nil)
	if on == "" {
		chosen, refusal = p.board.Place(want)
	} else {
		chosen, refusal = p.board.PlaceOn(on, want)
	}
	if refusal != nil {
		p.watching[n.Env] = true
		return store.Node{}, refusal
	}
	v4, v6, at, free := p.address(p.machine(chosen.Host))
	if !free {
		p.watching[n.Env] = true
		return store.Node{}, &place.Refusal{None: blocks.Exhausted(p.cluster.Range4)}
	}
	c := n.Container
	c.CTID, c.Hostname, c.IPv4, c.IPv6 = p.number, env.Hostname(p.number), v4, v6
	made := store.Node{CTID: p.number, Env: n.Env, Layer: n.Layer, Index: n.Index, Host: chosen.Host, Placed: chosen.Why,
		Cloudlets: n.Cloudlets, HTTP: n.HTTP, Created: p.now, Container: c}
	if e := p.envs[n.Env]; e != nil && e.editing {
		if l := layerOf(*e.record, n.Layer); l != nil {
			made.Made = &store.Made{Spec: *l, At: p.now}
		}
	}
	p.plan.Cursors[chosen.Host], p.plan.At[p.number] = at, at
	p.number++
	return made, nil
}

// wanted is an expanded node as placing sees it.
func wanted(n env.Node) place.Node {
	return place.Node{Layer: place.Layer{Env: n.Env, Name: n.Layer}, Cloudlets: n.Cloudlets,
		DiskBytes: env.DiskOf(n.Container), Image: n.Container.Image.Digest, Place: n.Place}
}

// unevenAlarms are what people are told of environments that aren't spread.
func unevenAlarms(uneven map[wire.EnvName]string) (alarms []string) {
	names := slices.Sorted(maps.Keys(uneven))
	for i, name := range names {
		if i == maxUneven {
			more := "%d environments more have layers that aren't spread over hosts: see hnctl env list"
			return append(alarms, fmt.Sprintf(more, len(names)-i))
		}
		alarms = append(alarms, fmt.Sprintf("environment %s: %s (hnctl env spread %s)", name, uneven[name], name))
	}
	return alarms
}

// maxUneven is how many environments are named in alarms.
const maxUneven = 3
