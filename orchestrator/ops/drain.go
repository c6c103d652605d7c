package ops

import (
	"context"
	"fmt"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/ops/progress"
	"hardnode.dev/orchestrator/store"
	"hardnode.dev/orchestrator/world"
)

// DrainRequest is that a person wants a host emptied of users' nodes.
type DrainRequest struct {
	Host wire.HostID
	operator.DrainHost
	NoMove bool // nodes with volumes stay, and are stopped
	By     string
	// Also adds to the transaction (the idempotency key), once the operation has its id.
	Also func(*store.Tx, store.Operation)
}

// Drain cordons a host and has its nodes leave it, and returns once that is durable. Errors are Problems.
func (o *Ops) Drain(ctx context.Context, r DrainRequest) (operator.Operation, error) {
	k, _ := progress.Of(progress.Drain)
	id, err := newID()
	if err != nil {
		return operator.Operation{}, err
	}
	now := o.now()
	op := store.Operation{Host: r.Host, Operation: operator.Operation{ID: id, Kind: progress.Drain, By: r.By, Account: wire.AdminAccount,
		State: operator.OpPending, Created: now, Updated: now, Steps: k.Steps(now), Cancel: k.Cancel()}}
	name, err := o.onHost(ctx, r.Host, func(tx *store.Tx, h store.Host) error {
		op.Object, op.Nodes, op.Cordon = "hosts/"+h.Name, nil, nil // the transaction may run again
		c, cordoned := store.Cordons.Read(tx, string(r.Host))
		if p := progress.DrainRefusal(h, holder(tx, c), op.Object); p != nil {
			return p
		}
		if cordoned {
			before := c
			op.Cordon = &before
		} else {
			c.At = now
		}
		for n := range store.NodesOn.Of(tx.View(), string(r.Host)) {
			if !n.Gone && n.Env != env.System {
				op.Nodes = append(op.Nodes, n.CTID)
			}
		}
		op.Deadline = now.Add(patience(tx.View(), r.Host, o.Fleet.Clocks()))
		if c.By, c.Drain = r.By, (&store.Drain{Operation: op.ID, Stop: r.Stop, NoMove: r.NoMove}); r.Reason != "" || !cordoned {
			c.Reason = r.Reason
		}
		store.Cordons.Put(tx, string(r.Host), c)
		store.Operations.Put(tx, string(op.ID), op)
		if r.Also != nil {
			r.Also(tx, op)
		}
		return nil
	})
	if err != nil {
		return operator.Operation{}, err
	}
	logging.Or(o.Log).Info("accepted", logging.Op, string(op.ID), logging.Step, op.Kind, logging.Host, name, logging.Reason, r.Reason)
	return o.get(op.ID)
}

// holder is the operation that holds a host, nil if none does. Reading it makes the commit fail if it changes meanwhile.
func holder(tx *store.Tx, c store.Cordon) *store.Operation {
	if c.Drain == nil {
		return nil
	}
	op, there := store.Operations.Read(tx, string(c.Drain.Operation))
	if !there || op.State.Final() {
		return nil
	}
	return &op
}

// patience is how long emptying a host may take: of a layer one node leaves after the other, and what is stopped has its time.
func patience(v *store.View, id wire.HostID, c live.Clocks) time.Duration {
	of, most, ends := map[string]int{}, 0, time.Duration(0)
	for n := range store.NodesOn.Of(v, string(id)) {
		if !n.Gone && n.Env != env.System {
			layer := string(n.Env) + " " + string(n.Layer)
			of[layer]++
			most = max(most, of[layer])
			ends = max(ends, time.Duration(n.Container.Process.StopAfter)*time.Second)
		}
	}
	return c.Change + time.Duration(most)*c.Replace + ends
}

// emptying is what the progress of a drain follows from.
func emptying(w world.World, op store.Operation, now time.Time) progress.Facts {
	f := progress.Facts{Now: now}
	if _, there := store.Hosts.Get(w.View, string(op.Host)); !there {
		return f
	}
	f.Cordon = store.Cordons.Find(w.View, string(op.Host))
	for n := range store.NodesOn.Of(w.View, string(op.Host)) {
		if n.Env == env.System {
			continue
		}
		out := nodeOf(w, n)
		out.Why = w.Stuck[n.Env]
		for o := range store.NodesOf.Of(w.View, string(n.Env)) {
			if o.Replaces == n.CTID && !o.Gone {
				out.Why = nodeOf(w, o).What() + ", and takes its place"
			}
		}
		if n.Moving != nil {
			if move := store.Operations.Find(w.View, string(n.Moving.Operation)); move != nil && !move.State.Final() {
				to, _ := store.Hosts.Get(w.View, string(n.Moving.Other))
				out.Until, out.Why = move.Deadline, fmt.Sprintf("node %d moves to %s: operation %s", n.CTID, to.Name, move.ID)
			}
		}
		if e := store.Envs.Find(w.View, string(n.Env)); e != nil {
			out.Wanted = e.Runs()
		}
		f.Nodes = append(f.Nodes, out)
	}
	return f
}

// endDrain writes what becomes of a host's cordon when its drain ended.
func endDrain(tx *store.Tx, op store.Operation, before *store.Cordon) {
	c, there := store.Cordons.Read(tx, string(op.Host))
	if !there || c.Drain == nil || c.Drain.Operation != op.ID {
		return
	}
	if next := progress.AfterDrain(c, op, before); next != nil {
		store.Cordons.Put(tx, string(op.Host), *next)
	} else {
		store.Cordons.Delete(tx, string(op.Host))
	}
}
