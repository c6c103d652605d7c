// Package blocks divides the range of container addresses among the hosts of a cluster.
//
// Owns: the numbers of blocks, which number is given next, the order of the addresses inside a host's blocks.
// In: the cluster's ranges, the blocks that are in use.
// Out: blocks, addresses; an error that names the range.
// Never: stores anything, or decides who gets a block: enroll gives each host its first one, converge the further ones.
package blocks

import (
	"fmt"
	"net/netip"

	"hardnode.dev/internal/wire"
)

// Bits is the length of an IPv4 block's prefix: 256 addresses.
const Bits = 24

// Addresses of a block that containers get: those by the last octets first to last.
const (
	first, last = 10, 250
	Addresses   = last - first + 1
)

// Count is how many blocks range4 has. Number 0 is that of the host the cluster began on, and is given to no other.
func Count(range4 netip.Prefix) int {
	if !range4.IsValid() || !range4.Addr().Is4() || range4.Bits() > Bits {
		return 0
	}
	return 1 << (Bits - range4.Bits())
}

// Of are the blocks of number n: the n-th /24 of range4, the n-th /64 of range6 (if there is one).
func Of(range4, range6 netip.Prefix, n int) (b4, b6 netip.Prefix, err error) {
	if n < 0 || n >= Count(range4) {
		return b4, b6, fmt.Errorf("range %s has no block number %d", range4, n)
	}
	b4 = netip.PrefixFrom(plus(range4.Masked().Addr(), n<<8), Bits)
	if !range6.IsValid() {
		return b4, b6, nil
	}
	if range6.Bits() > 64 || range6.Bits() > 48 && n >= 1<<(64-range6.Bits()) {
		return b4, b6, fmt.Errorf("range %s has no block number %d", range6, n)
	}
	s := range6.Masked().Addr().As16()
	s[6] += byte(n >> 8)
	s[7] += byte(n)
	return b4, netip.PrefixFrom(netip.AddrFrom16(s), 64), nil
}

// number is the block's in range4; false if it is none of its blocks.
func number(range4, block netip.Prefix) (int, bool) {
	if Count(range4) == 0 || block.Bits() != Bits || !range4.Contains(block.Addr()) {
		return 0, false
	}
	return (value(block.Addr()) - value(range4.Masked().Addr())) >> 8, true
}

// Around is the block an IPv4 address lies in; the zero Prefix for any other address.
func Around(a netip.Addr) netip.Prefix {
	if !a.Is4() {
		return netip.Prefix{}
	}
	b, _ := a.Prefix(Bits)
	return b
}

// At is the address at a place of a host: in the block of its own with that index, and in block6, of which a host has one for all its
// blocks. Without a block6 the second is the zero Addr.
func At(own []netip.Prefix, block6 netip.Prefix, place int) (v4, v6 netip.Addr) {
	v4 = plus(own[place>>8].Masked().Addr(), place&0xff)
	if block6.IsValid() {
		v6 = plus(block6.Masked().Addr(), place)
	}
	return v4, v6
}

// Next is the place after one, of a host with so many blocks; the first one comes after the last. A place is the index of a block times 256
// plus the last octet of the address there: for a host's first block, the octet.
func Next(place, of int) int {
	block, octet := place>>8, place&0xff+1
	switch {
	case octet < first:
		octet = first
	case octet > last:
		block, octet = block+1, first
	}
	if block >= of {
		return first
	}
	return block<<8 + octet
}

// First is the first place of the block with that index.
func First(block int) int { return block<<8 + first }

// plus is a and n more, which must be less than 1 << 24.
func plus(a netip.Addr, n int) netip.Addr {
	b := a.AsSlice()
	for i := len(b) - 1; n > 0; i-- {
		n += int(b[i])
		b[i] = byte(n)
		n >>= 8
	}
	out, _ := netip.AddrFromSlice(b)
	return out
}

func value(a netip.Addr) int {
	b := a.As4()
	return int(b[0])<<24 | int(b[1])<<16 | int(b[2])<<8 | int(b[3])
}

// Component is the address of a component of the platform in the infra host's block, as Day 0 gives them: the tenth and those behind it.
func Component(block string, id wire.CTID) (netip.Addr, error) {
	b, err := netip.ParsePrefix(block)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("block of the infra host: %v", err)
	}
	raw := b.Addr().AsSlice()
	raw[len(raw)-1] = byte(first + id)
	a, _ := netip.AddrFromSlice(raw)
	return a, nil
}
