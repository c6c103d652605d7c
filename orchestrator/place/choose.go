package place

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

// choose is the slot of the best host, or -1 and the hosts' reasons.
func (b *Board) choose(n Node) (int, *Refusal) {
	if at := b.best(n); at >= 0 {
		return at, nil
	}
	return -1, b.refuse(n)
}

// best is the slot of the best host, or -1: of the zones that have the fewest nodes of its layer, and then of others.
func (b *Board) best(n Node) int {
	in := b.census(n)
	for _, few := range b.counts(in) {
		if at := b.bestIn(n, in, func(s *slot) bool { return in[s.zone()] == few }); at >= 0 {
			return at
		}
	}
	return -1
}

// bestIn is best of those zones alone that have as many nodes of the layer as all that within lets pass.
func (b *Board) bestIn(n Node, in census, within func(*slot) bool) int {
	if at := b.fresh(n, within); at >= 0 {
		return at
	}
	best := -1
	for _, at := range b.layers[n.Layer] { // every host that fits has some of the layer already
		s := b.slots[at]
		if s.listed && within(s) && b.check(n, &s.Host) == passes && (best < 0 || better(n, in, s, b.slots[best])) {
			best = at
		}
	}
	return best
}

// fresh is the best host of some zones that has no node of the layer, or -1. It is the order of better, walked instead of compared.
func (b *Board) fresh(n Node, within func(*slot) bool) int {
	b.settle()
	best, bestBucket, bestImage := -1, int64(0), false
	takes := func(at int) bool {
		s := b.slots[at]
		return within(s) && b.check(n, &s.Host) == passes && s.Layers[n.Layer] == 0
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
			if at >= 0 && (best < 0 || cmp.Or(cmp.Compare(bucket, bestBucket), -compareBool(image, bestImage), b.compare(at, best)) < 0) {
				best, bestBucket, bestImage = at, bucket, image
			}
		}
	}
	return best
}

// mostReasons is how many hosts a refusal names: what it says of a large cluster is for a person too.
const mostReasons = 20

// refuse says of the hosts why the node can't go there.
func (b *Board) refuse(n Node) *Refusal {
	ref := &Refusal{Lacks: b.Lacks(n.Place)}
	users, small, without := 0, 0, 0
	for _, at := range b.order {
		h := &b.slots[at].Host
		code := b.check(n, h)
		if code == notUser {
			continue // nobody expects a node there
		}
		if code == unlabelled {
			without++
			continue // however large it is
		}
		users++
		if n.needs() > h.usable() {
			small++
		}
		ref.Largest = max(ref.Largest, h.usable())
		if code == noAddress {
			ref.None = b.more.none
		}
		if len(ref.Hosts) == mostReasons {
			ref.More++
			continue
		}
		ref.Hosts = append(ref.Hosts, Reason{h.Name, reason(code, n, h), code})
	}
	switch {
	case without == 1:
		ref.Without = "1 host does not have " + n.Place.String()
	case without > 1:
		ref.Without = fmt.Sprintf("%d hosts do not have %s", without, n.Place)
	}
	ref.TooBig = users > 0 && small == users
	return ref
}

// Lacks is what no user host has of what is asked of one, "" if some host has all of it. Where each thing is had by some, but all by none,
// it is all of them.
func (b *Board) Lacks(p *operator.PlaceSpec) string {
	if p == nil {
		return ""
	}
	none := p.Lacks(nil) // what a host lacks that has no labels
	for _, at := range b.order {
		h := &b.slots[at].Host
		if h.Role != host.RoleUser {
			continue
		}
		lacks := p.Lacks(h.Labels)
		if len(lacks) == 0 {
			return ""
		}
		none = slices.DeleteFunc(none, func(s string) bool { return !slices.Contains(lacks, s) })
	}
	if len(none) == 0 {
		return p.String() + " together"
	}
	return strings.Join(none, ", nor ")
}

// room is how many hosts have the memory for the node.
func (b *Board) room(n Node) (hosts int) {
	b.settle()
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
