package nft

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// CtReply matches packets that answer the one a connection began with.
var CtReply = fixed("ct direction reply", &expr.Ct{Register: reg1, Key: expr.CtKeyDIRECTION},
	&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: []byte{1}})

// NoSYN matches TCP packets that begin no connection (RFC 9293 3.1: FIN 1, SYN 2, RST 4, ACK 16).
var NoSYN = fixed("meta l4proto tcp tcp flags & (fin|syn|rst|ack) != syn",
	&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg1}, &expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: []byte{TCP}},
	&expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
	&expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: 1, Mask: []byte{0x17}, Xor: []byte{0}},
	&expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: []byte{2}})

// Reset answers a TCP packet with a reset.
var Reset = fixed("reject with tcp reset", &expr.Reject{Type: unix.NFT_REJECT_TCP_RST})

// NoTrack has the kernel keep no connection for the packet: it is neither new nor known, nor translated. For raw hooks only.
var NoTrack = fixed("notrack", &expr.Notrack{})

// Ports matches UDP from a port to a port.
func Ports(from, to uint16) Op {
	return fixed(fmt.Sprintf("meta l4proto udp th sport . th dport %d . %d", from, to),
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg1}, &expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: []byte{UDP}},
		&expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 4},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, from), to)})
}

// Dports matches ports of TCP or UDP, from the first to the last.
func Dports(first, last uint16) Op {
	if first == last {
		return Dport(first)
	}
	return fixed(fmt.Sprintf("th dport %d-%d", first, last), loadDport(reg1), &expr.Range{Op: expr.CmpOpEq, Register: reg1,
		FromData: binary.BigEndian.AppendUint16(nil, first), ToData: binary.BigEndian.AppendUint16(nil, last)})
}

// Over matches what comes faster than so many packets a second; a second's worth may come at once.
func Over(rate int) Op {
	return fixed(fmt.Sprintf("limit rate over %d/second burst %d packets", rate, rate),
		&expr.Limit{Type: expr.LimitTypePkts, Rate: uint64(rate), Over: true, Unit: expr.LimitTimeSecond, Burst: uint32(rate)})
}

// IifJump and OifJump go on where a map of verdicts says for the link that a packet came by, or leaves by. One that is not in it goes on.
func IifJump(verdicts string) Op { return linkJump("iifname", expr.MetaKeyIIFNAME, verdicts) }

// OifJump: see IifJump.
func OifJump(verdicts string) Op { return linkJump("oifname", expr.MetaKeyOIFNAME, verdicts) }

func linkJump(text string, key expr.MetaKey, verdicts string) Op {
	return Op{text + " vmap @" + verdicts, func(sets map[string]*nftables.Set) []expr.Any {
		s := sets[verdicts]
		return []expr.Any{&expr.Meta{Key: key, Register: reg1},
			&expr.Lookup{SourceRegister: reg1, DestRegister: unix.NFT_REG_VERDICT, IsDestRegSet: true, SetID: s.ID, SetName: s.Name}}
	}}
}

// DNATBy sends the packet where the map says for its destination, SNATBy has it come from where the map says for its source: one that is
// not in the map goes on. Its port stays.
func DNATBy(version int, mapping string) Op {
	return translate("dnat", "daddr", version, mapping, expr.NATTypeDestNAT)
}

// SNATBy: see DNATBy.
func SNATBy(version int, mapping string) Op {
	return translate("snat", "saddr", version, mapping, expr.NATTypeSourceNAT)
}

func translate(how, which string, version int, mapping string, kind expr.NATType) Op {
	es, fam := family(version == 4)
	nat := uint32(unix.NFPROTO_IPV4)
	if version == 6 {
		nat = unix.NFPROTO_IPV6
	}
	return Op{fmt.Sprintf("%s %s to %s %s map @%s", how, fam, fam, which, mapping), func(sets map[string]*nftables.Set) []expr.Any {
		s := sets[mapping]
		return append(slices.Clone(es), loadAddr(which, version == 4, reg1),
			&expr.Lookup{SourceRegister: reg1, DestRegister: reg1, IsDestRegSet: true, SetID: s.ID, SetName: s.Name},
			&expr.NAT{Type: kind, Family: nat, RegAddrMin: reg1})
	}}
}
