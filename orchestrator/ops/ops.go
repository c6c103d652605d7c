// Package ops accepts long work and sees it through.
//
// Owns: the records of environments (what is wanted) and of operations (how far it is), imports of images among them; which operation may
// interrupt which.
// In: what a person asked, checked by the API; the state of the world; what the registry tells of its imports.
// Out: an operation that is accepted (stored together with the want it sets), advanced by facts, and ended: done, failed or cancelled;
// its undo, which makes the spec and want from before it wanted again. What a failed creation left is removed after a week.
// Never: makes nodes or talks to hosts: an operation only watches what converge and the hosts do. Its record is never the only trace of
// work: all follows from the environment's want.
package ops

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
	"hardnode.dev/orchestrator/world"
)

// keepFinal is how many ended operations are kept, of environments and of imports each, and keepFor how long.
const (
	keepFinal = 500
	keepFor   = 7 * 24 * time.Hour
)

// Ops accepts and advances operations.
type Ops struct {
	Store *store.Store
	Fleet *live.Fleet
	World func() world.World
	Log   *slog.Logger
	Now   func() time.Time // nil is time.Now
}

func (o *Ops) now() time.Time {
	if o.Now != nil {
		return o.Now().UTC().Truncate(time.Millisecond)
	}
	return time.Now().UTC().Truncate(time.Millisecond)
}

// Request is what a person asks of an environment.
type Request struct {
	Kind string // env.create, env.start, env.stop, env.delete, env.spread
	Env  wire.EnvName
	Spec *operator.EnvironmentSpec // env.create only
	// Remove: env.create only: if it fails, what it made is removed at once.
	Remove bool
	By     string
	// IfMatch is the revision the environment must have; 0 is any.
	IfMatch wire.Revision
	// Also adds to the transaction (the idempotency key), once the operation has its id.
	Also func(*store.Tx, store.Operation)
}

// Accept stores the want and the operation in one transaction, and returns once that is durable. Errors are Problems.
func (o *Ops) Accept(ctx context.Context, r Request) (operator.Operation, error) {
	k, ok := kinds[r.Kind]
	if !ok {
		panic("BUG: operation kind " + r.Kind)
	}
	raw := make([]byte, 8)
	if _, err := rand.Read(raw); err != nil {
		return operator.Operation{}, fmt.Errorf("make operation id: %v", err)
	}
	now, object := o.now(), "environments/"+string(r.Env)
	op := store.Operation{Env: r.Env, Remove: r.Remove, Operation: operator.Operation{ID: wire.OperationID("op-" + hex.EncodeToString(raw)), Kind: r.Kind, Object: object,
		By: r.By, State: operator.OpPending, Created: now, Updated: now, Steps: newSteps(k, now), Cancel: k.cancel}}
	rev, err := o.Store.Update(ctx, func(tx *store.Tx) error {
		e, exists := store.Envs.Read(tx, string(r.Env))
		rev := store.Envs.Revision(tx.View(), string(r.Env))
		switch {
		case r.Kind == "env.create" && exists:
			return operator.NewProblem(operator.Conflict, object, "the name is taken", "choose another name, or delete that environment first: hnctl env delete "+string(r.Env))
		case r.Kind != "env.create" && !exists:
			return operator.NewProblem(operator.NotFound, object, "there is no such environment", "see hnctl env list")
		case exists && e.System:
			return operator.NewProblem(operator.Denied, object, "it is the platform itself", "its components are changed by the Patcher only")
		case exists && e.Want == store.WantDeleted && r.Kind != "env.delete": // a deletion that ran out of time may be watched again
			return operator.NewProblem(operator.Conflict, object, "it is being deleted", "wait until it is gone: hnctl op list")
		case r.Kind == "env.spread" && e.Want != store.WantRunning:
			return operator.NewProblem(operator.Conflict, object, "it is not to run: there is nothing to move", "start it first: hnctl env start "+string(r.Env))
		case r.IfMatch != 0 && r.IfMatch != rev:
			p := operator.NewProblem(operator.Conflict, object, fmt.Sprintf("it has revision %d now, If-Match says %d", rev, r.IfMatch), "read it again and repeat")
			p.Status = 412
			return p
		}
		op.Deadline = now.Add(o.Fleet.Clocks().Change + patience(k, store.NodesOf.Of(tx.View(), string(r.Env))))
		if err := interrupt(tx, k, e, op, now); err != nil {
			return err
		}
		op.Before = nil // the transaction may run again
		if exists && k.cancel {
			op.Before = &store.Earlier{Spec: e.Spec, Want: e.Want}
		} else if !exists {
			e = store.Environment{Spec: *r.Spec, Created: now, By: r.By}
		}
		if k.want != "" {
			e.Want = k.want
		}
		e.Operation = op.ID
		store.Envs.Put(tx, string(r.Env), e)
		store.Operations.Put(tx, string(op.ID), op)
		if r.Also != nil {
			r.Also(tx, op)
		}
		return nil
	})
	if err != nil {
		return operator.Operation{}, err
	}
	logging.Or(o.Log).Info("accepted", logging.Op, string(op.ID), logging.Step, op.Kind, logging.Env, string(op.Env), logging.Rev, int64(rev))
	return o.get(op.ID)
}

// patience is what an operation that ends nodes has beside its own time: as long as the slowest may take from its stop signal to the kill.
func patience(k kind, nodes iter.Seq[store.Node]) (most time.Duration) {
	if k.want != store.WantStopped && k.want != store.WantDeleted {
		return 0
	}
	for n := range nodes {
		most = max(most, time.Duration(n.Container.Process.StopAfter)*time.Second)
	}
	return most
}

// interrupt ends the operation that holds the environment, or refuses. Reading it makes the commit fail if it changes meanwhile.
func interrupt(tx *store.Tx, k kind, e store.Environment, by store.Operation, now time.Time) error {
	holder, ok := store.Operations.Read(tx, string(e.Operation))
	if e.Operation == "" || !ok || holder.State.Final() {
		return nil
	}
	if !slices.Contains(k.over, holder.Kind) {
		return operator.NewProblem(operator.Conflict, by.Object, fmt.Sprintf("operation %s (%s) is at work on it", holder.ID, holder.Kind), "wait for it: hnctl op watch "+string(holder.ID))
	}
	holder.Steps = slices.Clone(holder.Steps)
	ended := finish(holder, operator.OpCancelled, now, operator.NewProblem(operator.Conflict, by.Object, "interrupted by "+by.Kind, "see operation "+string(by.ID)))
	ended.Updated, ended.Before = now, nil
	store.Operations.Put(tx, string(holder.ID), ended)
	return nil
}

// NoOperation says that there is no such operation.
func NoOperation(id wire.OperationID) *operator.Problem {
	return operator.NewProblem(operator.NotFound, "operations/"+string(id), "there is no such operation", "see hnctl op list")
}

func (o *Ops) get(id wire.OperationID) (operator.Operation, error) {
	op, ok := o.World().Operation(id)
	if !ok {
		return operator.Operation{}, NoOperation(id)
	}
	return op, nil
}

// Cancel ends an operation and undoes it: what was wanted before it is wanted again; an environment that was being created is removed.
func (o *Ops) Cancel(ctx context.Context, id wire.OperationID, by string) (operator.Operation, error) {
	_, err := o.Store.Update(ctx, func(tx *store.Tx) error {
		op, ok := store.Operations.Read(tx, string(id))
		object := "operations/" + string(id)
		switch {
		case !ok:
			return NoOperation(id)
		case op.State.Final():
			return operator.NewProblem(operator.Conflict, object, "it is "+string(op.State)+" already", "")
		case !op.Cancel:
			return operator.NewProblem(operator.Conflict, object, op.Kind+" can't be cancelled", "wait for it: hnctl op watch "+string(id))
		}
		op.Steps = slices.Clone(op.Steps)
		op = finish(op, operator.OpCancelled, o.now(), operator.NewProblem(operator.Conflict, op.Object, "cancelled by "+by, ""))
		o.store(tx, op)
		return nil
	})
	if err != nil {
		return operator.Operation{}, err
	}
	return o.get(id)
}

// store writes an operation and, when it ended without being done, its undo.
func (o *Ops) store(tx *store.Tx, op store.Operation) {
	op.Updated = o.now()
	before := op.Before
	if op.State.Final() {
		op.Before = nil
	}
	store.Operations.Put(tx, string(op.ID), op)
	if !op.State.Final() || op.State == operator.OpDone {
		return
	}
	e, ok := store.Envs.Read(tx, string(op.Env))
	if !ok || e.Operation != op.ID || e.Want == store.WantDeleted {
		return
	}
	store.Envs.Put(tx, string(op.Env), undone(e, op, before))
}

// undone is the environment after an operation that ended without being done. Cancelling makes what was before wanted again, whatever the
// operation was; failing only where the kind says so. A creation that failed stays, marked, unless it was to leave nothing.
func undone(e store.Environment, op store.Operation, before *store.Earlier) store.Environment {
	cancelled := op.State == operator.OpCancelled
	switch {
	case op.Kind == "env.create" && (cancelled || op.Remove):
		e.Want = store.WantDeleted
	case op.Kind == "env.create":
		e.Failed = &store.Failure{Operation: op.ID, At: op.Updated, Reason: reasonOf(op)}
	case before != nil && (cancelled || kinds[op.Kind].undo):
		e.Spec, e.Want = before.Spec, before.Want
	}
	if op.Kind == "env.start" && e.Failed != nil {
		again := *e.Failed
		again.At = op.Updated // somebody is at work on it
		e.Failed = &again
	}
	return e
}

// Run advances all operations at every change and every second, until ctx ends. Operations of an earlier process go on here, with all
// their time before them: what passed without an orchestrator was not theirs.
func (o *Ops) Run(ctx context.Context) error {
	resumed := false
	for {
		_, fleet := o.Fleet.Snapshot()
		stored := o.Store.View().Over()
		var err error
		if !resumed {
			err = o.resume(ctx)
			resumed = err == nil
		}
		if resumed {
			err = o.Step(ctx)
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
		case <-fleet:
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
			if !ok || op.State.Final() || op.Kind == importKind {
				continue
			}
			deadline := o.now().Add(o.Fleet.Clocks().Change + patience(kinds[op.Kind], store.NodesOf.Of(tx.View(), string(op.Env))))
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

// Step advances every operation once.
func (o *Ops) Step(ctx context.Context) error {
	w := o.World()
	now := o.now()
	next := map[wire.OperationID]store.Operation{}
	var ended, imports []store.Operation
	for _, op := range store.Operations.All(w.View) {
		switch {
		case op.State.Final() && op.Kind == importKind:
			imports = append(imports, op)
			continue
		case op.State.Final():
			ended = append(ended, op)
			continue
		case op.Kind == importKind: // Imported and Silent end it
			continue
		}
		if a := Advance(op, facts(w, op, now)); a.State != op.State || a.Progress != op.Progress || !slices.Equal(a.Steps, op.Steps) {
			next[op.ID] = a
		}
	}
	if err := o.failures(ctx, w, now); err != nil {
		return err
	}
	old := append(expired(ended, now), expired(imports, now)...) // many pushes don't push what environments did out
	if len(next) == 0 && len(old) == 0 {
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
		return err
	}
	for _, op := range next {
		if op.State.Final() {
			logging.Or(o.Log).Info("operation "+string(op.State), logging.Op, string(op.ID), logging.Step, op.Kind, logging.Env, string(op.Env),
				logging.Took, now.Sub(op.Created), logging.Reason, reasonOf(op))
		}
	}
	return nil
}

func reasonOf(op store.Operation) string {
	if op.Problem == nil {
		return ""
	}
	return op.Problem.Reason
}

func facts(w world.World, op store.Operation, now time.Time) Facts {
	f := Facts{Now: now}
	if e, ok := store.Envs.Get(w.View, string(op.Env)); ok {
		f.Env = &e
		ef := w.Facts(e)
		f.Missing, f.Why, f.Uneven = ef.Missing, ef.Why, w.Uneven[op.Env]
	}
	for n := range store.NodesOf.Of(w.View, string(op.Env)) {
		f.Nodes = append(f.Nodes, nodeOf(w, n))
	}
	return f
}

// nodeOf is a node without what its reason counts down: that would write the operation anew each second.
func nodeOf(w world.World, n store.Node) Node {
	out := Node{Node: w.NodeOf(n), Delivered: w.Delivered(n), Answered: w.Answered(n), Away: w.Away(n)}
	out.Reason, _, _ = strings.Cut(out.Reason, host.NextStart)
	return out
}

// expired are the ended operations that are no longer kept.
func expired(ended []store.Operation, now time.Time) []store.Operation {
	slices.SortFunc(ended, func(a, b store.Operation) int { return b.Updated.Compare(a.Updated) })
	var old []store.Operation
	for i, op := range ended {
		if i >= keepFinal || now.Sub(op.Updated) > keepFor {
			old = append(old, op)
		}
	}
	return old
}
