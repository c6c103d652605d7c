package converge

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/blocks"
	"hardnode.dev/orchestrator/converge/moving"
	"hardnode.dev/orchestrator/entitle"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/place"
	"hardnode.dev/orchestrator/store"
)

// Index is what decisions read, in memory, and what of it is dirty: has changed since it was looked at. Whatever changes is told to it by
// one of the set functions, each of which says what has to be looked at again because of that; all costs are those of the change. It
// belongs to one caller at a time.
//
// An environment is dirty when its record, one of its nodes, a template it names or the operation env.spread at work on it changed, when
// the record, state or loss of a host it has nodes on changed, and, if one of its nodes waits for what hosts say of containers (because it
// is gone, or takes another's place), when they say something else or have another Work. One that asked where a node would have room, and
// did not make it (it is stuck, or not spread), is dirty when there is another answer: its board changed, by a host, the licence or other
// nodes.
type Index struct {
	cluster   store.Cluster
	gossip    store.GossipKey
	netboot   *store.Netboot              // nil: it is switched off
	answers   bool                        // for the cluster's domain in the DNS
	versions  map[string]*store.Component // by the component's name: those that were ever replaced
	peers     host.Peers                  // as stored
	published wire.Revision               // of Peers and names together
	next      wire.CTID
	clocks    live.Clocks
	license   entitle.License
	templates env.Templates

	envs    map[wire.EnvName]*environment
	nodes   map[wire.CTID]*store.Node
	hosts   map[wire.HostID]*machine
	holders map[wire.OperationID]wire.EnvName // by an environment's last operation
	naming  map[string]map[wire.EnvName]int   // environments by the templates they name, without tag; how often
	used    map[netip.Addr]int                // container addresses
	ledger  blocks.Ledger
	moved   map[wire.CTID]bool            // nodes that move, or have moved
	formers map[wire.CTID]time.Time       // until when the last redeploy of nodes can be undone
	held    map[wire.CTID]moving.Requests // of nodes that wait for the resolvers to hold what comes for them
	block   int                           // how many blocks were given
	board   place.Board
	drains  map[wire.HostID]bool  // the hosts that are drained
	rolling map[wire.EnvName]bool // an edit of them is at work, or being undone

	dirty struct {
		envs  map[wire.EnvName]bool
		hosts map[wire.HostID]bool // their Works
		peers bool
		count bool // the hosts the licence covers
		storm bool
	}
	kept struct {
		watching  map[wire.EnvName]bool // asked the board and made nothing
		board     uint64                // its version then
		storm     bool
		stormy    string // the alarm
		stuck     map[wire.EnvName]string
		uneven    map[wire.EnvName]string
		alarms    []string // of uneven
		uncovered map[wire.HostID]string
	}
}

// environment is one with all that is known of it; its record is nil when only nodes or names of it are left.
type environment struct {
	record *store.Environment
	nodes  []wire.CTID // ascending
	names  *store.Names
	working
	waits int // nodes that are gone, take another's place, or move
}

// working is the operation at work on an environment, as far as it counts here.
type working struct {
	spreading bool // it is an env.spread
	editing   bool // it is an env.edit that may still be undone
	stopping  bool // it is an env.stop, or an env.trash
}

// machine is a host with all that is known of it; its record is nil when it was removed.
type machine struct {
	record *store.Host
	nodes  []wire.CTID // ascending
	work   *host.Work
	cursor int
	cordon *store.Cordon // nil: it takes new nodes
	status live.Status
}

// NewIndex knows nothing.
func NewIndex(clocks live.Clocks) *Index {
	x := &Index{clocks: clocks, templates: env.Templates{}, envs: map[wire.EnvName]*environment{}, nodes: map[wire.CTID]*store.Node{},
		hosts: map[wire.HostID]*machine{}, versions: map[string]*store.Component{},
		holders: map[wire.OperationID]wire.EnvName{}, naming: map[string]map[wire.EnvName]int{},
		used: map[netip.Addr]int{}, drains: map[wire.HostID]bool{}, rolling: map[wire.EnvName]bool{}, moved: map[wire.CTID]bool{},
		held: map[wire.CTID]moving.Requests{}, formers: map[wire.CTID]time.Time{}}
	x.dirty.envs, x.dirty.hosts = map[wire.EnvName]bool{}, map[wire.HostID]bool{}
	x.dirty.peers, x.dirty.count, x.dirty.storm = true, true, true
	x.kept.watching, x.kept.stuck, x.kept.uneven = map[wire.EnvName]bool{}, map[wire.EnvName]string{}, map[wire.EnvName]string{}
	return x
}

// Dirty is how many environments and hosts the next plan looks at, those that watch the board aside.
func (x *Index) Dirty() int { return len(x.dirty.envs) + len(x.dirty.hosts) }

// Looked says that the last plan was carried out: nothing is dirty any more but for what is told from now on.
func (x *Index) Looked() {
	for name := range x.dirty.envs {
		if e := x.envs[name]; e != nil && e.record == nil && e.names == nil && len(e.nodes) == 0 {
			delete(x.envs, name)
		}
	}
	for id := range x.dirty.hosts {
		if m := x.hosts[id]; m != nil && m.record == nil && m.work == nil && m.cordon == nil && len(m.nodes) == 0 &&
			m.status == (live.Status{}) {
			delete(x.hosts, id)
		}
	}
	clear(x.dirty.envs)
	clear(x.dirty.hosts)
	x.dirty.peers = false
}

func (x *Index) env(name wire.EnvName) *environment {
	e := x.envs[name]
	if e == nil {
		e = &environment{}
		x.envs[name] = e
	}
	return e
}

func (x *Index) host(id wire.HostID) *machine {
	m := x.hosts[id]
	if m == nil {
		m = &machine{}
		x.hosts[id] = m
	}
	return m
}

// status is what is known of a host; the zero Status of one that is none.
func (x *Index) status(id wire.HostID) live.Status {
	if m := x.hosts[id]; m != nil && m.record != nil {
		return m.status
	}
	return live.Status{}
}

// on makes the environments with nodes on a host dirty; waiting: only those that wait for what it says of containers.
func (x *Index) on(m *machine, waiting bool) {
	for _, id := range m.nodes {
		name := x.nodes[id].Env
		if e := x.envs[name]; !waiting || e.waits > 0 || e.spreading {
			x.dirty.envs[name] = true
		}
	}
}

// recount finds out which hosts the licence covers, whether so many are gone that nothing is replaced, and which blocks are left.
func (x *Index) recount() {
	x.pool()
	if x.dirty.count {
		x.dirty.count = false
		was := x.kept.uncovered
		x.kept.uncovered = Uncovered(x.records(), x.license)
		for id, m := range x.hosts {
			if m.record != nil && was[id] != x.kept.uncovered[id] {
				x.place(id, m)
			}
		}
	}
	if !x.dirty.storm {
		return
	}
	x.dirty.storm = false
	var states []live.State
	for _, m := range x.hosts {
		if m.record != nil {
			states = append(states, m.status.State)
		}
	}
	was := x.kept.storm
	if x.kept.storm, x.kept.stormy = live.Storm(states); x.kept.storm != was {
		for id := range x.hosts {
			if x.status(id).State.State == operator.HostUnreachable {
				x.on(x.hosts[id], false)
			}
		}
	}
}

// records are the hosts by id.
func (x *Index) records() []store.Host {
	out := make([]store.Host, 0, len(x.hosts))
	for _, m := range x.hosts {
		if m.record != nil {
			out = append(out, *m.record)
		}
	}
	slices.SortFunc(out, func(a, b store.Host) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// watchers makes all dirty that watch the board, and tells whether one was not.
func (x *Index) watchers() bool {
	before := len(x.dirty.envs)
	maps.Copy(x.dirty.envs, x.kept.watching)
	return len(x.dirty.envs) > before
}
