package drive

import (
	"reflect"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/patcher/rollout"
)

// watch measures what the nodes of visited hosts lose: from a visit's begin to its end, and while its cohort is watched.
func (d *Driver) watch(r operator.Rollout, seen rollout.Seen) {
	hosts := map[wire.HostID]rollout.Host{}
	for _, h := range seen.Hosts {
		hosts[h.ID] = h
	}
	under := map[wire.HostID]bool{}
	for _, v := range r.Visits { // an infra host has visits of its components too
		under[v.Host] = under[v.Host] || lasts(r, v)
	}
	for _, v := range r.Visits {
		h, ok := hosts[v.Host]
		lasting := lasts(r, v)
		ended := v.State.Final() && !v.Began.IsZero() && d.watches[v.Host] != nil && !under[v.Host] // the last look
		if !ok || !h.Asked || !lasting && !ended {
			continue
		}
		w := d.watches[v.Host]
		if w == nil {
			w = d.watchOf(r.ID, h, seen)
			d.watches[v.Host] = w
		}
		w.Watch = rollout.Look(w.Watch, h, v.Step, v.Component, seen.At)
		if d.Clocks.Keep > seen.At.Sub(w.at).Abs() && lasting && same(w.Watch, w.kept) {
			continue
		}
		if err := d.Shelf.PutWatch(r.ID, w.Watch); err != nil {
			d.Log.Warn("what a visit cost is not kept", logging.Host, v.Name, logging.Err, err)
			continue
		}
		w.kept, w.at = w.Watch, seen.At
	}
	for h := range d.watches {
		if !under[h] {
			delete(d.watches, h)
		}
	}
}

// lasts tells whether the nodes of a visit's host are watched.
func lasts(r operator.Rollout, v operator.RolloutVisit) bool {
	return v.State == operator.VisitRunning || v.State == operator.VisitGoing ||
		v.State == operator.VisitDone && v.Back && v.Cohort == r.Cohort && !r.State.Final()
}

// watchOf is the watch of a visit that a process before this one began, or a new one.
func (d *Driver) watchOf(id string, h rollout.Host, seen rollout.Seen) *watched {
	w, found, err := d.Shelf.Watch(id, h.ID)
	if err != nil {
		d.Log.Warn("what a visit cost so far can't be read", logging.Host, h.Name, logging.Err, err)
	}
	if !found {
		w = rollout.Begin(h, seen.At)
	}
	return &watched{Watch: w}
}

// same tells whether only time has passed.
func same(a, b rollout.Watch) bool {
	if len(a.Nodes) != len(b.Nodes) {
		return false
	}
	for i, n := range a.Nodes {
		o := b.Nodes[i]
		if n.Served = o.Served; !reflect.DeepEqual(n, o) {
			return false
		}
	}
	return true
}
