package live

import (
	"fmt"
	"slices"
	"time"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/upkeep"
)

// Clocks is the one table of the times that liveness depends on.
type Clocks struct {
	Renew   time.Duration // how often a host reports when nothing changes
	Detect  time.Duration // without a report for so long, a host is UNREACHABLE: that is shown, and nothing else follows from it
	Agreed  time.Duration // without a report for so long, and called dead by gossip's members, its nodes are made anew
	Alone   time.Duration // the same without the members' word
	Join    time.Duration // how long an enrolled host may take to its first report
	Rotate  time.Duration // how long a step of a rotation of the gossip key waits for hosts that don't confirm it
	Replace time.Duration // deadline of a node.replace operation
	Change  time.Duration // deadline of env.create, env.start, env.stop, env.delete
	Reboot  time.Duration // how long a host that reboots by order is waited for, unless the order says
}

// ClocksFor is the table for a scale: 1 on real machines, 3 under software emulation. Detection is capped, since a person who pulls a
// plug expects to see it within five seconds on any machine; replacing on the members' word leaves room to start the nodes within ten
// seconds, twenty under emulation.
func ClocksFor(scale int) Clocks {
	n := time.Duration(max(1, scale))
	renew := host.ReportEvery
	return Clocks{
		Renew:   renew,
		Detect:  detect(n * renew),
		Agreed:  min(6*renew*n, 12*time.Second),
		Alone:   30 * time.Second * n,
		Join:    min(30*time.Second*n, time.Minute),
		Rotate:  time.Minute * n,
		Replace: 2 * time.Minute * n,
		Change:  3 * time.Minute * n,
		Reboot:  5 * time.Minute * n,
	}
}

// detect leaves room for three renewals that are lost.
func detect(renew time.Duration) time.Duration {
	return min(3*renew+500*time.Millisecond, 4500*time.Millisecond)
}

// For is the table of a cluster of so many hosts. Taking in reports is what a host costs at rest: from a thousand hosts on they renew their
// links up to a third more seldom, and a host that falls silent is still shown within five seconds.
func (c Clocks) For(hosts int) Clocks {
	c.Renew = min(host.ReportAtMost, max(host.ReportEvery, time.Duration(hosts)*time.Millisecond))
	c.Detect = max(c.Detect, detect(c.Renew))
	return c
}

// State is where a host is, why, since when, and, for a passing state, when it ends by itself.
type State struct {
	State    operator.HostState
	Reason   string
	Since    time.Time
	Deadline time.Time
	// Ordered: it does not answer because it was ordered to leave its machine, or to replace its programs, and is not overdue.
	Ordered bool
	// Serves: it was the latter: all that ran on it goes on.
	Serves bool
}

// Order is the order to leave the machine that a host was given last.
type Order struct {
	upkeep.Leave
	Boot  string // the one that ends
	At    time.Time
	Until time.Time // when a host that boots anew is expected back; zero: it is switched off
}

// waits tells whether a host is away by order now, and is to be waited for.
func (o *Order) waits(now time.Time) bool { return o != nil && now.Before(o.Until) }

// Words say of a host that does not answer what was ordered. They don't count time down.
func (o *Order) Words(now time.Time) string {
	by := "ordered by " + o.By
	if o.Reason != "" {
		by += " (" + o.Reason + ")"
	}
	switch {
	case o.PowerOff:
		return "switched off, " + by
	case o.waits(now):
		return fmt.Sprintf("rebooting, %s, back expected within %s, until %s", by, o.Until.Sub(o.At).Round(time.Second),
			o.Until.UTC().Format(time.TimeOnly+"Z"))
	}
	return fmt.Sprintf("it was ordered to reboot, %s, and is not back: it was expected until %s", by, o.Until.UTC().Format(time.RFC3339))
}

// Input is all that a host's next state follows from.
type Input struct {
	Now     time.Time
	Started time.Time // of this orchestrator: nobody is missed before a whole detection time has gone by
	Joined  time.Time // enrolment
	Last    time.Time // when the last report came in; zero if none since Started
	Votes   Votes     // of the other hosts
	Order   *Order    // that it was given, nil if none: it ends when the host is back in another boot
	// Away is how long after Last it may say nothing, since its programs are being replaced while all that runs on it goes on. 0: they are
	// not.
	Away time.Duration
}

// replacing is until when a host that replaces its programs is waited for; zero: it does not, or is overdue.
func (in Input) replacing() (until time.Time) {
	if until = in.Last.Add(in.Away); in.Away > 0 && in.Now.Before(until) {
		return until
	}
	return time.Time{}
}

// Votes is what the other hosts that report freshly say of a host by gossip.
type Votes struct {
	Asked int // hosts that report freshly
	Dead  int // of them, those whose gossip has declared it dead: probed directly, through others, and not refuted in time
}

// Agree tells whether the members agree that the host is gone: more than half of those asked say so. One that has no opinion counts as
// one that does not agree, so that a single liar among several can't have a host's nodes moved.
func (v Votes) Agree() bool { return 2*v.Dead > v.Asked }

// Loss is whether the nodes of an UNREACHABLE host are made anew elsewhere. The zero value is that of a host that is not UNREACHABLE.
type Loss struct {
	Lost bool
	Why  string // of either; for people
}

// Lose decides that, for a host in state s: its link is lost, and either gossip's members agree that it is gone or it has been away for
// long. A host that reboots by order, or replaces its programs, is waited for until it is expected back. One that is merely slow, or that
// only we don't reach, is heard by the others and keeps its nodes.
func Lose(s State, in Input, c Clocks) Loss {
	if s.State != operator.HostUnreachable {
		return Loss{}
	}
	from := in.Last
	if from.IsZero() {
		from = later(in.Started, in.Joined)
	}
	silent := in.Now.Sub(from)
	until := in.replacing()
	agree := fmt.Sprintf("%d of %d other hosts call it dead", in.Votes.Dead, in.Votes.Asked)
	switch {
	case in.Order.waits(in.Now):
		return Loss{false, fmt.Sprintf("its nodes stay until %s: it was ordered to reboot", in.Order.Until.UTC().Format(time.TimeOnly+"Z"))}
	case !until.IsZero():
		return Loss{false, fmt.Sprintf("its nodes stay, and serve, until %s: its programs are replaced",
			until.UTC().Format(time.TimeOnly+"Z"))}
	case silent >= c.Agreed && in.Votes.Agree():
		return Loss{true, agree}
	case silent >= c.Alone:
		return Loss{true, fmt.Sprintf("it has been away for %s (%s)", c.Alone, agree)}
	}
	return Loss{false, fmt.Sprintf("its nodes stay until the other hosts agree that it is gone, or until %s (%s)",
		from.Add(c.Alone).UTC().Format(time.TimeOnly+"Z"), agree)}
}

// Next is the state that follows. The owner of the one passing state, JOINING, is the host itself: it must report before the deadline.
//
//	JOINING ─ first report ─▶ ACTIVE ─ reports lost ─▶ UNREACHABLE
//	   └──── deadline ───────────────────────────────────▲   └─ a report ─▶ ACTIVE
//
// Gossip has no part in it: see Lose.
func Next(prev State, in Input, c Clocks) State {
	to := func(s operator.HostState, reason string, deadline time.Time) State {
		since := prev.Since
		if prev.State != s {
			since = in.Now
		}
		out := State{State: s, Reason: reason, Since: since, Deadline: deadline}
		if s == operator.HostUnreachable && in.Order != nil {
			out.Reason, out.Ordered = in.Order.Words(in.Now), in.Order.PowerOff || in.Order.waits(in.Now)
			if out.Ordered {
				out.Deadline = in.Order.Until
			}
			return out
		}
		if until := in.replacing(); s == operator.HostUnreachable && !until.IsZero() {
			out.Reason = fmt.Sprintf("its programs are replaced, what it runs goes on; it is expected back until %s",
				until.UTC().Format(time.TimeOnly+"Z"))
			out.Ordered, out.Serves, out.Deadline = true, true, until
		}
		return out
	}
	if in.Last.IsZero() {
		known := prev.State == operator.HostUnreachable
		first, reason := in.Joined.Add(c.Join), "it has joined and not reported yet"
		if in.Joined.Before(in.Started) {
			first, reason = in.Started.Add(c.Detect), "the orchestrator has just started and waits for its first report"
		}
		if known || !in.Now.Before(first) {
			return to(operator.HostUnreachable, "it has not reported since "+later(in.Started, in.Joined).UTC().Format(time.RFC3339),
				time.Time{})
		}
		return to(operator.HostJoining, reason, first)
	}
	if in.Now.Sub(in.Last) >= c.Detect {
		return to(operator.HostUnreachable, fmt.Sprintf("no report for %s", c.Detect), time.Time{})
	}
	return to(operator.HostActive, "", time.Time{})
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Storm tells whether so many hosts vanished together that the fault is more likely ours than theirs: more than 15 % of the hosts, and
// at least three, became UNREACHABLE within one minute and still are. Then nothing is rescheduled until enough of them are back.
func Storm(states []State) (bool, string) {
	var gone []time.Time
	for _, s := range states {
		if s.State == operator.HostUnreachable && !s.Ordered {
			gone = append(gone, s.Since)
		}
	}
	slices.SortFunc(gone, time.Time.Compare)
	for first, last := 0, 0; last < len(gone); last++ {
		for gone[last].Sub(gone[first]) > time.Minute {
			first++
		}
		n := last - first + 1
		if n >= 3 && n*100 > 15*len(states) {
			return true, fmt.Sprintf("%d of %d hosts vanished within a minute: nothing is replaced until some are back; check the "+
				"network of the infra host", n, len(states))
		}
	}
	return false, ""
}
