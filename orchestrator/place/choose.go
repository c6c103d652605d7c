package place

import (
	"cmp"
	"slices"
)

// choose is the slot of the best host, or -1 and the hosts' reasons.
func (b *Board) choose(n Node) (int, *Refusal) {
	if at := b.best(n); at >= 0 {
		return at, nil
	}
	return -1, b.refuse(n)
}

// best is the slot of the best host, or -1.
func (b *Board) best(n Node) int {
	if at := b.fresh(n); at >= 0 {
		return at
	}
	best := -1
	for _, at := range b.layers[n.Layer] { // every host that fits has some of the layer already
		s := b.slots[at]
		if s.listed && b.check(n, &s.Host) == passes && (best < 0 || better(n, s, b.slots[best])) {
			best = at
		}
	}
	return best
}

// fresh is the best host that has no node of the layer, or -1. It is the order of better, walked instead of compared.
func (b *Board) fresh(n Node) int {
	b.settle()
	best, bestBucket, bestImage := -1, int64(0), false
	takes := func(at int) bool {
		s := b.slots[at]
		return b.check(n, &s.Host) == passes && s.Layers[n.Layer] == 0
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
	ref := &Refusal{}
	users, small := 0, 0
	for _, at := range b.order {
		h := &b.slots[at].Host
		code := b.check(n, h)
		if code == notUser {
			continue // nobody expects a node there
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
	ref.TooBig = users > 0 && small == users
	return ref
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
