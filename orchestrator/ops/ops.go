// Package ops accepts long work and sees it through.
//
// Owns: the records of environments (what is wanted), of operations (how far it is), imports of images among them, of cordons, and of
// orders to leave a machine; which operation may interrupt which.
// In: what a person asked, checked by the API; the state of the world; what the registry tells of its imports.
// Out: an operation that is accepted (stored together with the want it sets), advanced by facts, and ended: done, failed or cancelled;
// its undo, which makes the spec and want from before it wanted again. What a failed creation left is removed after a week.
// Never: makes nodes or talks to hosts: an operation only watches what converge and the hosts do. Its record is never the only trace of
// work: all follows from the environment's want.
package ops

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/ops/progress"
	"hardnode.dev/orchestrator/sealed"
	"hardnode.dev/orchestrator/store"
	"hardnode.dev/orchestrator/world"
)

// Records is the store, as operations need it.
type Records interface {
	View() *store.View
	Update(context.Context, func(*store.Tx) error) (wire.Revision, error)
}

// Ops accepts and advances operations.
type Ops struct {
	Store Records
	Fleet *live.Fleet
	// Planned adds to a world what the last plan found; nil: there is no plan.
	Planned func(world.World) world.World
	Log     *slog.Logger
	Now     func() time.Time // nil is time.Now
	// Of an environment that becomes another account's: Secrets seals its variables as that account's, Sites what it is served under, and
	// Notice writes to the owners of both.
	Secrets sealed.Variables
	Sites   func(tx *store.Tx, e store.Environment, to wire.Account) error
	Notice  func(tx *store.Tx, owner wire.Account, subject, text string) error

	stepping sync.Mutex // held by a step: one at a time
	looks    looks      // by a step
	swept    struct {   // likewise
		at   wire.Revision
		when time.Time
	}
}

func (o *Ops) now() time.Time {
	if o.Now != nil {
		return o.Now().UTC().Truncate(time.Millisecond)
	}
	return time.Now().UTC().Truncate(time.Millisecond)
}

// Run advances operations until ctx ends: at every change those that it may be about, and all of them every second, or more seldom where
// that takes long. Operations of an earlier process go on here, with all their time before them: what passed without an orchestrator was
// not theirs.
func (o *Ops) Run(ctx context.Context) error {
	resumed := false
	var all time.Time // when all are looked at next
	for {
		_, _, moved := o.Fleet.Since(math.MaxInt64)
		stored := o.Store.View().Over()
		var err error
		if !resumed {
			err = o.resume(ctx)
			resumed = err == nil
		}
		if began := time.Now(); resumed && began.Before(all) {
			err = o.step(ctx, false)
		} else if resumed {
			err = o.step(ctx, true)
			all = time.Now().Add(max(time.Second, restAfter*time.Since(began)))
		}
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			logging.Or(o.Log).Error("operations can't be advanced", logging.Err, err)
		}
		t := time.NewTimer(time.Second)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-moved:
		case <-stored:
		case <-t.C:
		}
		t.Stop()
		// Reports of many hosts come in bursts: look once at what they left.
		if !run.Wait(ctx, 20*time.Millisecond) {
			return nil
		}
	}
}

// resume gives every unfinished operation its time anew.
func (o *Ops) resume(ctx context.Context) error {
	_, err := o.Store.Update(ctx, func(tx *store.Tx) error {
		for _, seen := range store.Operations.All(o.Store.View()) {
			op, ok := store.Operations.Read(tx, string(seen.ID))
			if !ok || op.State.Final() || op.Kind == progress.Import {
				continue
			}
			k, _ := progress.Of(op.Kind)
			e, _ := store.Envs.Read(tx, string(op.Env))
			deadline := o.now().Add(o.patience(tx.View(), k, op.Env, nil, e.Spec))
			if op.Host != "" {
				deadline = o.now().Add(patience(tx.View(), op.Host, o.Fleet.Clocks()))
			}
			if op.Deadline.Before(deadline) {
				op.Deadline = deadline
				store.Operations.Put(tx, string(op.ID), op)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("resume operations: %w", err)
	}
	return nil
}

// restAfter is how many times as long as looking at all operations took nothing makes that necessary again: it is a twentieth of one CPU
// at most, however many there are.
const restAfter = 19

// looks is which environments are to be looked at: each operation is one's.
type looks struct {
	world.Followed
	heard live.Version          // of the hosts, up to which it follows
	due   map[wire.EnvName]bool // found, and not yet looked at with success
}

// follow comes up to now, and gives the world that is looked at.
func (o *Ops) follow() world.World {
	if o.looks.due == nil {
		o.looks.due = map[wire.EnvName]bool{}
	}
	v := o.Store.View()
	moves, heard, _ := o.Fleet.Since(o.looks.heard)
	o.looks.heard = heard
	maps.Copy(o.looks.due, o.looks.Follow(v, moves))
	w := o.looks.World()
	w.Now = o.now()
	if o.Planned != nil {
		w = o.Planned(w)
	}
	return w
}

// Step advances every operation once. Steps asked for at the same time are taken one after the other.
func (o *Ops) Step(ctx context.Context) error { return o.step(ctx, true) }

// step advances the operations whose environments are due, or all.
func (o *Ops) step(ctx context.Context, all bool) error {
	o.stepping.Lock()
	defer o.stepping.Unlock()
	w := o.follow()
	now := w.Now
	next := map[wire.OperationID]store.Operation{}
	for op := range store.OperationsIn.Of(w.View, store.Unended) {
		if op.Kind == progress.Import || !all && op.Host == "" && !o.looks.due[op.Env] { // Imported and Silent end an import
			continue
		}
		if a := progress.Advance(op, o.facts(w, op, now)); a.State != op.State || a.Progress != op.Progress ||
			!slices.Equal(a.Steps, op.Steps) || a.Cancel != op.Cancel || a.Settled != op.Settled {
			next[op.ID] = a
		}
	}
	if err := errors.Join(o.failures(ctx, w, now, all), o.trashOver(ctx, w, now), o.returned(ctx, w, now)); err != nil {
		return err
	}
	var old []store.Operation
	if all {
		old = o.expired(w.View, now)
	}
	if len(next) == 0 && len(old) == 0 {
		clear(o.looks.due)
		return nil
	}
	_, err := o.Store.Update(ctx, func(tx *store.Tx) error {
		for id, op := range next {
			if was, ok := store.Operations.Read(tx, string(id)); ok && !was.State.Final() {
				o.store(tx, op)
			}
		}
		for _, op := range old {
			store.Operations.Delete(tx, string(op.ID))
		}
		return nil
	})
	if err != nil {
		o.swept.at = 0 // they are looked for again
		return err
	}
	clear(o.looks.due)
	for _, op := range next {
		if op.State.Final() {
			logging.Or(o.Log).Info("operation "+string(op.State), logging.Op, string(op.ID), logging.Step, op.Kind,
				logging.Env, string(op.Env), logging.Took, now.Sub(op.Created), logging.Reason, progress.ReasonOf(op))
		}
	}
	return nil
}

// expired are the ended operations that are no longer kept. They are looked for when operations have changed, and once a minute.
func (o *Ops) expired(v *store.View, now time.Time) []store.Operation {
	changes, ok := v.Since(o.swept.at)
	same := !slices.ContainsFunc(changes, func(c store.Change) bool { return c.Kind == store.Operations.Kind() })
	o.swept.at = v.Revision()
	if ok && same && now.Sub(o.swept.when).Abs() < time.Minute {
		return nil
	}
	o.swept.when = now
	var ended, imports []store.Operation
	for op := range store.OperationsIn.Of(v, store.Ended) {
		if op.Kind == progress.Import {
			imports = append(imports, op)
		} else {
			ended = append(ended, op)
		}
	}
	// Apart: many pushes don't push what environments did out.
	return append(progress.Expired(ended, now), progress.Expired(imports, now)...)
}

func (o *Ops) facts(w world.World, op store.Operation, now time.Time) progress.Facts {
	if op.Host != "" {
		return emptying(w, op, now)
	}
	f := progress.Facts{Now: now}
	if e, ok := store.Envs.Get(w.View, string(op.Env)); ok {
		f.Env = &e
		ef := w.Facts(e)
		f.Missing, f.Why, f.Uneven = ef.Missing, ef.Why, w.Uneven[op.Env]
	}
	f.Nodes = nodesOf(w, op.Env)
	if op.Kind == progress.Edit && f.Env != nil {
		edited(w, f, o.Fleet.Clocks().Change)
	}
	if op.Kind == progress.Restart && f.Env != nil {
		f = restarted(w, op, f, o.Fleet.Clocks().Change)
	}
	if op.Kind == progress.Move {
		f = moved(w, op, f)
	}
	return f
}

func nodesOf(w world.World, name wire.EnvName) (out []progress.Node) {
	for n := range store.NodesOf.Of(w.View, string(name)) {
		out = append(out, nodeOf(w, n))
	}
	return out
}

// nodeOf is a node without the time of its next start: that would write the operation anew for each.
func nodeOf(w world.World, n store.Node) progress.Node {
	out := progress.Node{Node: w.NodeOf(n), Delivered: w.Delivered(n), Answered: w.Answered(n), Away: w.Away(n)}
	out.NextStart = time.Time{}
	return out
}
