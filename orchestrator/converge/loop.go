package converge

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/entitle"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
)

// Loop carries out plans: at every change of the store or the hosts, and every few seconds in case a change went unseen.
type Loop struct {
	Store   *store.Store
	Fleet   *live.Fleet
	License func() entitle.License
	Log     *slog.Logger

	last atomic.Pointer[Plan]
}

// Last is the last plan made: its Stuck and Alarms hold until the next one. Nil before the first.
func (l *Loop) Last() *Plan { return l.last.Load() }

// Run converges until ctx ends.
func (l *Loop) Run(ctx context.Context) error {
	for {
		_, fleet := l.Fleet.Snapshot()
		stored := l.Store.View().Over()
		if err := l.Once(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			logging.Or(l.Log).Error("plan can't be carried out", logging.Err, err)
		}
		t := time.NewTimer(2 * time.Second)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-fleet:
		case <-stored:
		case <-t.C:
		}
		t.Stop()
		if !run.Wait(ctx, 10*time.Millisecond) {
			return nil
		}
	}
}

// Input gathers everything a plan follows from.
func (l *Loop) Input(v *store.View) Input {
	snapshot, _ := l.Fleet.Snapshot()
	return Gather(v, snapshot, l.License(), l.Fleet.Clocks(), time.Now().UTC().Truncate(time.Millisecond))
}

// Gather puts an Input together from a view of the store and the rest.
func Gather(v *store.View, snapshot live.Snapshot, l entitle.License, clocks live.Clocks, now time.Time) Input {
	in := Input{Now: now, Envs: store.Envs.All(v), Nodes: store.Nodes.All(v), Hosts: store.Hosts.All(v), Live: snapshot, License: l, Clocks: clocks,
		Templates: env.Templates{}, Works: map[wire.HostID]host.Work{}, Cursors: map[wire.HostID]int{}}
	in.Cluster, _ = store.Clusters.Get(v, store.Only)
	in.Spreading = map[wire.EnvName]bool{}
	for _, e := range in.Envs {
		if op, ok := store.Operations.Get(v, string(e.Operation)); ok && op.Kind == "env.spread" && !op.State.Final() {
			in.Spreading[e.Spec.Name] = true
		}
	}
	in.Gossip, _ = store.GossipKeys.Get(v, store.Only)
	in.Peers, _ = store.PeersDoc.Get(v, store.Only)
	n, _ := store.Numbers.Get(v, "ctid")
	in.NextCTID = wire.CTID(n.Next)
	for _, t := range store.Templates.All(v) {
		in.Templates[t.Name] = t
	}
	for _, h := range in.Hosts {
		if c, ok := store.Cursors.Get(v, string(h.ID)); ok {
			in.Cursors[h.ID] = c.Last
		}
		if w, ok := store.Works.Get(v, string(h.ID)); ok {
			in.Works[h.ID] = w
		}
	}
	return in
}

// Once makes one plan and carries it out in one transaction.
func (l *Loop) Once(ctx context.Context) error {
	var plan Plan
	_, err := l.Store.Update(ctx, func(tx *store.Tx) error {
		plan = Make(l.Input(tx.View()))
		guard(tx, plan)
		for _, n := range plan.Nodes {
			store.Nodes.Put(tx, n.CTID.String(), n)
		}
		for _, id := range plan.DeleteNodes {
			store.Nodes.Delete(tx, id.String())
		}
		for _, name := range plan.DeleteEnvs {
			store.Envs.Delete(tx, string(name))
		}
		for id, w := range plan.Works {
			store.Works.Put(tx, string(id), w)
		}
		for _, id := range plan.DeleteWorks {
			store.Works.Delete(tx, string(id))
			store.Cursors.Delete(tx, string(id))
		}
		if plan.Peers != nil {
			store.PeersDoc.Put(tx, store.Only, *plan.Peers)
		}
		if plan.Gossip != nil {
			store.GossipKeys.Read(tx, store.Only)
			store.GossipKeys.Put(tx, store.Only, *plan.Gossip)
		}
		if plan.NextCTID != 0 {
			store.Numbers.Put(tx, "ctid", store.Number{Next: int64(plan.NextCTID)})
		}
		for id, last := range plan.Cursors {
			store.Cursors.Put(tx, string(id), store.Cursor{Last: last})
		}
		for _, op := range plan.Operations {
			store.Operations.Put(tx, string(op.ID), op)
		}
		return nil
	})
	if err != nil {
		return err
	}
	l.last.Store(&plan)
	log := logging.Or(l.Log)
	for _, s := range plan.Steps {
		log.Info(s.What, logging.Env, string(s.Env), logging.Host, string(s.Host), logging.Reason, s.Reason)
	}
	return nil
}

// guard makes the commit fail when an environment the plan acts on has changed since the plan was made.
func guard(tx *store.Tx, p Plan) {
	names := map[wire.EnvName]bool{}
	for _, n := range p.Nodes {
		names[n.Env] = true
	}
	for _, name := range slices.Collect(maps.Keys(names)) {
		store.Envs.Read(tx, string(name))
	}
}
