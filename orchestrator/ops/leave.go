package ops

import (
	"context"
	"errors"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/upkeep"
	"hardnode.dev/orchestrator/store"
	"hardnode.dev/orchestrator/world"
)

// Leave notes that a host which is in that boot is ordered to leave its machine, and has tell tell it so. A host that boots anew is waited
// for as long as within says; 0: a usual time, and what its containers have to stop. If it has not heard of it, or refuses, it is noted no
// more.
func (o *Ops) Leave(ctx context.Context, id wire.HostID, order upkeep.Leave, boot string, within time.Duration,
	tell func() (heard bool, err error)) error {
	now := o.now()
	if err := o.noteLeave(ctx, id, store.Leave{Leave: order, Boot: boot, At: now}, within, true); err != nil {
		return err
	}
	heard, err := tell()
	if err != nil && !heard {
		_, undone := o.Store.Update(context.WithoutCancel(ctx), func(tx *store.Tx) error {
			if l, there := store.Leaves.Read(tx, string(id)); there && l.At.Equal(now) {
				store.Leaves.Delete(tx, string(id))
			}
			return nil
		})
		return errors.Join(err, undone)
	}
	return err
}

// Leaves notes what a host says of itself while it is leaving its machine in that boot, unless that was ordered here: a switch to another
// slot, and the way back from one that is not well, are the host's own deed; so is what people do at it.
func (o *Ops) Leaves(ctx context.Context, id wire.HostID, boot string, order upkeep.Leave) error {
	if l := store.Leaves.Find(o.Store.View(), string(id)); l != nil && l.Boot == boot {
		return nil
	}
	return o.noteLeave(ctx, id, store.Leave{Leave: order.Bounded("the host itself"), Boot: boot, At: o.now()}, 0, false)
}

// noteLeave notes that a host leaves its machine. Over: also when that is noted of this boot already.
func (o *Ops) noteLeave(ctx context.Context, id wire.HostID, l store.Leave, within time.Duration, over bool) error {
	_, err := o.onHost(ctx, id, func(tx *store.Tx, _ store.Host) error {
		if was, there := store.Leaves.Read(tx, string(id)); there && was.Boot == l.Boot && !over {
			return nil
		}
		if !l.PowerOff {
			if l.Until = l.At.Add(within); within == 0 {
				l.Until = l.At.Add(o.Fleet.Clocks().Reboot + stopping(tx.View(), id))
			}
		}
		store.Leaves.Put(tx, string(id), l)
		return nil
	})
	return err
}

// stopping is how long the slowest container of a host may take to stop.
func stopping(v *store.View, id wire.HostID) (most time.Duration) {
	for n := range store.NodesOn.Of(v, string(id)) {
		if !n.Gone {
			most = max(most, time.Duration(n.Container.Process.StopAfter)*time.Second)
		}
	}
	return most
}

// returned forgets the orders of hosts that are back in another boot, and of those that never left.
func (o *Ops) returned(ctx context.Context, w world.World, now time.Time) error {
	back := map[string]string{}
	for id, l := range store.Leaves.Refs(w.View) {
		s := w.Live[wire.HostID(id)]
		switch {
		case !w.Answers(wire.HostID(id)) || s.Report == nil:
		case s.Report.Boot != l.Boot:
			back[id] = "host is back from its reboot"
		case !l.Until.IsZero() && now.After(l.Until), l.Until.IsZero() && now.Sub(l.At) > o.Fleet.Clocks().Reboot:
			back[id] = "host was ordered to leave its machine, and did not"
		}
	}
	if len(back) == 0 {
		return nil
	}
	_, err := o.Store.Update(ctx, func(tx *store.Tx) error {
		for id := range back {
			if l, there := store.Leaves.Read(tx, id); there && l == *store.Leaves.Find(w.View, id) {
				store.Leaves.Delete(tx, id)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for id, what := range back {
		l := store.Leaves.Find(w.View, id)
		h, _ := store.Hosts.Get(w.View, id)
		logging.Or(o.Log).Info(what, logging.Host, h.Name, logging.Took, now.Sub(l.At), "by", l.By, logging.Reason, l.Reason)
	}
	return nil
}
