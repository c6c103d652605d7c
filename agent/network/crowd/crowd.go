// Package crowd bounds how many connections one container may have, and all together, so that none fills the kernel's table of them and
// there is room for the host's own.
//
// Owns: an nftables table of its own, which changes of other rules leave alone: with them it would forget what it has counted.
// In: the bounds; how the names of containers' links begin.
// Out: new connections of a container that has as many are dropped, those that it makes and those that come to it counted apart, and those
// of any when all together have as many; to which containers the first happened lately.
// Never: ends a connection, or counts those that are closed: the kernel forgets these itself when the table is full.
package crowd

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The bound of one is a part of the table, and at most so many: the kernel looks through those
// of a container, once in a tick of its clock at most, where a new one begins: beside 17,000 that took three times as long, emulated.
const (
	part        = 32
	least, most = 16384, 65536
)

// Limits are how many connections one container may have each way, and all of them together both ways.
type Limits struct{ One, All int }

// Of are the limits by the size of the kernel's table: an eighth of it stays the host's.
func Of(table uint64) Limits {
	return Limits{One: int(min(max(table/part, least), most)), All: int(table - table/8)}
}

// parts is into how many parts those of all are counted, each new one in any of them, by chance: the kernel looks through one part, of
// about perPart at most. That a few are dropped when the table is nearly that full is its price.
func (l Limits) parts() (n uint32) {
	for n = 1; int(n)*perPart < l.All; n *= 2 {
	}
	return n
}

const perPart = 4096

// table is the name of the one that has them in force.
func (l Limits) table() string { return fmt.Sprintf("%s%d_%d", prefix, l.One, l.All) }

// lately is how long a container is told of after a connection of it was dropped.
const lately = time.Minute

// prefix begins the table's name; the bounds end it.
const prefix = "hardnode_crowd_"

// Bound has the kernel hold containers to their limits. It changes nothing when it does already.
func Bound(l Limits, links string) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %v", err)
	}
	tables, err := c.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return fmt.Errorf("list nftables tables: %v", err)
	}
	name := l.table()
	for _, t := range tables {
		switch {
		case t.Name == name:
			return nil
		case strings.HasPrefix(t.Name, prefix):
			c.DelTable(t)
		}
	}
	t := c.AddTable(&nftables.Table{Name: name, Family: nftables.TableFamilyINet})
	accept := nftables.ChainPolicyAccept
	forward := c.AddChain(&nftables.Chain{Name: "forward", Table: t, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward,
		Priority: nftables.ChainPriorityRef(*nftables.ChainPriorityFilter + 10), Policy: &accept}) // after what is denied was dropped
	over := &nftables.Set{Table: t, Name: over, KeyType: nftables.TypeIFName, Dynamic: true, HasTimeout: true, Timeout: lately}
	if err := c.AddSet(over, nil); err != nil {
		return fmt.Errorf("bound the connections of containers: %v", err)
	}
	for _, way := range []struct {
		set string
		key expr.MetaKey
	}{{"from", expr.MetaKeyIIFNAME}, {"to", expr.MetaKeyOIFNAME}} {
		counted := &nftables.Set{Table: t, Name: way.set, KeyType: nftables.TypeIFName, Dynamic: true}
		if err := c.AddSet(counted, nil); err != nil {
			return fmt.Errorf("bound the connections of containers: %v", err)
		}
		link := &expr.Meta{Key: way.key, Register: unix.NFT_REG_1}
		c.AddRule(&nftables.Rule{Table: t, Chain: forward, Exprs: first(
			link, &expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: []byte(links)},
			more(counted, l.One),
			&expr.Dynset{SrcRegKey: unix.NFT_REG_1, SetID: over.ID, SetName: over.Name, Operation: unix.NFT_DYNSET_OP_UPDATE},
			&expr.Verdict{Kind: expr.VerdictDrop},
		)})
	}
	all := &nftables.Set{Table: t, Name: "all", KeyType: nftables.TypeInteger, Dynamic: true}
	if err := c.AddSet(all, nil); err != nil {
		return fmt.Errorf("bound the connections of containers: %v", err)
	}
	in := &expr.Meta{Key: expr.MetaKeyIIFNAME, Register: unix.NFT_REG_1}
	out := &expr.Meta{Key: expr.MetaKeyOIFNAME, Register: unix.NFT_REG_1}
	is := &expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: []byte(links)}
	no := &expr.Cmp{Op: expr.CmpOpNeq, Register: unix.NFT_REG_1, Data: []byte(links)}
	for _, of := range [][]expr.Any{{in, is}, {in, no, out, is}} { // one between two containers once
		c.AddRule(&nftables.Rule{Table: t, Chain: forward, Exprs: first(append(of,
			&expr.Meta{Key: expr.MetaKeyPRANDOM, Register: unix.NFT_REG_1},
			&expr.Bitwise{SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, Len: 4, Mask: word(l.parts() - 1), Xor: word(0)},
			more(all, l.All/int(l.parts())), &expr.Verdict{Kind: expr.VerdictDrop})...)})
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("bound the connections of containers: program nftables table %q: %v", name, err)
	}
	return nil
}

// first has a rule look at the first packet of a connection alone: what is looked at again would be counted again.
func first(then ...expr.Any) []expr.Any {
	return append([]expr.Any{
		&expr.Ct{Register: unix.NFT_REG_1, Key: expr.CtKeySTATUS},
		&expr.Bitwise{SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, Len: 4, Mask: word(confirmed), Xor: word(0)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: word(0)},
	}, then...)
}

// more goes on where more connections than limit are counted for the key in the register.
func more(counted *nftables.Set, limit int) expr.Any {
	return &expr.Dynset{SrcRegKey: unix.NFT_REG_1, SetID: counted.ID, SetName: counted.Name, Operation: unix.NFT_DYNSET_OP_ADD,
		Exprs: []expr.Any{&expr.Connlimit{Count: uint32(limit), Flags: expr.NFT_CONNLIMIT_F_INV}}}
}

// confirmed is IPS_CONFIRMED (linux/netfilter/nf_conntrack_common.h): the kernel has the connection in its table.
const confirmed = 1 << 3

func word(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

// over is the set of links to which it happened.
const over = "over"

// Over are the links of containers of which a new connection was dropped in the last minute.
func Over(l Limits) (links []string, err error) {
	c, err := nftables.New()
	if err != nil {
		return nil, fmt.Errorf("open nftables: %v", err)
	}
	list, err := c.GetSetElements(&nftables.Set{Name: over,
		Table: &nftables.Table{Name: l.table(), Family: nftables.TableFamilyINet}})
	if err != nil {
		return nil, fmt.Errorf("list containers that have too many connections: %v", err)
	}
	for _, e := range list {
		links = append(links, string(bytes.TrimRight(e.Key, "\x00")))
	}
	return links, nil
}
