package systems

import (
	"context"
	"fmt"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/store"
)

// A host that boots from the network has no slots: netboot serves it the wanted release, and the last one that was good when that does not
// come up in time. What became of its order is kept here, in the same words as an installed host keeps it in.

// within is how long a release has to come up that an order says nothing of; leaving is how long a host may take to stop its containers
// and to come so far that its kernel's start counts.
const (
	within  = 10 * time.Minute
	leaving = 5 * time.Minute
)

// look is how often it is looked whether an order ended.
const look = 2 * time.Second

// Within is how long the release of an order has to come up.
func Within(s store.System) time.Duration {
	if s.WithinSec > 0 {
		return time.Duration(s.WithinSec) * time.Second
	}
	return within
}

// Served is the release that netboot serves a host of an order, and whether it is tried: not yet good.
func Served(s store.System) (release string, tried bool) {
	switch {
	case s.Was == "":
		return s.Release, false // an installed host
	case s.Ended == host.SystemFailed:
		return s.Was, false
	}
	return s.Release, s.Ended == ""
}

// follow decides what became of an order of a host that boots from the network, by what it said last; nil: nothing. another: what it runs
// is another image than the release's. What it came up with is what it is served from then on, where nothing is ordered.
//
//	served → done: it runs and reports
//	       → failed: it came up with another release, or was not heard of in time
func follow(s store.System, status *host.SystemStatus, another func() bool, now time.Time) store.System {
	switch {
	case s.Was == "" || s.Ended != "" || !s.Wanted():
	case status != nil && status.Release == s.Release && status.Slot == "" && another():
		s.Ended = host.SystemFailed
		s.Failed = fmt.Sprintf("it runs another image than the one of release %s that both repositories name: %s", s.Release,
			status.Root)
	case status != nil && status.Release == s.Release && status.Slot == "":
		s.Ended = host.SystemDone
	case status != nil && status.Order == s.Order && status.State == host.SystemFailed:
		s.Ended, s.Failed = host.SystemFailed, status.Reason
	case now.Sub(s.At) > Within(s)+leaving:
		s.Ended = host.SystemFailed
		s.Failed = fmt.Sprintf("it did not report within %s that it runs release %s; netboot serves it release %s again", Within(s),
			s.Release, s.Was)
	}
	switch under := s.Wanted() && s.Was != "" && s.Ended == ""; {
	case status == nil || under:
	case status.Slot != "":
		s.Good = ""
	case status.Net && status.Release != s.Good && !another():
		s.Good, s.Version = status.Release, host.SystemVersion
	}
	return s
}

// Follow keeps what becomes of hosts that boot from the network, and of their orders, until ctx ends. said gives what each host said last.
func (d *Desk) Follow(ctx context.Context, view func() *store.View, said func() func(wire.HostID) *host.SystemStatus) error {
	for run.Wait(ctx, look) {
		v, status := view(), said()
		for id := range store.Hosts.Refs(v) {
			is := status(wire.HostID(id))
			another := func() bool { return d.another(is) }
			var s store.System
			if kept := store.Systems.Find(v, id); kept != nil {
				s = *kept
			}
			if follow(s, is, another, d.Now()) == s {
				continue
			}
			if _, err := d.Store.Update(ctx, func(tx *store.Tx) error {
				if _, there := store.Hosts.Read(tx, id); !there {
					return nil // it was removed meanwhile
				}
				rec, _ := store.Systems.Read(tx, id)
				store.Systems.Put(tx, id, follow(rec, is, another, d.Now()))
				return nil
			}); err != nil && ctx.Err() == nil {
				return fmt.Errorf("keep what became of the system of host %s: %w", id, err)
			}
		}
	}
	return nil
}

// another tells whether a host runs another image than the one that the release it says has.
func (d *Desk) another(is *host.SystemStatus) bool {
	if is == nil || is.Root == "" {
		return false
	}
	it, said := d.Carries(is.Release, is.Root)
	return said && !it
}

// Image says for people what the image is that a host without slots runs; "": it has slots, or does not say it.
func (d *Desk) Image(is *host.SystemStatus) string {
	if is == nil || is.Root == "" {
		return ""
	}
	switch it, said := d.Carries(is.Release, is.Root); {
	case it:
		return "that of release " + is.Release + ", which both repositories name"
	case said:
		return "ANOTHER than that of release " + is.Release + ", which both repositories name: don't trust this host; see where it booted" +
			" from"
	}
	return "of no release that was imported"
}

// Shown is what is shown of a host's system: what it said last, and of an order that failed what is kept of it, for the host may not be
// heard of any more. Status may be nil.
func Shown(s store.System, status *host.SystemStatus) *host.SystemStatus {
	if s.Was == "" || s.Ended != host.SystemFailed {
		return status
	}
	out := host.SystemStatus{Release: s.Was}
	if status != nil {
		out = *status
	}
	out.Net, out.State, out.Order, out.Target, out.Reason = true, host.SystemFailed, s.Order, s.Release, s.Failed
	return &out
}
