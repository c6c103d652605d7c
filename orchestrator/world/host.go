package world

import (
	"fmt"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
	"hardnode.dev/orchestrator/systems"
)

// keepAway is how long it is told that a host was away.
const keepAway = 10 * time.Minute

// Host is one host by id or name; false when there is none.
func (w World) Host(named string) (operator.Host, bool) {
	h, ok := w.hostRecord(named)
	if !ok || !w.sees(ofHosts) {
		return operator.Host{}, false
	}
	return w.host(h), true
}

// HostSystem is what is wanted of a host's system and how it is, by id or name; false when there is no such host.
func (w World) HostSystem(named string) (out operator.HostSystem, ok bool) {
	h, ok := w.hostRecord(named)
	if !ok || !w.sees(ofHosts) {
		return out, false
	}
	if rec := store.Systems.Find(w.View, string(h.ID)); rec != nil && rec.Wanted() {
		out.Wanted = &operator.WantedSystem{Release: rec.Release, Step: string(rec.Step), WithinSec: rec.WithinSec, Order: rec.Order,
			By: rec.By, Reason: rec.Reason, At: rec.At}
	}
	if r := w.Live[h.ID].Report; r != nil {
		out.Status = r.System
	}
	if rec := store.Systems.Find(w.View, string(h.ID)); rec != nil {
		out.Status = systems.Shown(*rec, out.Status)
	}
	return out, true
}

// Hosts are all hosts in order of joining.
func (w World) Hosts() List[operator.Host] {
	if !w.sees(ofHosts) {
		return List[operator.Host]{}
	}
	out := make([]Item[operator.Host], 0, store.Hosts.Len(w.View))
	for _, h := range store.Hosts.Refs(w.View) {
		key := byNumber(h.Order) + string(h.ID)
		out = append(out, Item[operator.Host]{key, func() operator.Host { return w.host(*h) }})
	}
	return ListOf(out)
}

// Answers tells whether a host does what it is asked at this moment.
func (w World) Answers(id wire.HostID) bool { return w.Live[id].State.State == operator.HostActive }

func (w World) hostRecord(named string) (store.Host, bool) {
	if named == "" {
		return store.Host{}, false
	}
	if h, ok := store.Hosts.Get(w.View, named); ok {
		return h, true
	}
	for h := range store.Hosts.Rows(w.View) {
		if h.Name == named {
			return h, true
		}
	}
	return store.Host{}, false
}

// hostState is where a host is as people see it.
func (w World) hostState(id wire.HostID) live.State {
	s := w.Live[id].State
	if s.State == "" {
		s = live.State{State: operator.HostJoining, Reason: "it has not been looked at yet"}
	}
	if c := store.Cordons.Find(w.View, string(id)); c != nil {
		return live.Shown(s, w.duty(c))
	}
	return s
}

func (w World) duty(c *store.Cordon) live.Duty {
	d := live.Duty{Cordon: c.Words(), Since: c.At}
	switch drain := c.Drain; {
	case drain == nil:
	case drain.Failed != "":
		d.Drain, d.Failed = live.DrainFailed, drain.Failed
	case !drain.Ended.IsZero():
		d.Drain = live.Drained
	default:
		d.Drain = live.Draining
		if op := store.Operations.Find(w.View, string(drain.Operation)); op != nil {
			d.Deadline = op.Deadline
		}
	}
	return d
}

// host is one by its record.
func (w World) host(h store.Host) operator.Host {
	s := w.Live[h.ID]
	state := w.hostState(h.ID)
	out := operator.Host{ID: h.ID, Name: h.Name, Role: string(h.Role), State: state.State, Reason: state.Reason,
		Unlicensed: w.Uncovered[h.ID], Block: h.Block4.String(), Code: h.Code, Joined: h.Joined, Seen: s.Received,
		Labels: h.Labels}
	if c := store.Cordons.Find(w.View, string(h.ID)); c != nil {
		shown := c.HostCordon
		out.Cordon = &shown
	}
	if l := store.Leaves.Find(w.View, string(h.ID)); l != nil {
		out.Leaving = &operator.HostLeave{What: l.What(), By: l.By, Reason: l.Reason, Boot: l.Boot, At: l.At, Until: l.Until}
	}
	for _, b := range h.More {
		out.MoreBlocks = append(out.MoreBlocks, b.String())
	}
	if why := s.Loss.Why; why != "" {
		out.Reason += "; " + why
	}
	for n := range store.NodesOn.Of(w.View, string(h.ID)) {
		if !n.Gone {
			out.Containers++
		}
	}
	if r := s.Report; r != nil {
		out.Version, out.Boot, out.CPUs, out.MHz = r.Version, r.Boot, r.Capacity.CPUs, r.Capacity.MHz
		out.Load1, out.UptimeSec = r.Load.Load1, r.Load.UptimeSec
		out.MemoryMiB, out.MemoryUsed = r.Capacity.MemoryBytes>>20, r.Load.MemoryUsed>>20
		out.SwapMiB, out.SwapUsed = r.Load.Swap>>20, r.Load.SwapUsed>>20
		out.DiskMiB, out.DiskUsed = r.Capacity.DiskBytes>>20, r.Load.DiskUsed>>20
		if r.Underlay.IsValid() {
			out.Underlay = r.Underlay.String()
		}
		if p := r.Protection; p != nil {
			out.SecureBoot, out.Lockdown = p.Clean().SecureBoot, p.Clean().Lockdown
		}
		for _, b := range r.Boots {
			out.Boots = append(out.Boots, operator.HostBoot{ID: b.ID, At: b.At, Cause: string(b.Cause), Reason: b.Reason, By: b.By,
				What:  b.What,
				Ended: b.Ended, Evidence: b.Evidence, Crash: b.Crash})
		}
		for _, d := range r.Disks {
			out.Disks = append(out.Disks, operator.HostDisk{Health: d})
		}
		for _, p := range r.Problems {
			out.Problems = append(out.Problems, fmt.Sprintf("%s: %s (%s)", p.Object, p.Reason, p.Next))
		}
		if a := s.Away.String(); a != "" && w.Now.Sub(s.Away.To) < keepAway {
			out.Problems = append(out.Problems, "link: "+a)
		}
		if d := s.Received.Sub(r.Sent); d > time.Minute || d < -time.Minute {
			out.Problems = append(out.Problems,
				fmt.Sprintf("clock: it is %s off the orchestrator's (check its time servers)", d.Round(time.Second)))
		}
	}
	return out
}
