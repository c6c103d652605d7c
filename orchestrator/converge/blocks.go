package converge

import (
	"fmt"
	"net/netip"
	"slices"

	"hardnode.dev/orchestrator/blocks"
	"hardnode.dev/orchestrator/store"
)

// address is the next free address of the host's blocks after the last one given out, so that a freed one rests as long as it can; at is
// its place. When all are used the host gets a further block. Not free: there is none, though placing counts them.
func (p *planner) address(h *store.Host) (v4, v6 netip.Addr, at int, free bool) {
	own := slices.Concat([]netip.Prefix{h.Block4}, h.More, p.plan.More[h.ID])
	at, there := p.plan.Cursors[h.ID]
	if !there {
		at = p.hosts[h.ID].cursor
	}
	for range len(own) * blocks.Addresses {
		at = blocks.Next(at, len(own))
		if v4, v6 = blocks.At(own, h.Block6, at); p.used[v4] == 0 && !p.given[v4] {
			p.given[v4] = true
			return v4, v6, at, true
		}
	}
	n, block, next, ok := p.ledger.Give(p.block, p.blocks)
	if !ok {
		return v4, v6, at, false
	}
	p.step("give block "+block.String(), "", h.ID, fmt.Sprintf("its %d addresses are used; block number %d", len(own)*blocks.Addresses, n))
	p.block, p.blocks[block] = next, true
	p.plan.More[h.ID] = append(p.plan.More[h.ID], block)
	at = blocks.First(len(own))
	v4, v6 = blocks.At(append(own, block), h.Block6, at)
	p.given[v4] = true
	return v4, v6, at, true
}

// further are a host's blocks beside the first as the plan has them.
func (p *planner) further(h store.Host) []netip.Prefix {
	return slices.Concat(h.More, p.plan.More[h.ID])
}

// pool tells the board of the blocks that are left.
func (x *Index) pool() {
	x.ledger.Within(x.cluster.Range4)
	x.board.Blocks(x.ledger.Free(), blocks.Addresses, blocks.Exhausted(x.cluster.Range4))
}

// uses counts the blocks of a host's record as used, or takes that back; nil has none.
func (x *Index) uses(h *store.Host, by int) {
	if h == nil {
		return
	}
	x.ledger.Use(h.Block4, by)
	for _, b := range h.More {
		x.ledger.Use(b, by)
	}
}
