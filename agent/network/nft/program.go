package nft

import (
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// chunk is how many elements go into one message: its attribute's length has 16 bits.
const chunk = 500

// room is how many bytes of a table, and of what the kernel answers, a socket has room for. A transaction is one message, and each chain,
// set and rule of it is answered at once: what sockets have else, 208 KiB, was too small for 2,000 nodes with two addresses each, and for
// 1,000 rules.
const room = 32 << 20

func roomy[S interface {
	SetReadBuffer(bytes int) error
	SetWriteBuffer(bytes int) error
}](socket S) error {
	return errors.Join(socket.SetReadBuffer(room), socket.SetWriteBuffer(room))
}

// Program replaces the table by r in one transaction: a packet sees the old rules or the new ones.
func Program(r *Ruleset) error {
	if err := r.Check(); err != nil {
		return err
	}
	c, err := nftables.New(nftables.WithSockOptions(roomy))
	if err != nil {
		return fmt.Errorf("open nftables: %v", err)
	}
	t := &nftables.Table{Name: Table, Family: nftables.TableFamilyINet}
	c.AddTable(t) // so that deleting it works on the first call too
	c.DelTable(t)
	c.AddTable(t)
	chains := make(map[string]*nftables.Chain, len(r.chains))
	for _, ch := range r.chains { // all chains first: maps and rules jump to them
		nc := &nftables.Chain{Table: t, Name: ch.name}
		if h, ok := hooks[ch.hook]; ok {
			policy := h.policy
			nc.Type, nc.Hooknum, nc.Priority, nc.Policy = h.kind, h.hook, h.prio, &policy
		}
		chains[ch.name] = c.AddChain(nc)
	}
	sets := make(map[string]*nftables.Set, len(r.sets))
	for _, s := range r.sets {
		ns := &nftables.Set{Table: t, Name: s.name, KeyType: s.key.datatype(s.name)}
		if s.data != nil {
			ns.IsMap, ns.DataType = true, s.data.datatype(s.name)
		}
		if err := c.AddSet(ns, nil); err != nil {
			return fmt.Errorf("make set %q: %v", s.name, err)
		}
		sets[s.name] = ns
		for rest := s.elements; len(rest) > 0; {
			n := min(chunk, len(rest))
			es := make([]nftables.SetElement, n)
			for i, e := range rest[:n] {
				es[i] = nftables.SetElement{Key: e.key, Val: e.val}
				if e.jump != "" {
					es[i].VerdictData = &expr.Verdict{Kind: expr.VerdictJump, Chain: e.jump}
				}
			}
			if err := c.SetAddElements(ns, es); err != nil {
				return fmt.Errorf("fill set %q: %v", s.name, err)
			}
			rest = rest[n:]
		}
	}
	for _, ch := range r.chains {
		for _, ru := range ch.rules {
			nr := &nftables.Rule{Table: t, Chain: chains[ch.name]}
			for _, o := range ru.ops {
				nr.Exprs = append(nr.Exprs, o.exprs(sets)...)
			}
			c.AddRule(nr)
		}
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("program nftables table %q: %v", Table, err)
	}
	return nil
}

// Programmed tells whether the table is there.
func Programmed() (bool, error) {
	c, err := nftables.New()
	if err != nil {
		return false, fmt.Errorf("open nftables: %v", err)
	}
	ts, err := c.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return false, errors.New("list nftables tables: " + err.Error())
	}
	for _, t := range ts {
		if t.Name == Table {
			return true, nil
		}
	}
	return false, nil
}
