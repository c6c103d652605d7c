package world

import (
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
)

// follower finds the environments that may be others than before, so that what is kept of each costs what changed. The zero value knows
// nothing.
//
// What it finds is enough for what follows from an environment's record, its nodes, its names, the operation that holds it, the cluster's
// record, and what decisions read of the hosts that its nodes are on (live.Move): for states, not for reasons and figures.
type follower struct {
	view    *store.View
	live    live.Snapshot
	holders map[wire.OperationID]wire.EnvName // by an environment's last operation
	looked  int                               // environments that the last follow found
}

// follow comes up to v, and to the hosts that moved since the follow before; the first one needs all of them (live.Fleet.Since 0). Found
// are the names of environments that may have come, gone or changed, and those that nodes name though there is no such environment.
func (f *follower) follow(v *store.View, moves []live.Move) (found map[wire.EnvName]bool) {
	if f.view == nil {
		f.live, f.holders = live.Snapshot{}, map[wire.OperationID]wire.EnvName{}
	}
	was := f.view
	f.view, found = v, map[wire.EnvName]bool{}
	all := was == nil
	if !all {
		changes, ok := v.Since(was.Revision())
		all = !ok
		for _, c := range changes {
			all = f.touch(was, c, found) || all
		}
	}
	for _, m := range moves {
		before := f.live[m.ID].Report
		moved := f.move(m)
		for n := range store.NodesOn.Of(v, string(m.ID)) {
			if moved(n.CTID) || answered(v, before, m.Status.Report, n) {
				found[n.Env] = true
			}
		}
	}
	if all {
		clear(f.holders)
		every(was, found)
		every(v, found)
	}
	for name := range found {
		if e := store.Envs.Find(v, string(name)); e != nil && e.Operation != "" {
			f.holders[e.Operation] = name
		}
	}
	f.looked = len(found)
	return found
}

// move takes in how a host is now, and tells which of the containers on it may be others than before: what of them states follow from.
func (f *follower) move(m live.Move) (moved func(wire.CTID) bool) {
	old, had := f.live[m.ID]
	if m.Gone {
		delete(f.live, m.ID)
	} else {
		f.live[m.ID] = m.Status
	}
	if m.Gone || !had || old.State.State != m.Status.State.State || old.Loss.Lost != m.Status.Loss.Lost ||
		old.Report == nil || m.Status.Report == nil {
		return func(wire.CTID) bool { return true }
	}
	was, is := map[wire.CTID]host.ContainerStatus{}, map[wire.CTID]host.ContainerStatus{}
	for _, c := range old.Report.Containers {
		was[c.CTID] = c
	}
	for _, c := range m.Status.Report.Containers {
		is[c.CTID] = c
	}
	return func(id wire.CTID) bool {
		a, there := was[id]
		b, still := is[id]
		return there != still || a.State != b.State || a.Generation != b.Generation || a.Boot != b.Boot
	}
}

// answered tells whether of two reports one answers how a node shall be and one does not (World.Answered).
func answered(v *store.View, before, now *host.Report, n store.Node) bool {
	assigned := World{View: v}.assigned(n)
	answers := func(r *host.Report) bool { return r != nil && r.PlannedFor() >= assigned }
	return answers(before) != answers(now)
}

// touch finds the environments that a change of the store is about; true: all.
func (f *follower) touch(was *store.View, c store.Change, found map[wire.EnvName]bool) bool {
	switch c.Kind {
	case store.Clusters.Kind():
		return true
	case store.Envs.Kind():
		if e := store.Envs.Find(was, c.Name); e != nil {
			delete(f.holders, e.Operation)
		}
		found[wire.EnvName(c.Name)] = true
	case store.Domains.Kind(), store.Issues.Kind():
		for _, v := range []*store.View{was, f.view} {
			if d := store.Domains.Find(v, c.Name); d != nil {
				found[d.Env] = true
			}
		}
	case store.Fronts.Kind():
		found[wire.EnvName(c.Name)] = true
	case store.Operations.Kind():
		if name, there := f.holders[wire.OperationID(c.Name)]; there {
			found[name] = true
		}
	case store.Nodes.Kind():
		for _, v := range []*store.View{was, f.view} {
			if n := store.Nodes.Find(v, c.Name); n != nil {
				found[n.Env] = true
			}
		}
	}
	return false
}

// every finds all environments of a view, which may be nil.
func every(v *store.View, found map[wire.EnvName]bool) {
	if v == nil {
		return
	}
	for name := range store.Envs.Refs(v) {
		found[wire.EnvName(name)] = true
	}
	for _, n := range store.Nodes.Refs(v) {
		found[n.Env] = true
	}
}

// Followed is what is stored and what hosts report, kept from one moment to the next. It belongs to one caller at a time. The zero value
// knows nothing.
type Followed struct{ follower }

// Follow comes up to v and to the hosts that moved since the Follow before; the first one needs all (live.Fleet.Since 0). Found are the
// environments of which something changed that their states, their nodes' and the ends of their operations follow from: not reasons, and
// not figures. It costs what changed.
func (f *Followed) Follow(v *store.View, moves []live.Move) (found map[wire.EnvName]bool) {
	return f.follow(v, moves)
}

// World is what is followed, as an admin sees it. It must not be used after the next Follow.
func (f *Followed) World() World { return f.world() }

// world is what is followed, as an admin sees it.
func (f *follower) world() World { return World{View: f.view, Live: f.live}.For(Admin) }
