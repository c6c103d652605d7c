package nft

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Registers: reg1 is the first 16-byte register; word(n) is the n-th of the 32-bit registers it begins with (kernel, nf_tables.h).
const reg1 = unix.NFT_REG_1

func word(n uint32) uint32 { return unix.NFT_REG32_00 + n }

// Protocol numbers and conntrack states, as the kernel has them.
const (
	ICMP   = byte(unix.IPPROTO_ICMP)
	TCP    = byte(unix.IPPROTO_TCP)
	UDP    = byte(unix.IPPROTO_UDP)
	ICMPv6 = byte(unix.IPPROTO_ICMPV6)

	Invalid     = expr.CtStateBitINVALID
	Established = expr.CtStateBitESTABLISHED
	Related     = expr.CtStateBitRELATED
	Untracked   = expr.CtStateBitUNTRACKED

	statusDNAT = 1 << 5 // IPS_DST_NAT
)

func fixed(text string, es ...expr.Any) Op {
	return Op{text, func(map[string]*nftables.Set) []expr.Any { return es }}
}

func verdict(text string, v *expr.Verdict) Op { return fixed(text, v) }

// What becomes of a packet.
var (
	Accept     = verdict("accept", &expr.Verdict{Kind: expr.VerdictAccept})
	Drop       = verdict("drop", &expr.Verdict{Kind: expr.VerdictDrop})
	Return     = verdict("return", &expr.Verdict{Kind: expr.VerdictReturn})
	Masquerade = fixed("masquerade", &expr.Masq{})
)

// Jump goes on in another chain, and comes back from it.
func Jump(to string) Op {
	return verdict("jump "+to, &expr.Verdict{Kind: expr.VerdictJump, Chain: to})
}

func word32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

func masked(text string, key expr.CtKey, mask uint32) Op {
	return fixed(text,
		&expr.Ct{Register: reg1, Key: key},
		&expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: 4, Mask: word32(mask), Xor: word32(0)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: word32(0)})
}

// CtState matches packets of connections in one of these states.
func CtState(bits uint32) Op {
	text := "ct state "
	switch bits {
	case Invalid:
		text += "invalid"
	case Established:
		text += "established"
	case Related:
		text += "related"
	case Established | Related:
		text += "established,related"
	case Untracked:
		text += "untracked"
	default:
		panic(fmt.Sprintf("BUG: conntrack state %d", bits))
	}
	return masked(text, expr.CtKeySTATE, bits)
}

// CtDNAT matches packets of connections whose destination was changed.
var CtDNAT = masked("ct status dnat", expr.CtKeySTATUS, statusDNAT)

func linkIs(text string, key expr.MetaKey, cmp expr.CmpOp, name []byte) Op {
	return fixed(text, &expr.Meta{Key: key, Register: reg1}, &expr.Cmp{Op: cmp, Register: reg1, Data: name})
}

// IifIs and those after it match links by their name, or by how it begins.
func IifIs(n string) Op {
	return linkIs(`iifname "`+n+`"`, expr.MetaKeyIIFNAME, expr.CmpOpEq, linkName(n))
}
func IifIsNot(n string) Op {
	return linkIs(`iifname != "`+n+`"`, expr.MetaKeyIIFNAME, expr.CmpOpNeq, linkName(n))
}
func IifHas(p string) Op {
	return linkIs(`iifname "`+p+`*"`, expr.MetaKeyIIFNAME, expr.CmpOpEq, []byte(p))
}
func IifHasNot(p string) Op {
	return linkIs(`iifname != "`+p+`*"`, expr.MetaKeyIIFNAME, expr.CmpOpNeq, []byte(p))
}
func OifIs(n string) Op {
	return linkIs(`oifname "`+n+`"`, expr.MetaKeyOIFNAME, expr.CmpOpEq, linkName(n))
}
func OifIsNot(n string) Op {
	return linkIs(`oifname != "`+n+`"`, expr.MetaKeyOIFNAME, expr.CmpOpNeq, linkName(n))
}
func OifHasNot(p string) Op {
	return linkIs(`oifname != "`+p+`*"`, expr.MetaKeyOIFNAME, expr.CmpOpNeq, []byte(p))
}

// L4 matches a protocol.
func L4(proto byte) Op {
	name := map[byte]string{ICMP: "icmp", TCP: "tcp", UDP: "udp", ICMPv6: "ipv6-icmp"}[proto]
	return fixed("meta l4proto "+name, &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: []byte{proto}})
}

// Dport matches a port of TCP or UDP.
func Dport(p uint16) Op {
	return fixed(fmt.Sprintf("th dport %d", p), loadDport(reg1),
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: binary.BigEndian.AppendUint16(nil, p)})
}

// Nfproto matches IP version 4 or 6.
func Nfproto(version int) Op {
	name, family := "ipv4", byte(unix.NFPROTO_IPV4)
	if version == 6 {
		name, family = "ipv6", unix.NFPROTO_IPV6
	}
	return fixed("meta nfproto "+name, isFamily(family)...)
}

func isFamily(family byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: reg1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: []byte{family}}}
}

// Loads of header fields. Offsets are those of RFC 791, RFC 8200 and the first four bytes of TCP and UDP.
func loadDport(reg uint32) expr.Any {
	return &expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}
}

func loadAddr(which string, is4 bool, reg uint32) expr.Any {
	p := &expr.Payload{DestRegister: reg, Base: expr.PayloadBaseNetworkHeader}
	switch {
	case is4 && which == "saddr":
		p.Offset, p.Len = 12, 4
	case is4:
		p.Offset, p.Len = 16, 4
	case which == "saddr":
		p.Offset, p.Len = 8, 16
	default:
		p.Offset, p.Len = 24, 16
	}
	return p
}

func family(is4 bool) ([]expr.Any, string) {
	if is4 {
		return isFamily(unix.NFPROTO_IPV4), "ip"
	}
	return isFamily(unix.NFPROTO_IPV6), "ip6"
}

// Within and NotWithin match packets whose "saddr" or "daddr" is (not) of a prefix.
func Within(which string, p netip.Prefix) Op    { return prefix(which, p, expr.CmpOpEq, "") }
func NotWithin(which string, p netip.Prefix) Op { return prefix(which, p, expr.CmpOpNeq, "!= ") }

func prefix(which string, p netip.Prefix, cmp expr.CmpOp, not string) Op {
	is4 := p.Addr().Is4()
	es, fam := family(is4)
	n := uint32(p.Addr().BitLen() / 8)
	m := make([]byte, n)
	for i := range p.Bits() {
		m[i/8] |= 1 << (7 - i%8)
	}
	es = append(es, loadAddr(which, is4, reg1),
		&expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: n, Mask: m, Xor: make([]byte, n)},
		&expr.Cmp{Op: cmp, Register: reg1, Data: p.Masked().Addr().AsSlice()})
	return fixed(fmt.Sprintf("%s %s %s%s", fam, which, not, p.Masked()), es...)
}

// keys are the ways a packet is looked up: text, whether it is IPv4 or IPv6 or either (0), and how the key is loaded from reg1 on.
var keys = map[string]struct {
	text   string
	family int
	load   func(sets map[string]*nftables.Set) []expr.Any
}{
	"saddr4": {"ip saddr", 4, loads(loadAddr("saddr", true, reg1))},
	"saddr6": {"ip6 saddr", 6, loads(loadAddr("saddr", false, reg1))},
	"daddr4": {"ip daddr", 4, loads(loadAddr("daddr", true, reg1))},
	"daddr6": {"ip6 daddr", 6, loads(loadAddr("daddr", false, reg1))},
	"pair4":  {"ip saddr . ip daddr", 4, loads(loadAddr("saddr", true, word(0)), loadAddr("daddr", true, word(1)))},
	"pair6":  {"ip6 saddr . ip6 daddr", 6, loads(loadAddr("saddr", false, word(0)), loadAddr("daddr", false, word(4)))},
	"back4":  {"ip daddr . ip saddr", 4, loads(loadAddr("daddr", true, word(0)), loadAddr("saddr", true, word(1)))},
	"back6":  {"ip6 daddr . ip6 saddr", 6, loads(loadAddr("daddr", false, word(0)), loadAddr("saddr", false, word(4)))},
	"iif_saddr4": {"iifname . ip saddr", 4,
		loads(&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg1}, loadAddr("saddr", true, word(4)))},
	"iif_saddr6": {"iifname . ip6 saddr", 6,
		loads(&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg1}, loadAddr("saddr", false, word(4)))},
	"iif_l4proto_port": {"iifname . meta l4proto . th dport", 0, loads(&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg1},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: word(4)}, loadDport(word(5)))},
	"l4proto_port": {"meta l4proto . th dport", 0, loads(loadPortKey()...)},
	"group4":       {"ip daddr . ip saddr map @group4", 4, viaGroup("group4", true)},
	"group6":       {"ip6 daddr . ip6 saddr map @group6", 6, viaGroup("group6", false)},
}

func loads(es ...expr.Any) func(map[string]*nftables.Set) []expr.Any {
	return func(map[string]*nftables.Set) []expr.Any { return es }
}

func loadPortKey() []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: word(0)}, loadDport(word(1))}
}

// viaGroup loads the destination's address and behind it the number of the source's group: a member of that group is in the set.
func viaGroup(name string, is4 bool) func(map[string]*nftables.Set) []expr.Any {
	return func(sets map[string]*nftables.Set) []expr.Any {
		behind := word(1)
		if !is4 {
			behind = word(4)
		}
		s := sets[name]
		return []expr.Any{loadAddr("saddr", is4, word(8)),
			&expr.Lookup{SourceRegister: word(8), DestRegister: behind, IsDestRegSet: true, SetID: s.ID, SetName: s.Name},
			loadAddr("daddr", is4, word(0))}
	}
}

// Lookup matches packets whose key is (not) in the set.
func Lookup(key, set string, not bool) Op {
	k := keys[key]
	text := k.text + " @" + set
	if not {
		text = k.text + " != @" + set
	}
	return Op{text, func(sets map[string]*nftables.Set) []expr.Any {
		var es []expr.Any
		if k.family != 0 {
			es, _ = family(k.family == 4)
		}
		s := sets[set]
		es = append(es, k.load(sets)...)
		return append(es, &expr.Lookup{SourceRegister: reg1, SetID: s.ID, SetName: s.Name, Invert: not})
	}}
}

// DNAT sends the packet where the map says for its protocol and port; a port that is not in the map goes on.
func DNAT(version int, mapping string) Op {
	fam, nat, behind := "ip", uint32(unix.NFPROTO_IPV4), word(1)
	if version == 6 {
		fam, nat, behind = "ip6", unix.NFPROTO_IPV6, word(4)
	}
	return Op{fmt.Sprintf("dnat %s to meta l4proto . th dport map @%s", fam, mapping), func(sets map[string]*nftables.Set) []expr.Any {
		s := sets[mapping]
		return append(loadPortKey(),
			&expr.Lookup{SourceRegister: reg1, DestRegister: reg1, IsDestRegSet: true, SetID: s.ID, SetName: s.Name},
			&expr.NAT{Type: expr.NATTypeDestNAT, Family: nat, RegAddrMin: reg1, RegProtoMin: behind})
	}}
}

// SNAT has the packet come from an address; which of the two versions it is of, a match before it says.
func SNAT(as netip.Addr) Op {
	fam, nat := "ip", uint32(unix.NFPROTO_IPV4)
	if as.Is6() {
		fam, nat = "ip6", unix.NFPROTO_IPV6
	}
	return fixed(fmt.Sprintf("snat %s to %s", fam, as), &expr.Immediate{Register: reg1, Data: as.AsSlice()},
		&expr.NAT{Type: expr.NATTypeSourceNAT, Family: nat, RegAddrMin: reg1})
}
