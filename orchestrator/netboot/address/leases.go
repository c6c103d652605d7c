package address

import (
	"net/netip"
	"slices"
	"time"

	"hardnode.dev/internal/wire/host"
)

// Lease is an address that a card has.
type Lease struct {
	Card  string     `json:"id"` // its MAC
	Addr  netip.Addr `json:"address"`
	Until time.Time  `json:"until"`
}

// The clocks of leases.
const (
	Lasts    = time.Hour        // a lease
	reserved = time.Minute      // an address that was offered
	refused  = 10 * time.Minute // one that a machine found taken
)

// nobody is the card of an address that a machine found taken by somebody who did not ask for it.
const nobody = "taken"

// leases are those that are out, and those that ended, whose card gets its address again.
type leases []Lease

// of is the lease of a card, or nil.
func (l leases) of(card string) *Lease {
	if i := slices.IndexFunc(l, func(x Lease) bool { return x.Card == card }); i >= 0 {
		return &l[i]
	}
	return nil
}

// at is the lease of an address, or nil.
func (l leases) at(a netip.Addr) *Lease {
	if i := slices.IndexFunc(l, func(x Lease) bool { return x.Addr == a }); i >= 0 {
		return &l[i]
	}
	return nil
}

// choose is the address for a card: the one that it has or had, the one that it asks for, one that nobody had, the one whose lease ended
// first. False: all are out.
func (l leases) choose(card string, asked netip.Addr, of host.Addresses, self netip.Addr, now time.Time) (netip.Addr, bool) {
	free := func(a netip.Addr) bool {
		x := l.at(a)
		return a != self && of.Has(a) && (x == nil || x.Card == card || !x.Until.After(now))
	}
	if own := l.of(card); own != nil && free(own.Addr) {
		return own.Addr, true
	}
	if free(asked) {
		return asked, true
	}
	var oldest *Lease
	for a := of.First; of.Has(a); a = a.Next() {
		x := l.at(a)
		if x == nil && a != self {
			return a, true
		}
		if x != nil && free(a) && (oldest == nil || x.Until.Before(oldest.Until)) {
			oldest = x
		}
	}
	if oldest == nil {
		return netip.Addr{}, false
	}
	return oldest.Addr, true
}

// put gives the card the address, in place of whoever had it.
func (l leases) put(x Lease) leases {
	l = slices.DeleteFunc(l, func(y Lease) bool { return y.Card == x.Card && x.Card != nobody || y.Addr == x.Addr })
	return append(l, x)
}

// out is how many are out.
func (l leases) out(now time.Time) (n int) {
	for _, x := range l {
		if x.Until.After(now) && x.Card != nobody {
			n++
		}
	}
	return n
}
