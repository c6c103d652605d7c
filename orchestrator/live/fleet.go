// Package live holds what hosts say of themselves, in memory only.
//
// Owns: each host's last report and its state; the clocks of liveness; the storm brake.
// In: reports, with the time they came in; the list of enrolled hosts; ticks.
// Out: Snapshots; which hosts moved, as far as decisions read what is known of them, and a signal when one did.
// Never: stores anything, believes a single host's gossip about another, or takes a host's name from a body.
package live

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/upkeep"
)

// tick is how often states are looked at.
const tick = 200 * time.Millisecond

// Member is an enrolled host.
type Member struct {
	ID     wire.HostID
	Name   string
	Joined time.Time
	From   netip.Addr // where the report came from; used by Report only
	Order  *Order     // to leave its machine, nil if there is none; used by Tick only
}

// Status is what is known of one host now.
type Status struct {
	State
	Loss     Loss
	Away     Away         // the last time it was UNREACHABLE and came back
	Report   *host.Report // nil until the first one; must not be changed
	Received time.Time    // of Report
	From     netip.Addr   // where Report came from
}

// Away is a time when a host was UNREACHABLE, explained by the host's own words once it was back.
type Away struct {
	From, To time.Time // of the silence
	Why      string
}

// String is empty when it never was away.
func (a Away) String() string {
	if a.To.IsZero() {
		return ""
	}
	return fmt.Sprintf("nothing was heard of it for %s until %s: %s", a.To.Sub(a.From).Round(100*time.Millisecond),
		a.To.UTC().Format(time.TimeOnly+"Z"), a.Why)
}

// away is why a host was not heard of, by the report that ended it.
func away(from, to time.Time, old, rep *host.Report) Away {
	why := rep.Late
	switch {
	case old != nil && old.Boot != rep.Boot:
		why = fmt.Sprintf("it was booted %d s before", rep.Load.UptimeSec)
	case why == "":
		why = "it says it reported all the time"
	}
	if p := rep.Load.Pressure; p != (host.Pressure{}) {
		why += fmt.Sprintf(" (pressure there: CPU %.0f %%, memory %.0f %%, disk %.0f %%)", p.CPU, p.Memory, p.IO)
	}
	return Away{from, to, why}
}

// Container is what the host says of one of its containers.
func (s Status) Container(id wire.CTID) (host.ContainerStatus, bool) {
	if s.Report != nil {
		for _, c := range s.Report.Containers {
			if c.CTID == id {
				return c, true
			}
		}
	}
	return host.ContainerStatus{}, false
}

// Snapshot is all hosts' status at one moment.
type Snapshot map[wire.HostID]Status

// Fleet follows the hosts.
type Fleet struct {
	base    Clocks
	started time.Time
	log     *slog.Logger

	mu struct {
		sync.Mutex
		hosts  map[wire.HostID]*record
		clocks Clocks    // base, for as many hosts as there are
		last   time.Time // of the last tick
		votes  tally
		moves  moves
		boots  map[upkeep.Cause]int // since this process started
		met    Met                  // likewise
	}
}

type record struct {
	Member
	Status
	last   time.Time                // Received, moved on by our own stalls
	dead   map[wire.HostID]struct{} // the other hosts that Report calls dead by gossip
	voting bool                     // it is counted in the tally
}

// fresh tells whether the host has a say about the others.
func (r *record) fresh(now time.Time, c Clocks) bool {
	return r.Report != nil && now.Sub(r.last) < c.Detect
}

// NewFleet starts with nobody known; started is the orchestrator's own start.
func NewFleet(clocks Clocks, started time.Time, log *slog.Logger) *Fleet {
	f := &Fleet{base: clocks, started: started, log: logging.Or(log)}
	f.mu.hosts, f.mu.clocks, f.mu.last = map[wire.HostID]*record{}, clocks, started
	f.mu.moves = newMoves()
	return f
}

// Clocks is the table in force.
func (f *Fleet) Clocks() Clocks {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.clocks
}

// Run looks at the states until ctx ends; members lists the enrolled hosts.
func (f *Fleet) Run(ctx context.Context, members func() []Member) error {
	return run.Every(ctx, tick, func(context.Context) error {
		f.Tick(time.Now(), members())
		return nil
	})
}

// Tick brings every host's state up to now.
func (f *Fleet) Tick(now time.Time, members []Member) {
	f.mu.Lock()
	defer f.mu.Unlock()
	// While this process stood still it took no reports in: that is no host's fault.
	stall := now.Sub(f.mu.last)
	f.mu.last, f.mu.clocks = now, f.base.For(len(members))
	known := make(map[wire.HostID]bool, len(members))
	for _, m := range members {
		known[m.ID] = true
		r := f.mu.hosts[m.ID]
		if r == nil {
			r = &record{}
			f.mu.hosts[m.ID] = r
		}
		r.Member = m
		if stall > 5*tick && !r.last.IsZero() {
			r.last = r.last.Add(stall - tick)
			if r.last.After(now) {
				r.last = now
			}
		}
	}
	for _, r := range f.mu.hosts {
		f.mu.votes.count(r, r.fresh(now, f.mu.clocks))
	}
	for _, m := range members {
		f.next(f.mu.hosts[m.ID], now)
	}
	for id := range f.mu.hosts {
		if !known[id] {
			f.mu.votes.count(f.mu.hosts[id], false)
			delete(f.mu.hosts, id)
			f.move(id)
		}
	}
}

// next brings one host's state, and what becomes of its nodes, up to now.
func (f *Fleet) next(r *record, now time.Time) {
	before, loss := r.Status.State, r.Loss
	in := Input{Now: now, Started: f.started, Joined: r.Joined, Last: r.last, Votes: f.mu.votes.of(r, now, f.mu.clocks)}
	if r.Report == nil || r.Order == nil || r.Report.Boot == r.Order.Boot {
		in.Order = r.Order
	}
	if r.Report != nil {
		in.Away = r.Report.System.Away()
	}
	r.Status.State = Next(before, in, f.mu.clocks)
	r.Loss = Lose(r.Status.State, in, f.mu.clocks)
	if r.Status.State != before || r.Loss != loss {
		f.move(r.ID)
	}
	if r.Loss.Lost && !loss.Lost {
		f.log.Warn("host is lost: its nodes are made anew elsewhere", logging.Host, r.Name, logging.Reason, r.Reason+"; "+r.Loss.Why)
	}
	if before.State == r.Status.State.State {
		return
	}
	level := slog.LevelInfo
	if r.Status.State.State == operator.HostUnreachable && !r.Status.State.Ordered {
		level = slog.LevelWarn
	}
	reason := r.Reason
	if before.State == operator.HostUnreachable && r.Status.State.State == operator.HostActive {
		reason = r.Away.String()
	}
	f.log.Log(context.Background(), level, "host is "+string(r.Status.State.State), logging.Host, r.Name, logging.Reason, reason)
}

// tally is what all hosts whose last report was fresh at the last tick say of the others. It is kept: a tick costs the hosts, and what a
// host says costs when it says something else.
type tally struct {
	asked int
	dead  map[wire.HostID]int
}

// count lets a host have its say, or no more.
func (t *tally) count(r *record, voting bool) {
	if r.voting == voting {
		return
	}
	by := 1
	if !voting {
		by = -1
	}
	r.voting = voting
	t.asked += by
	t.add(r.dead, by)
}

func (t *tally) add(dead map[wire.HostID]struct{}, by int) {
	if t.dead == nil {
		t.dead = map[wire.HostID]int{}
	}
	for id := range dead {
		if t.dead[id] += by; t.dead[id] == 0 {
			delete(t.dead, id)
		}
	}
}

// of is what the others say of one host. Who has a say is looked at at each tick: a host whose report has just come is not UNREACHABLE,
// whatever they say.
func (t tally) of(r *record, now time.Time, c Clocks) Votes {
	v := Votes{Asked: t.asked, Dead: t.dead[r.ID]}
	if r.fresh(now, c) && v.Asked > 0 {
		v.Asked--
	}
	return v
}

// calledDead are the other hosts that a host's gossip has declared dead.
func calledDead(id wire.HostID, views []host.GossipView) map[wire.HostID]struct{} {
	var dead map[wire.HostID]struct{}
	for _, g := range views {
		if !g.Alive && g.Host != id {
			if dead == nil {
				dead = map[wire.HostID]struct{}{}
			}
			dead[g.Host] = struct{}{}
		}
	}
	return dead
}

// shared tells whether two lists are one: that of an unchanged renewal is the list of the report it renews.
func shared(a, b []host.GossipView) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// Report takes in a host's report. One that is already there is welcome again: its answer was lost, so the host sent it twice.
// One older than the last of the same boot is dropped with an error.
func (f *Fleet) Report(m Member, rep *host.Report, now time.Time) (State, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.mu.hosts[m.ID]
	if r == nil {
		r = &record{}
		f.mu.hosts[m.ID] = r
	}
	m.Order = r.Order
	r.Member = m
	rep.Settle()
	if old := r.Report; old != nil && old.Boot == rep.Boot && rep.Seq < old.Seq {
		return r.Status.State, fmt.Errorf("report %d of host %s: is older than report %d", rep.Seq, m.Name, old.Seq)
	}
	if r.Status.From != m.From || decisive(r.Report, rep) {
		f.move(m.ID)
	}
	if r.Status.State.State == operator.HostUnreachable {
		from := r.last
		if from.IsZero() {
			from = later(f.started, r.Joined)
		}
		r.Away = away(from, now, r.Report, rep)
		// It did as it was ordered, in time: that is no trouble.
		if s, o := r.Status.State, r.Order; s.Ordered && (s.Serves || o != nil && o.Boot != rep.Boot) {
			r.Away = Away{}
		}
	}
	if old := r.Report; old == nil || !shared(old.Gossip, rep.Gossip) {
		says := calledDead(m.ID, rep.Gossip)
		if r.voting {
			f.mu.votes.add(r.dead, -1)
			f.mu.votes.add(says, 1)
		}
		r.dead = says
	}
	f.boots(r, rep)
	f.met(r.Report, rep)
	r.Report, r.Received, r.last, r.Status.From = rep, now, now, m.From
	f.next(r, now)
	return r.Status.State, nil
}

// Complete makes a whole report of an unchanged renewal, and says what state the host is in. False: its last report here is not the one
// that the renewal means, so it can't be taken in.
func (f *Fleet) Complete(id wire.HostID, rep *host.Report) (State, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.mu.hosts[id]
	if r == nil {
		return State{}, false
	}
	return r.Status.State, rep.Complete(r.Report)
}

// Snapshot is everything now. It costs the hosts.
func (f *Fleet) Snapshot() Snapshot {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := make(Snapshot, len(f.mu.hosts))
	for id, r := range f.mu.hosts {
		s[id] = r.Status
	}
	return s
}
