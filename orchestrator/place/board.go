package place

import (
	"cmp"
	"maps"
	"slices"
	"sort"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

// Board is the hosts with what is on them, in an order in which the best host for a node is found without looking at all of them. Making one
// costs the hosts once; placing a node then grows with the nodes of its layer and the kinds of host there are, not with the hosts.
//
// Hosts that can take nodes stand in classes by their usable memory, in each by their free memory, both in whole cloudlets, and there by name.
type Board struct {
	hosts   []Host // by name and id: a host's rank is its index
	ranks   map[wire.HostID]int
	classes []*class // by usable memory
	layers  map[Layer][]int
}

type class struct {
	usable int64   // cloudlets
	levels []level // the hosts with so many free ones
}

type level struct {
	all  []int // ranks, ascending
	with map[wire.Digest][]int
}

// NewBoard takes a copy of the hosts.
func NewBoard(hosts []Host) *Board {
	b := &Board{hosts: slices.Clone(hosts), ranks: make(map[wire.HostID]int, len(hosts)), layers: map[Layer][]int{}}
	slices.SortFunc(b.hosts, func(a, c Host) int { return cmp.Or(cmp.Compare(a.Name, c.Name), cmp.Compare(a.ID, c.ID)) })
	for i := range b.hosts {
		h := &b.hosts[i]
		h.Layers, h.Images = maps.Clone(h.Layers), maps.Clone(h.Images)
		if h.Layers == nil {
			h.Layers = map[Layer]int{}
		}
		if h.Images == nil {
			h.Images = map[wire.Digest]bool{}
		}
		b.ranks[h.ID] = i
		for l, n := range h.Layers {
			if n > 0 {
				b.layers[l] = append(b.layers[l], i)
			}
		}
		b.enter(i)
	}
	return b
}

// Place chooses a host for a node and counts the node there; or says of every host why it can't.
func (b *Board) Place(n Node) (Choice, *Refusal) {
	at, refusal := b.choose(n)
	if at < 0 {
		return Choice{}, refusal
	}
	h := &b.hosts[at]
	c := Choice{h.ID, b.why(n, *h)}
	b.leave(at)
	h.Reserved += reserved(n)
	h.DiskTaken += n.DiskBytes
	h.Addresses--
	h.Images[n.Image] = true
	if h.Layers[n.Layer]++; h.Layers[n.Layer] == 1 {
		b.layers[n.Layer] = append(b.layers[n.Layer], at)
	}
	b.enter(at)
	return c, nil
}

// Empty is the host that a node would get among those that have none of its layer; false if no such host fits.
func (b *Board) Empty(n Node) (wire.HostID, bool) {
	at := b.fresh(n)
	if at < 0 {
		return "", false
	}
	return b.hosts[at].ID, true
}

// Retire takes a node out of its layer: its memory, disk and address stay taken until it has really gone.
func (b *Board) Retire(l Layer, on wire.HostID) {
	at, ok := b.ranks[on]
	if !ok || b.hosts[at].Layers[l] == 0 {
		return
	}
	if b.hosts[at].Layers[l]--; b.hosts[at].Layers[l] == 0 {
		delete(b.hosts[at].Layers, l)
		b.layers[l] = slices.DeleteFunc(b.layers[l], func(r int) bool { return r == at })
	}
}

// open tells whether a host can take nodes at all, before any is looked at.
func open(h Host) bool {
	return h.Role == host.RoleUser && h.State == operator.HostActive && h.Unlicensed == "" && h.Addresses > 0 && h.usable() >= 0 && h.Reserved >= 0 && h.Reserved <= h.usable()
}

// mostCloudlets is the most of a host's memory that is told apart: what a host says of itself does not make the board grow without end.
const mostCloudlets = 1 << 16

// size and free are a host's usable memory and what of it is not reserved, in whole cloudlets.
func (h Host) size() int64 { return min(h.usable()/wire.CloudletBytes, mostCloudlets) }
func (h Host) free() int64 { return min((h.usable()-h.Reserved)/wire.CloudletBytes, h.size()) }

// level is where a host stands; nil if it takes none.
func (b *Board) level(h Host) *level {
	if !open(h) {
		return nil
	}
	u := h.size()
	i, found := slices.BinarySearchFunc(b.classes, u, func(c *class, u int64) int { return cmp.Compare(c.usable, u) })
	if !found {
		b.classes = slices.Insert(b.classes, i, &class{u, make([]level, u+1)})
	}
	return &b.classes[i].levels[h.free()]
}

func (b *Board) enter(at int) {
	h := b.hosts[at]
	l := b.level(h)
	if l == nil {
		return
	}
	l.all = insert(l.all, at)
	if l.with == nil && len(h.Images) > 0 {
		l.with = map[wire.Digest][]int{}
	}
	for d := range h.Images {
		l.with[d] = insert(l.with[d], at)
	}
}

func (b *Board) leave(at int) {
	h := b.hosts[at]
	l := b.level(h)
	if l == nil {
		return
	}
	l.all = remove(l.all, at)
	for d := range h.Images {
		if l.with[d] = remove(l.with[d], at); len(l.with[d]) == 0 {
			delete(l.with, d)
		}
	}
}

func insert(list []int, n int) []int { return slices.Insert(list, sort.SearchInts(list, n), n) }

func remove(list []int, n int) []int {
	i := sort.SearchInts(list, n)
	return slices.Delete(list, i, i+1)
}

// choose is the rank of the best host, or -1 and every host's reason.
func (b *Board) choose(n Node) (int, *Refusal) {
	if at := b.fresh(n); at >= 0 {
		return at, nil
	}
	best := -1
	for _, at := range b.layers[n.Layer] { // every host that fits has some of the layer already
		if code, _ := check(n, b.hosts[at]); code == passes && (best < 0 || better(n, b.hosts[at], b.hosts[best])) {
			best = at
		}
	}
	if best >= 0 {
		return best, nil
	}
	return -1, b.refuse(n)
}

// fresh is the best host that has no node of the layer, or -1. It is the order of better, walked instead of compared.
func (b *Board) fresh(n Node) int {
	best, bestBucket, bestImage := -1, int64(0), false
	takes := func(at int) bool {
		h := b.hosts[at]
		code, _ := check(n, h)
		return code == passes && h.Layers[n.Layer] == 0
	}
	for _, c := range b.classes {
		if min(int64(n.Cloudlets.Dynamic), mostCloudlets) > c.usable {
			continue
		}
		for free := int64(n.Cloudlets.Reserved); free <= c.usable; free++ {
			l := &c.levels[free]
			if len(l.all) == 0 {
				continue
			}
			bucket := tenths(free-int64(n.Cloudlets.Reserved), c.usable)
			if best >= 0 && bucket > bestBucket {
				break
			}
			at, image := -1, true
			if i := slices.IndexFunc(l.with[n.Image], takes); i >= 0 {
				at = l.with[n.Image][i]
			} else if best < 0 || bucket < bestBucket || !bestImage {
				image = false
				if i := slices.IndexFunc(l.all, takes); i >= 0 {
					at = l.all[i]
				}
			}
			if at >= 0 && (best < 0 || cmp.Or(cmp.Compare(bucket, bestBucket), -compareBool(image, bestImage), cmp.Compare(at, best)) < 0) {
				best, bestBucket, bestImage = at, bucket, image
			}
		}
	}
	return best
}

// refuse says of every host why the node can't go there.
func (b *Board) refuse(n Node) *Refusal {
	ref := &Refusal{}
	users, small := 0, 0
	for _, h := range b.hosts {
		code, reason := check(n, h)
		if code == notUser {
			continue // nobody expects a node there
		}
		users++
		if n.needs() > h.usable() {
			small++
		}
		ref.Largest = max(ref.Largest, h.usable())
		ref.Hosts = append(ref.Hosts, Reason{h.Name, reason, code})
	}
	ref.TooBig = users > 0 && small == users
	return ref
}

// room is how many hosts have the memory for the node.
func (b *Board) room(n Node) (hosts int) {
	for _, c := range b.classes {
		if int64(n.Cloudlets.Dynamic) > c.usable {
			continue
		}
		for free := int64(n.Cloudlets.Reserved); free <= c.usable; free++ {
			hosts += len(c.levels[free].all)
		}
	}
	return hosts
}
