package place

import (
	"cmp"
	"maps"
	"slices"
	"sort"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

// Board is the hosts with what is on them, in an order in which the best host for a node is found without looking at all of them. It is
// kept: what changes costs the hosts it changes on, and placing a node grows with the nodes of its layer and the kinds of host there are,
// not with the hosts. It belongs to one caller at a time. The zero value has no hosts.
//
// Hosts that can take nodes stand in classes by their usable memory, in each by their free memory, both in whole cloudlets, and there by
// name.
type Board struct {
	slots   []*slot             // a host keeps its index
	at      map[wire.HostID]int // index in slots
	order   []int               // the hosts there are, by name and id
	ranks   []int               // of each slot in order; lists are kept in this order without looking at names
	classes []*class            // by usable memory
	layers  map[Layer][]int     // the slots that have nodes of a layer
	zones   map[string]int      // how many user hosts are in each
	out     []int               // slots that changed and don't stand in their level yet
	version uint64
	more    struct { // addresses for hosts that have none left
		blocks, size int
		none         string
	}
	journal []move // nil: no trial is under way
	trial   struct {
		on      bool
		version uint64
	}
}

// slot is a host, or nodes on one that there is no record of.
type slot struct {
	Host
	listed  bool // there is such a host
	nodes   int  // counted by Add
	images  map[wire.Digest]int
	in      *level // where it stands; nil: nowhere
	class   *class
	waiting bool // in Board.out
}

type class struct {
	usable int64   // cloudlets
	levels []level // the hosts with so many free ones
	hosts  int
}

type level struct {
	all  []int // slots, by name and id
	with map[wire.Digest][]int
}

// move is what a trial did, to be undone.
type move struct {
	on     wire.HostID
	node   Node
	retire bool
	grew   bool // the host got a block for it
}

// NewBoard begins with hosts on which there may be something already.
func NewBoard(hosts []Host) *Board {
	b := &Board{}
	for _, h := range hosts {
		b.Set(h)
		s := b.slots[b.at[h.ID]]
		s.Reserved, s.DiskTaken = h.Reserved, h.DiskTaken
		for d, there := range h.Images {
			if there {
				s.images[d]++
			}
		}
		for l, n := range h.Layers {
			if n > 0 {
				s.Layers[l] = n
				b.layers[l] = append(b.layers[l], b.at[h.ID])
			}
		}
	}
	return b
}

// Version grows whenever something changed that a choice can depend on.
func (b *Board) Version() uint64 { return b.version }

// Set makes a host known, or known anew. Its Addresses are all it has; what is on it is counted by Add, whatever h says of that.
func (b *Board) Set(h Host) {
	at := b.slot(h.ID)
	s := b.slots[at]
	h.Addresses -= s.nodes
	h.Reserved, h.DiskTaken, h.Layers, h.Images = s.Reserved, s.DiskTaken, s.Layers, nil
	was := s.Closed != ""
	s.Closed = h.Closed // other words for it change no choice
	labels := maps.Equal(s.Labels, h.Labels)
	if s.listed && s.Name == h.Name && s.Role == h.Role && s.State == h.State && s.Cordon == h.Cordon && s.Unlicensed == h.Unlicensed &&
		s.Memory == h.Memory && s.Disk == h.Disk && s.Addresses == h.Addresses && s.Moves == h.Moves && was == (h.Closed != "") && labels {
		return
	}
	b.change(at)
	if s.listed && (s.Name != h.Name || s.zone() != zone(h.Labels) || s.Role != h.Role) {
		b.unlist(at)
	}
	s.Host = h
	if !s.listed {
		b.list(at)
	}
}

// Blocks says how many blocks of addresses there are for hosts that have no free one, how many addresses each has, and what is said of
// hosts that need one when there is none.
func (b *Board) Blocks(left, size int, none string) {
	was := b.more.blocks
	b.more.blocks, b.more.size, b.more.none = left, size, none
	b.turn(was)
}

// turn lets hosts without a free address in again when there is a block for them, and out when there is none any more.
func (b *Board) turn(was int) {
	if (was > 0) == (b.more.blocks > 0) {
		return
	}
	b.version++
	for _, at := range b.order {
		if b.slots[at].Addresses < 1 {
			b.change(at)
		}
	}
}

// grow gives a host a block, or takes back one.
func (b *Board) grow(at, by int) {
	b.slots[at].Addresses += by * b.more.size
	was := b.more.blocks
	b.more.blocks -= by
	b.turn(was)
}

// Drop forgets a host. What is on it stays counted, for when it comes back.
func (b *Board) Drop(id wire.HostID) {
	at, there := b.at[id]
	if !there || !b.slots[at].listed {
		return
	}
	b.change(at)
	b.unlist(at)
	b.slots[at].Labels = nil
}

// list and unlist put a host that stands in no level into the order, and out of it. The others keep their order.
func (b *Board) list(at int) {
	s := b.slots[at]
	i := sort.Search(len(b.order), func(i int) bool {
		o := b.slots[b.order[i]]
		return cmp.Or(strings.Compare(o.Name, s.Name), strings.Compare(string(o.ID), string(s.ID))) >= 0
	})
	b.order = slices.Insert(b.order, i, at)
	b.inZone(s, 1)
	s.listed = true
	b.rank(i)
}

func (b *Board) unlist(at int) {
	i := b.ranks[at]
	b.order = slices.Delete(b.order, i, i+1)
	b.inZone(b.slots[at], -1)
	b.slots[at].listed = false
	b.rank(i)
}

func (b *Board) rank(from int) {
	for i := from; i < len(b.order); i++ {
		b.ranks[b.order[i]] = i
	}
}

// Add counts a node on a host; one that is gone from its layer takes its room until it is removed.
func (b *Board) Add(on wire.HostID, n Node, gone bool) { b.count(on, n, gone, 1) }

// Remove takes back an Add of the same.
func (b *Board) Remove(on wire.HostID, n Node, gone bool) { b.count(on, n, gone, -1) }

func (b *Board) count(on wire.HostID, n Node, gone bool, by int) {
	at := b.slot(on)
	s := b.slots[at]
	b.change(at)
	s.nodes += by
	s.Addresses -= by
	s.Reserved += int64(by) * reserved(n)
	s.DiskTaken += int64(by) * n.DiskBytes
	if s.images[n.Image] += by; s.images[n.Image] <= 0 {
		delete(s.images, n.Image)
	}
	if !gone {
		b.layer(at, n.Layer, by)
	}
}

func (b *Board) layer(at int, l Layer, by int) {
	s := b.slots[at]
	was := s.Layers[l]
	switch now := was + by; {
	case now <= 0:
		delete(s.Layers, l)
		if b.layers[l] = slices.DeleteFunc(b.layers[l], func(r int) bool { return r == at }); len(b.layers[l]) == 0 {
			delete(b.layers, l)
		}
	default:
		if s.Layers[l] = now; was == 0 {
			b.layers[l] = append(b.layers[l], at)
		}
	}
}

// Place chooses a host for a node and counts the node there; or says of the hosts why they can't take it.
func (b *Board) Place(n Node) (Choice, *Refusal) {
	at, refusal := b.choose(n)
	if at < 0 {
		return Choice{}, refusal
	}
	return b.put(at, n), nil
}

// PlaceOn is Place on one host, or why that can't take it.
func (b *Board) PlaceOn(id wire.HostID, n Node) (Choice, *Refusal) {
	if _, why := b.On(id, n); why != "" {
		return Choice{}, &Refusal{Hosts: []Reason{{Host: string(id), Why: why}}}
	}
	return b.put(b.at[id], n), nil
}

func (b *Board) put(at int, n Node) Choice {
	s := b.slots[at]
	c := Choice{s.ID, b.why(n, s)}
	grows := s.Addresses < 1
	if grows {
		b.grow(at, 1)
	}
	b.Add(s.ID, n, false)
	if b.trial.on {
		b.journal = append(b.journal, move{on: s.ID, node: n, grew: grows})
	}
	return c
}

// On says why a host can't take a node, "" if it can; why is what is said of it then.
func (b *Board) On(id wire.HostID, n Node) (why, refusal string) {
	at, ok := b.at[id]
	if !ok || !b.slots[at].listed {
		return "", "is not known"
	}
	s := b.slots[at]
	if f := b.check(n, &s.Host); f != passes {
		return "", reason(f, n, &s.Host)
	}
	return b.why(n, s), ""
}

// Fits tells whether a host would take a node.
func (b *Board) Fits(n Node) bool { return b.best(n) >= 0 }

// Retire takes a node out of its layer: its memory, disk and address stay taken until it has really gone.
func (b *Board) Retire(l Layer, on wire.HostID) {
	at, ok := b.at[on]
	if !ok || b.slots[at].Layers[l] == 0 {
		return
	}
	b.version++
	b.layer(at, l, -1)
	if b.trial.on {
		b.journal = append(b.journal, move{on: on, node: Node{Layer: l}, retire: true})
	}
}

// Try begins a trial: Undo takes back every Place and Retire since. Nothing else may change the board meanwhile.
func (b *Board) Try() {
	b.trial.on, b.trial.version, b.journal = true, b.version, b.journal[:0]
}

// Undo ends a trial, and tells whether there was anything to take back.
func (b *Board) Undo() bool {
	for _, m := range slices.Backward(b.journal) {
		if m.retire {
			b.layer(b.at[m.on], m.node.Layer, 1)
		} else {
			b.Remove(m.on, m.node, false)
		}
		if m.grew {
			b.grow(b.at[m.on], -1)
		}
	}
	moved := len(b.journal) > 0
	b.trial.on, b.journal = false, b.journal[:0]
	b.version = b.trial.version
	return moved
}

// slot is the index of a host's slot, made if need be.
func (b *Board) slot(id wire.HostID) int {
	if at, there := b.at[id]; there {
		return at
	}
	if b.at == nil {
		b.at, b.layers = map[wire.HostID]int{}, map[Layer][]int{}
	}
	at := len(b.slots)
	b.at[id] = at
	b.ranks = append(b.ranks, -1)
	b.slots = append(b.slots, &slot{Host: Host{ID: id, Layers: map[Layer]int{}}, images: map[wire.Digest]int{}})
	return at
}

// change takes a slot out of its level; it stands in its new one before the next choice.
func (b *Board) change(at int) {
	b.version++
	s := b.slots[at]
	if l := s.in; l != nil {
		l.all = b.remove(l.all, at)
		for d := range s.images {
			if l.with[d] = b.remove(l.with[d], at); len(l.with[d]) == 0 {
				delete(l.with, d)
			}
		}
		s.class.hosts--
		s.in, s.class = nil, nil
	}
	if !s.waiting {
		s.waiting = true
		b.out = append(b.out, at)
	}
}

// settle puts what changed into its level.
func (b *Board) settle() {
	if len(b.out) == 0 {
		return
	}
	for _, at := range b.out {
		s := b.slots[at]
		s.waiting = false
		if !s.listed || !b.open(&s.Host) {
			continue
		}
		u := s.size()
		i, found := slices.BinarySearchFunc(b.classes, u, func(c *class, u int64) int { return cmp.Compare(c.usable, u) })
		if !found {
			b.classes = slices.Insert(b.classes, i, &class{usable: u, levels: make([]level, u+1)})
		}
		s.class = b.classes[i]
		s.class.hosts++
		l := &s.class.levels[s.free()]
		s.in = l
		l.all = b.insert(l.all, at)
		if l.with == nil && len(s.images) > 0 {
			l.with = map[wire.Digest][]int{}
		}
		for d := range s.images {
			l.with[d] = b.insert(l.with[d], at)
		}
	}
	b.out = b.out[:0]
	b.classes = slices.DeleteFunc(b.classes, func(c *class) bool { return c.hosts == 0 })
}

// open tells whether a host can take nodes at all, before any is looked at.
func (b *Board) open(h *Host) bool {
	return h.Role == host.RoleUser && h.State == operator.HostActive && h.Cordon == "" && h.Unlicensed == "" && h.Closed == "" &&
		(h.Addresses > 0 || b.more.blocks > 0) && h.usable() >= 0 && h.Reserved >= 0 && h.Reserved <= h.usable()
}

// check is the first filter that a host does not pass.
func (b *Board) check(n Node, h *Host) filter {
	f := check(n, h)
	if f == noAddress && b.more.blocks > 0 {
		return passes
	}
	return f
}

// mostCloudlets is the most of a host's memory that is told apart: what a host says of itself does not make the board grow without end.
const mostCloudlets = 1 << 16

// size and free are a host's usable memory and what of it is not reserved, in whole cloudlets.
func (h *Host) size() int64 { return min(h.usable()/wire.CloudletBytes, mostCloudlets) }
func (h *Host) free() int64 { return min((h.usable()-h.Reserved)/wire.CloudletBytes, h.size()) }

// compare orders hosts by name and id.
func (b *Board) compare(x, y int) int { return b.ranks[x] - b.ranks[y] }

func (b *Board) find(list []int, at int) int {
	rank := b.ranks[at]
	return sort.Search(len(list), func(i int) bool { return b.ranks[list[i]] >= rank })
}

func (b *Board) insert(list []int, at int) []int { return slices.Insert(list, b.find(list, at), at) }

func (b *Board) remove(list []int, at int) []int {
	i := b.find(list, at)
	return slices.Delete(list, i, i+1)
}
