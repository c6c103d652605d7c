package world

import (
	"slices"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/smart"
	"hardnode.dev/internal/wire/storage"
	"hardnode.dev/internal/wire/strain"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
)

// Tally is how many things there are, by their state, of those that an account sees.
type Tally struct {
	Environments, Nodes map[string]int // nodes that are going included
	Operations          map[string]int // those that are kept
	Hosts               map[HostKind]int
	Memory, MemoryUsed  int64 // bytes, of the hosts that answer
	// Connections are those that these hosts have open, MaxConnections is how many they have room for.
	Connections, MaxConnections int64
	Unwell                      int                 // of the hosts that answer: those whose disks are not whole
	Disks                       map[smart.State]int // of these hosts, by their own account
	Pressed                     Pressed             // of the containers of these hosts
	Worst                       Pressed             // percents: of the container that has most of each; Connections is not used
}

// Pressed is how many containers lack what (strain.Pressed).
type Pressed struct{ CPU, Memory, IO, Connections int }

// HostKind is what hosts are counted by.
type HostKind struct {
	State operator.HostState
	Role  string
}

// Tally counts. It costs the hosts and the operations that are kept, and, unless Counted is there, all environments and nodes.
func (w World) Tally() Tally {
	t := w.counts()
	t.Operations, t.Hosts, t.Disks = map[string]int{}, map[HostKind]int{}, map[smart.State]int{}
	for _, op := range store.Operations.Refs(w.View) {
		if w.seesIn(ofOperation(*op), op.Env) {
			t.Operations[string(op.State)]++
		}
	}
	if !w.sees(ofHosts) {
		return t
	}
	for id, h := range store.Hosts.Refs(w.View) {
		kind := HostKind{w.hostState(wire.HostID(id)).State, string(h.Role)}
		t.Hosts[kind]++
		if r := w.Live[wire.HostID(id)].Report; r != nil && kind.State.Answers() {
			t.Memory, t.MemoryUsed = t.Memory+r.Capacity.MemoryBytes, t.MemoryUsed+r.Load.MemoryUsed
			t.Connections, t.MaxConnections = t.Connections+r.Load.Connections, t.MaxConnections+r.Load.MaxConnections
			t.strain(r.Containers)
			for _, d := range r.Disks {
				t.Disks[d.State]++
			}
			if slices.ContainsFunc(r.Problems, func(p host.Problem) bool { return p.Object == storage.Object }) {
				t.Unwell++
			}
		}
	}
	return t
}

func (t *Tally) strain(list []host.ContainerStatus) {
	for _, c := range list {
		for _, p := range []struct {
			percent       int
			pressed, most *int
		}{{c.Strain.CPU, &t.Pressed.CPU, &t.Worst.CPU}, {c.Strain.Memory, &t.Pressed.Memory, &t.Worst.Memory},
			{c.Strain.IO, &t.Pressed.IO, &t.Worst.IO}} {
			if *p.most = max(*p.most, p.percent); p.percent >= strain.Pressed {
				*p.pressed++
			}
		}
		t.Pressed.Connections += c.Strain.Connections
	}
}

// EnvironmentStates is how many environments there are in each state.
func (w World) EnvironmentStates() map[string]int { return w.counts().Environments }

// HostStates is how many hosts there are in each state. It costs the hosts.
func (w World) HostStates() map[string]int {
	states := map[string]int{}
	if w.sees(ofHosts) {
		for id := range store.Hosts.Refs(w.View) {
			states[string(w.hostState(wire.HostID(id)).State)]++
		}
	}
	return states
}

// counts are the environments and nodes of a Tally.
func (w World) counts() Tally {
	if w.Counted != nil && w.within == nil {
		return w.Counted(w.account)
	}
	return w.count()
}

// count counts environments and nodes by looking at each.
func (w World) count() Tally {
	t := Tally{Environments: map[string]int{}, Nodes: map[string]int{}}
	for _, e := range store.Envs.Refs(w.View) {
		if w.seesIn(ofEnvironment(*e), e.Spec.Name) && !e.InTrash() {
			state, _ := env.State(w.Facts(*e))
			t.Environments[string(state)]++
		}
	}
	for _, n := range store.Nodes.Refs(w.View) {
		if w.seesIn(ofNode(*n), n.Env) {
			t.Nodes[w.NodeOf(*n).State]++
		}
	}
	return t
}

// Counts are the environments and nodes of a Tally of each account, kept from one moment to the next: what changes costs the environments
// it changes. It belongs to one caller at a time. The zero value knows nothing.
type Counts struct {
	follower
	each map[wire.EnvName][]counted
	sums map[wire.Account]map[counted]int // of is empty: what each account sees
}

// counted is a thing that counts: an environment or a node, whose it is, its state.
type counted struct {
	of    wire.Account
	node  bool
	state string
}

// Follow brings the counts up to v and to the hosts that moved since the Follow before; the first one needs all (live.Fleet.Since 0).
func (c *Counts) Follow(v *store.View, moves []live.Move) {
	if c.each == nil {
		c.each, c.sums = map[wire.EnvName][]counted{}, map[wire.Account]map[counted]int{}
	}
	found := c.follow(v, moves)
	w := c.world()
	for name := range found {
		for _, k := range c.each[name] {
			c.add(k, -1)
		}
		list := w.counted(name)
		if c.each[name] = list; len(list) == 0 {
			delete(c.each, name)
		}
		for _, k := range list {
			c.add(k, 1)
		}
	}
}

// counted is what counts of one environment: itself, if it is there, and the nodes that name it.
func (w World) counted(name wire.EnvName) (list []counted) {
	if e := store.Envs.Find(w.View, string(name)); e != nil && !e.InTrash() {
		state, _ := env.State(w.Facts(*e))
		list = append(list, counted{ofEnvironment(*e), false, string(state)})
	}
	for n := range store.NodesOf.Of(w.View, string(name)) {
		list = append(list, counted{ofNode(n), true, w.NodeOf(n).State})
	}
	return list
}

// add counts a thing, with 1, or no more, with -1, for its account and for who sees all.
func (c *Counts) add(k counted, by int) {
	seen := []wire.Account{k.of, Admin}
	if k.of == Admin {
		seen = seen[1:]
	}
	k.of = ""
	for _, account := range seen {
		sum := c.sums[account]
		if sum == nil {
			sum = map[counted]int{}
			c.sums[account] = sum
		}
		if sum[k] += by; sum[k] == 0 {
			delete(sum, k)
		}
		if len(sum) == 0 {
			delete(c.sums, account)
		}
	}
}

// Of are the counts of what an account sees. They are the caller's.
func (c *Counts) Of(account wire.Account) Tally {
	t := Tally{Environments: map[string]int{}, Nodes: map[string]int{}}
	for k, n := range c.sums[account] {
		if k.node {
			t.Nodes[k.state] = n
		} else {
			t.Environments[k.state] = n
		}
	}
	return t
}
