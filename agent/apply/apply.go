// Package apply carries the plan's steps out, again and again, until nothing is left to do.
//
// Owns: the loop, and which steps are in flight.
// In: agent/desired's documents, observations, hints that something changed; a tick that repairs what a lost hint left.
// Out: changes through agent/container, agent/fetch and agent/network; statuses for the report.
// Never: decides what is next (agent/plan does) or remembers what was (agent/history does), or lets one slow container hold up another.
package apply

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hardnode.dev/agent/container"
	"hardnode.dev/agent/garbage"
	"hardnode.dev/agent/health"
	"hardnode.dev/agent/history"
	"hardnode.dev/agent/network"
	"hardnode.dev/agent/observe"
	"hardnode.dev/agent/plan"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// Applier is the loop. Its methods may be called at once.
type Applier struct {
	o      Options
	log    *slog.Logger
	health *health.Checker

	wake    chan struct{} // a step ended, a check changed
	changed chan struct{} // the next report says something new

	slots chan struct{} // fetches in flight

	latest atomic.Pointer[Report] // mu.report, for those who must not wait for mu

	leaving atomic.Pointer[leaving] // nil: the machine is not being left
	smoke   atomic.Pointer[smoking] // nil: none is under way
	leave   chan struct{}           // closed when it is

	said  said
	once  sync.Once
	first chan struct{} // closed when the first round is done

	mu struct {
		sync.Mutex
		busy     map[wire.CTID]plan.Kind
		starts   map[wire.CTID]time.Time // when those of busy began
		fetching map[wire.Digest]bool
		history  *history.Book
		report   Report
		adopted  int       // containers that ran at the first look
		looked   time.Time // the end of the last round
	}

	// The rest belongs to the loop alone.
	trying  *smoking // the Smoke that was under way when the round began
	lastNet network.State
	netDone time.Time
	netErr  error
	cut     map[wire.CTID]string // running containers that are not connected, and why
	names   *host.Peers          // what DNS answers from
	garbage garbage.Collector
}

// Report is what the loop knows for the host's report.
type Report struct {
	Work       wire.Revision // fully applied
	Planned    wire.Revision // Containers are as seen, and planned for, at this one
	Peers      wire.Revision // applied
	Containers []host.ContainerStatus
	Problems   []host.Problem
}

// parallel is how many images are fetched at once; how many containers are started at once, plan.Starts says.
const parallel = 4

// Between tick and slowest apart everything is looked at when no hint comes (pace). What the network is to be is compared with the kernel
// at each change, and even so once in whole: nobody else has rights to it, and a comparison reads each container's link.
const (
	tick    = time.Second
	slowest = time.Minute
	whole   = 5 * time.Minute
)

// New makes an Applier that Run starts.
func New(o Options) *Applier {
	a := &Applier{
		o:       o,
		log:     logging.Or(o.Log),
		wake:    make(chan struct{}, 1),
		changed: make(chan struct{}, 1),
		slots:   make(chan struct{}, parallel),
		first:   make(chan struct{}),
		leave:   make(chan struct{}),
	}
	if a.o.Check == nil {
		a.o.Check = health.Probe
	}
	if a.o.Pressure == nil {
		a.o.Pressure = func() host.Pressure { return host.Pressure{} }
	}
	a.latest.Store(&Report{})
	if a.o.Closed == nil {
		a.o.Closed = func() error { return nil }
	}
	a.health = health.New(a.o.Check, a.hint, a.o.Pressure)
	a.garbage = garbage.Collector{Images: o.Images, Replenish: o.Store.Replenish, Log: a.log}
	a.mu.busy, a.mu.starts, a.mu.fetching = map[wire.CTID]plan.Kind{}, map[wire.CTID]time.Time{}, map[wire.Digest]bool{}
	a.mu.history = history.New()
	return a
}

// Changed delivers a hint that Report says something new; one reader.
func (a *Applier) Changed() <-chan struct{} { return a.changed }

// First is closed when the first round is done: before that, Report knows of no container, which would read as if all were gone.
func (a *Applier) First() <-chan struct{} { return a.first }

// Adopted is how many containers ran already at the first look.
func (a *Applier) Adopted() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.mu.adopted
}

// adopt ends the first round.
func (a *Applier) adopt(list []container.Observed, took time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range list {
		if o.State == container.StateRunning {
			a.mu.adopted++
		}
	}
	a.log.Info("looked at what runs", "containers", a.mu.adopted, logging.Took, took)
	close(a.first)
}

// Report is the state of things after the last round. It never waits.
func (a *Applier) Report() Report { return *a.latest.Load() }

func (a *Applier) hint() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Run works until ctx ends, then waits for the steps in flight. Containers go on running.
func (a *Applier) Run(ctx context.Context) error {
	var steps sync.WaitGroup
	defer steps.Wait()
	checks, stop := context.WithCancel(ctx)
	defer stop()
	steps.Go(func() { a.health.Run(checks) })
	staying, left := a.staying(ctx)
	defer left()
	for ctx.Err() == nil {
		began := time.Now()
		wake, err := a.round(ctx, staying, &steps)
		switch {
		case err == nil:
			a.said.over("round")
		case ctx.Err() == nil:
			a.warn("round", "round not finished", err)
		}
		a.mu.Lock()
		a.mu.looked = time.Now()
		a.mu.Unlock()
		a.sleep(ctx, pace(time.Since(began)), wake)
	}
	return nil
}

// pace is how long after a round that took so long the next one begins when nothing calls for it. What happens to containers does; a
// round without a cause only reads their counters, so it takes a hundredth of the time at most, as far as slowest allows it: a host
// that is slow or has very many containers is not made slower by being looked at.
func pace(took time.Duration) time.Duration { return min(max(tick, 100*took), slowest) }

// Alive tells whether the loop goes round: it has not hung for two minutes.
func (a *Applier) Alive() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.mu.looked.IsZero() || time.Since(a.mu.looked) < 2*time.Minute
}

// sleep waits for the next reason to look, d at most.
func (a *Applier) sleep(ctx context.Context, d time.Duration, wake time.Time) {
	if until := time.Until(wake); !wake.IsZero() && until < d {
		d = max(until, 10*time.Millisecond)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-a.wake:
	case <-a.o.Store.Changed():
	case <-a.o.Runtime.Exits():
	case <-a.o.Moves.Changed():
	}
}

// round looks once and starts what is to be done: under staying, unless the machine is being left.
func (a *Applier) round(ctx, staying context.Context, steps *sync.WaitGroup) (wake time.Time, err error) {
	now, leaving := time.Now(), a.leaving.Load()
	work, confirmed := a.o.Store.Work()
	a.trying = a.smoke.Load()
	busy, flying := a.flying() // before looking: what is seen of these may be over when the plan is made
	observeCtx, cancel := context.WithTimeout(ctx, 20*time.Second)
	list, err := a.o.Runtime.Observe(observeCtx)
	cancel()
	eff, back, due := a.effective(ctx, work, confirmed, list, now)
	if err != nil {
		a.publish(func(r *Report) {
			r.Problems = []host.Problem{{Code: "internal", Object: "containers", Reason: err.Error(),
				Next: "init restarts the spawner; see the host's log: hnctl host logs"}}
		})
		return time.Time{}, fmt.Errorf("observe containers: %v", err)
	}
	a.inUse(list)
	list, left := a.sift(list)
	moves := a.o.Moves.States()
	eff = plan.Still(eff, moves)
	in := a.input(eff, list, now)
	a.health.Watch(eff, in.Seen, now)
	in.Health = a.health.Results()
	eff = plan.Relieve(eff, in)
	in.Work = eff
	if leaving != nil {
		in.Leaving, staying = leaving.reason, ctx
	}
	out := plan.Decide(in)
	observe.Count(out.Statuses, list, a.o.Network.Crowded(), a.o.Servers.Of)
	ofComponents(out.Statuses, eff, back)
	moved(out.Statuses, moves)
	statuses := inFlight(out.Statuses, busy)
	short := observe.Problems(list, now)
	a.sayShort(short)
	a.publish(func(r *Report) {
		r.Containers, r.Problems = plan.Told(statuses, eff), a.problems(back, short)
		if work != nil && leaving == nil {
			r.Planned = work.Revision
		}
	})
	leaving.tell(statuses, busy)
	a.once.Do(func() { a.adopt(list, time.Since(now)) }) // what runs is told of before anything is done: the network may take a while
	a.network(ctx, in, list)
	if a.trying != nil && a.netErr == nil {
		a.trying.admit()
	}
	a.publish(func(r *Report) { r.Problems = a.problems(back, short) })
	started := a.dispatch(staying, steps, append(out.Steps, left...), flying)
	if leaving == nil {
		a.settle(work, out, started)
		if work != nil && a.garbage.Due(now) {
			a.garbage.Collect(a.used(work, confirmed, list))
		}
	}
	if wake = out.Wake; wake.IsZero() || !due.IsZero() && due.Before(wake) {
		wake = due
	}
	return wake, nil
}

// input puts the plan's input together and brings the history up to date with what was observed.
func (a *Applier) input(eff *host.Work, list []container.Observed, now time.Time) plan.Input {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := observe.Containers(list, eff, func(mhz int64) int64 { return cpuMax(mhz, a.o.MHz) })
	for id, s := range seen {
		s = a.mu.history.Saw(s, now)
		if why := a.cut[id]; why != "" && s.Running {
			s.Trouble = strings.TrimPrefix(s.Trouble+"; "+why, "; ")
		}
		seen[id] = s
	}
	a.mu.history.Forget(eff)
	return plan.Input{Work: eff, Seen: seen, Images: observe.Images(eff, a.o.Images.Path, a.mu.history.Failed()),
		History: a.mu.history.Containers(), Now: now}
}

// settle notes the revision that is fully applied.
func (a *Applier) settle(work *host.Work, out plan.Output, started int) {
	if work == nil || !out.Settled || started > 0 || a.netErr != nil {
		return
	}
	a.mu.Lock()
	idle := len(a.mu.busy) == 0 && len(a.mu.fetching) == 0
	a.mu.Unlock()
	if idle {
		a.publish(func(r *Report) { r.Work = work.Revision })
	}
}

// publish changes the report; a change of anything but counters is hinted to the link.
func (a *Applier) publish(f func(*Report)) {
	a.mu.Lock()
	before := a.mu.report
	f(&a.mu.report)
	now := a.mu.report
	a.latest.Store(&now)
	news := tells(before, a.mu.report)
	a.mu.Unlock()
	if news {
		select {
		case a.changed <- struct{}{}:
		default:
		}
	}
}

// sayShort logs which containers ran out of memory: at the first kill, and with the count every now and then.
func (a *Applier) sayShort(short []host.Problem) {
	for _, p := range short {
		if _, tell := a.said.news("memory of "+p.Object, "", time.Now()); tell {
			a.log.Warn("a process was killed", logging.Container, p.CTID, logging.Reason, p.Reason)
		}
	}
}

func (a *Applier) problems(back map[wire.CTID]host.WentBack, short []host.Problem) []host.Problem {
	ps := append(slices.Clone(a.o.Store.Problems()), short...)
	if a.netErr != nil {
		ps = append(ps, host.Problem{Code: "internal", Object: "network", Reason: a.netErr.Error(),
			Next: "it is tried again by itself; see the host's log: hnctl host logs"})
	}
	if p := a.o.Network.Full(); p != nil {
		ps = append(ps, *p)
	}
	for _, r := range a.o.Network.Refused() {
		ps = append(ps, host.Problem{Code: "conflict", Object: host.AddressObject(r.Addr), CTID: r.CTID,
			Reason: fmt.Sprintf("container %d does not have it on this host: %s", r.CTID, r.Why),
			Next:   fmt.Sprintf("give the node another address: hnctl node address list %d", r.CTID)})
	}
	for _, id := range slices.Sorted(maps.Keys(back)) {
		ps = append(ps, host.Problem{Code: "conflict", Object: "container " + id.String(), Reason: back[id].Reason,
			Next: "see what it said last in this host's log, hnctl host logs; then patch again", CTID: id})
	}
	return ps
}

// Collect deletes unused images now.
func (a *Applier) Collect(ctx context.Context) ([]wire.Digest, error) {
	list, err := a.o.Runtime.Observe(ctx)
	if err != nil {
		return nil, err
	}
	work, confirmed := a.o.Store.Work()
	if work == nil {
		return nil, errors.New("no assignment has been seen: nothing is known to be unused")
	}
	return a.o.Images.Collect(a.used(work, confirmed, list))
}

// used are the images that must not be deleted.
func (a *Applier) used(work *host.Work, confirmed map[wire.CTID]host.Container, list []container.Observed) map[wire.Digest]bool {
	var inHand []wire.Digest
	for _, o := range list {
		inHand = append(inHand, o.Spec.Image.Digest)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return garbage.Used(work, confirmed, slices.AppendSeq(inHand, maps.Keys(a.mu.fetching)))
}

// Idle waits until the loop has nothing in flight; for tests and orderly upgrades.
func (a *Applier) Idle(ctx context.Context) bool {
	for {
		a.mu.Lock()
		idle := len(a.mu.busy) == 0 && len(a.mu.fetching) == 0
		a.mu.Unlock()
		if idle {
			return true
		}
		if !run.Wait(ctx, 10*time.Millisecond) {
			return false
		}
	}
}
