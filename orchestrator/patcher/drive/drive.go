// Package drive carries rollouts out.
//
// Owns: the loop: look at the platform, let package rollout decide, keep what it decided, then do it.
// In: what people ask (plan, start, pause, resume, abort); the platform as it is.
// Out: a rollout on the shelf that is true before anything is done; deeds; watches of what nodes lose.
// Never: decides what is next, or holds anything that a kill would lose and that matters.
package drive

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/patcher/platform"
	"hardnode.dev/orchestrator/patcher/rollout"
	"hardnode.dev/orchestrator/patcher/shelf"
)

// Platform is the cluster.
type Platform interface {
	Release(ctx context.Context, version string) (operator.Release, error)
	Everything(ctx context.Context, release string) (rollout.Seen, error)
	Look(ctx context.Context, watched []wire.HostID, drains map[wire.HostID]wire.OperationID) (rollout.Seen, error)
	Do(ctx context.Context, a rollout.Action, o platform.Order) (wire.OperationID, error)
}

// Clocks are how often it is looked: while something happens, and else; and how old what is kept on disk may be when nothing but time
// has passed.
type Clocks struct{ Soon, Later, Keep time.Duration }

// Usual are the clocks of a cluster.
var Usual = Clocks{Soon: 2 * time.Second, Later: 10 * time.Second, Keep: 10 * time.Second}

// lookLimit is how long a look at the whole platform may last.
const lookLimit = 2 * time.Minute

// Driver is the one who carries rollouts out. Make it with New.
type Driver struct {
	Shelf    *shelf.Shelf
	Platform Platform
	Rules    rollout.Rules
	Clocks   Clocks
	Log      *slog.Logger

	hint chan struct{} // look now
	// mu is held while a rollout is read, changed and kept: what people ask and what the loop decides don't overwrite each other.
	mu struct {
		sync.Mutex
		kept time.Time // when the active rollout was written last
	}
	watches map[wire.HostID]*watched // of the active rollout; the loop's only
	away    bool                     // the last look failed; the loop's only
}

type watched struct {
	rollout.Watch
	kept rollout.Watch
	at   time.Time
}

// New is a driver of what is on the shelf.
func New(s *shelf.Shelf, p Platform, rules rollout.Rules, c Clocks, log *slog.Logger) *Driver {
	return &Driver{Shelf: s, Platform: p, Rules: rules, Clocks: c, Log: logging.Or(log), hint: make(chan struct{}, 1),
		watches: map[wire.HostID]*watched{}}
}

// Plan says what a rollout would do.
func (d *Driver) Plan(ctx context.Context, want operator.NewRollout) (operator.RolloutPlan, error) {
	release, err := d.Platform.Release(ctx, want.Release)
	if err != nil {
		return operator.RolloutPlan{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	seen, err := d.Platform.Everything(ctx, want.Release)
	if err != nil {
		return operator.RolloutPlan{}, fmt.Errorf("look at the hosts: %w", err)
	}
	plan, problem := rollout.PlanOf(release, seen, want.Policy, d.earlier(), d.Rules)
	if problem != nil {
		return plan, problem
	}
	return plan, nil
}

// earlier is how long each host was away at its last visit.
func (d *Driver) earlier() rollout.Earlier {
	out := rollout.Earlier{}
	for _, r := range d.Shelf.List() { // the newest first
		for _, v := range r.Visits {
			if _, ok := out[v.Host]; !ok && v.Component == "" && v.State == operator.VisitDone && v.TookSec > 0 {
				out[v.Host] = v.TookSec
			}
		}
	}
	return out
}

// Start begins a rollout. There is one at a time.
func (d *Driver) Start(ctx context.Context, want operator.NewRollout, by string) (operator.Rollout, error) {
	if p := d.busy(); p != nil {
		return operator.Rollout{}, p
	}
	plan, err := d.Plan(ctx, want)
	if err != nil {
		return operator.Rollout{}, err
	}
	var id [8]byte
	rand.Read(id[:])
	r, p := rollout.Start(plan, "ro-"+hex.EncodeToString(id[:]), by, time.Now().UTC())
	if p != nil {
		return operator.Rollout{}, p
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if p := d.busy(); p != nil { // another start was faster
		return operator.Rollout{}, p
	}
	if err := d.Shelf.Put(r); err != nil {
		return operator.Rollout{}, err
	}
	d.Log.Info("a rollout begins", "rollout", r.ID, "release", r.Release, "by", by, "hosts", len(r.Visits), "cohorts", r.Cohorts)
	d.wake()
	return r, nil
}

func (d *Driver) busy() *operator.Problem {
	r, ok := d.Shelf.Active()
	if !ok {
		return nil
	}
	return operator.NewProblem(operator.Conflict, "rollouts/"+r.ID, fmt.Sprintf("the rollout of release %s is %s, and there is one "+
		"at a time", r.Release, r.State), "wait for its end: hnctl patch status; or end it: hnctl patch abort "+r.ID)
}

// Pause, Resume and Abort change a rollout, as a person asks.
func (d *Driver) Pause(id, by string) (operator.Rollout, error) {
	return d.change(id, by, rollout.Pause)
}

// Resume is the way back from Pause.
func (d *Driver) Resume(id, by string) (operator.Rollout, error) {
	return d.change(id, by, rollout.Resume)
}

// Abort ends it.
func (d *Driver) Abort(id, by string) (operator.Rollout, error) {
	return d.change(id, by, func(r operator.Rollout, by string, now time.Time) (operator.Rollout, *operator.Problem) {
		return rollout.Abort(r, by, d.Rules, now)
	})
}

func (d *Driver) change(id, by string,
	f func(operator.Rollout, string, time.Time) (operator.Rollout, *operator.Problem)) (operator.Rollout, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r, p := d.Shelf.Get(id)
	if p != nil {
		return r, p
	}
	if r, p = f(r, by, time.Now().UTC()); p != nil {
		return r, p
	}
	if err := d.Shelf.Put(r); err != nil {
		return r, err
	}
	d.Log.Info("a rollout is changed", "rollout", id, "state", r.State, logging.Reason, r.Reason)
	d.wake()
	return r, nil
}

func (d *Driver) wake() {
	select {
	case d.hint <- struct{}{}:
	default:
	}
}

// Report is what a rollout cost so far.
func (d *Driver) Report(id string) (operator.RolloutReport, error) {
	r, p := d.Shelf.Get(id)
	if p != nil {
		return operator.RolloutReport{}, p
	}
	out := operator.RolloutReport{Rollout: r.ID, Release: r.Release, State: r.State, Hosts: []operator.HostOutage{},
		Nodes: []operator.NodeOutage{}}
	for _, v := range r.Visits {
		if v.State != operator.VisitPending {
			out.Hosts = append(out.Hosts, operator.HostOutage{Host: v.Host, Name: v.Name, State: v.State, ExpectSec: v.ExpectSec,
				TookSec: v.TookSec})
		}
	}
	watches, err := d.Shelf.Watches(id)
	if err != nil {
		d.Log.Warn("some of a report can't be read", "rollout", id, logging.Err, err)
	}
	now := time.Now().UTC()
	if !r.Ended.IsZero() {
		now = r.Ended
	}
	for _, w := range watches {
		for _, o := range rollout.Outages(w, now) {
			out.Nodes = append(out.Nodes, o)
			out.Total += o.Seconds
			out.Longest = max(out.Longest, o.Seconds)
		}
	}
	return out, nil
}

// Run carries out what is on the shelf until ctx ends.
func (d *Driver) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		wait := time.Hour
		if r, ok := d.Shelf.Active(); ok {
			wait = d.Clocks.Later
			if _, soon := rollout.Watched(r); soon {
				wait = d.Clocks.Soon
			}
			if err := d.turn(ctx, r); err != nil && ctx.Err() == nil {
				d.trouble(err)
				wait = d.Clocks.Soon
			}
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-d.hint:
		case <-ctx.Done():
		}
		t.Stop()
	}
	return nil
}

// trouble says once that the platform can't be seen.
func (d *Driver) trouble(err error) {
	if !d.away {
		d.away = true
		d.Log.Warn("the platform can't be seen: the rollout waits, its deadlines too", logging.Err, err)
	}
}

// turn is one look and what follows from it.
func (d *Driver) turn(ctx context.Context, r operator.Rollout) error {
	hosts, _ := rollout.Watched(r)
	drains := map[wire.HostID]wire.OperationID{}
	for _, v := range r.Visits {
		drains[v.Host] = v.Operation
	}
	limited, cancel := context.WithTimeout(ctx, lookLimit)
	seen, err := d.Platform.Look(limited, hosts, drains)
	cancel()
	if err != nil {
		return err
	}
	if d.away {
		d.away = false
		d.Log.Info("the platform is seen again")
	}
	r, do, err := d.decide(r.ID, seen)
	if err != nil {
		return err
	}
	d.watch(r, seen)
	order := platform.Order{Rollout: r.ID, Release: r.Release, BootSec: r.Policy.BootSec,
		ComponentSec: rollout.ComponentTime(r.Policy)}
	for _, a := range do {
		if err := d.act(ctx, r.ID, a, order); err != nil {
			return err
		}
	}
	if len(do) > 0 {
		run.Wait(ctx, d.Clocks.Soon/4) // what was asked for is soon to be seen
		d.wake()
	}
	return nil
}

// decide takes a rollout on by what was seen, and keeps it.
func (d *Driver) decide(id string, seen rollout.Seen) (operator.Rollout, []rollout.Action, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	was, p := d.Shelf.Get(id) // a person may have changed it during the look
	if p != nil {
		return was, nil, p
	}
	r, do := rollout.Next(was, seen, d.Rules)
	d.tell(was, r)
	if !changed(was, r) && seen.At.Sub(d.mu.kept).Abs() < d.Clocks.Keep {
		d.Shelf.Hold(r)
		return r, do, nil
	}
	if err := d.Shelf.Put(r); err != nil {
		return was, nil, err
	}
	d.mu.kept = seen.At
	return r, do, nil
}

// changed tells whether more than time has passed.
func changed(a, b operator.Rollout) bool {
	bare := func(r operator.Rollout) operator.Rollout {
		r.Seen, r.Updated, r.LeftSec, r.Reason = time.Time{}, time.Time{}, 0, ""
		visits := make([]operator.RolloutVisit, len(r.Visits))
		for i, v := range r.Visits {
			v.Detail = ""
			visits[i] = v
		}
		r.Visits = visits
		return r
	}
	return !reflect.DeepEqual(bare(a), bare(b))
}

// tell logs what has changed.
func (d *Driver) tell(was, r operator.Rollout) {
	for i, v := range r.Visits {
		if i < len(was.Visits) && (was.Visits[i].State != v.State || was.Visits[i].Step != v.Step) {
			d.Log.Info("a visit goes on", "rollout", r.ID, logging.Host, v.Name, "state", v.State, logging.Step, v.Step,
				logging.Reason, v.Reason)
		}
	}
	if was.State != r.State || was.Cohort != r.Cohort {
		d.Log.Info("a rollout goes on", "rollout", r.ID, "state", r.State, "cohort", r.Cohort, logging.Reason, r.Reason)
	}
}

// act does one deed. Only a shelf that can't be written is an error: what the platform can't do now is asked again.
func (d *Driver) act(ctx context.Context, id string, a rollout.Action, o platform.Order) error {
	op, err := d.Platform.Do(ctx, a, o)
	switch {
	case err == nil && op == "":
		d.Log.Info("done", logging.Step, a.Do, logging.Host, a.Name, logging.Reason, a.Reason)
		return nil
	case err != nil && !platform.Final(err):
		d.Log.Warn("not done: asked again", logging.Step, a.Do, logging.Host, a.Name, logging.Err, err)
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	r, p := d.Shelf.Get(id)
	if p != nil {
		return p
	}
	if err != nil {
		d.Log.Warn("refused", logging.Step, a.Do, logging.Host, a.Name, logging.Err, err)
		r = rollout.Refused(r, a, err.Error(), d.Rules, time.Now().UTC())
	} else {
		d.Log.Info("accepted", logging.Step, a.Do, logging.Host, a.Name, logging.Op, op)
		r = rollout.Drained(r, a.Host, op)
	}
	return d.Shelf.Put(r)
}
