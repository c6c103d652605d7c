package lease

import "time"

// how a lease is asked for again (RFC 2131 4.4.5).
type how int

const (
	renew  how = iota // its own server, directly
	rebind            // any server, by broadcast
	giveUp            // nobody: the lease has ended, and with it the right to the address
)

const (
	retransmit = time.Minute    // not asked more often than this, but for the moments of T2 and the end
	refresh    = 24 * time.Hour // how often a lease without an end is asked for, to learn of changes
)

// due is what is done next and when. Both at and last count from when the lease was asked for; last is the last time it was asked for
// again, 0: not yet. From T1 on each wait is half of the time left until T2, from T2 on half of the time left until the end.
func (l Lease) due(last time.Duration) (at time.Duration, do how) {
	if l.Time >= Forever {
		return last + refresh, renew
	}
	half := func(end time.Duration) time.Duration { return last + max((end-last)/2, retransmit) }
	switch {
	case last < l.T1:
		return l.T1, renew
	case last < l.T2:
		if at = half(l.T2); at < l.T2 {
			return at, renew
		}
		return l.T2, rebind
	default:
		if at = half(l.Time); at < l.Time {
			return at, rebind
		}
		return l.Time, giveUp
	}
}

// late is what is done in place of do at the moment since, which may be far behind the moment do was due: a machine may have stood still.
func (l Lease) late(do how, since time.Duration) how {
	switch {
	case l.Time >= Forever:
		return do
	case since >= l.Time:
		return giveUp
	case since >= l.T2 && do == renew:
		return rebind
	}
	return do
}
