package answer

import (
	"context"
	"errors"
	"slices"
	"time"

	"hardnode.dev/agent/container"
	"hardnode.dev/agent/snapshot/schedule"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	wiresnapshot "hardnode.dev/internal/wire/snapshot"
)

// Newest is when the newest snapshot of a container was taken by its schedule; zero: there is none that can be read.
func (a *Answerer) Newest(id wire.CTID) time.Time {
	list, _ := a.Store.List(id)
	for _, s := range list { // in order
		if s.Scheduled {
			return s.Taken
		}
	}
	return time.Time{}
}

// Scheduled takes a snapshot of a container that runs, and deletes those that were taken by schedule and are kept no more. It says
// schedule.ErrNotNow of one that does not run.
func (a *Answerer) Scheduled(ctx context.Context, id wire.CTID, s wiresnapshot.Schedule) (taken bool, err error) {
	q := wiresnapshot.Ask{Action: wiresnapshot.Take, NoHook: s.NoHook}
	runs := false
	err = a.Runtime.Holding(ctx, id, func(h *container.Hold) error {
		runs = h.Running()
		return nil
	})
	if err == nil && !runs || errors.Is(err, container.ErrNotFound) {
		err = schedule.ErrNotNow
	}
	if err != nil {
		return false, err
	}
	var notes []string
	said, after, err := a.before(ctx, id, q, &notes)
	if err != nil {
		return false, err
	}
	err = a.Runtime.Holding(ctx, id, func(h *container.Hold) error {
		if !h.Running() {
			return schedule.ErrNotNow
		}
		if err := a.Store.Room(id); err != nil {
			return err
		}
		if _, err := a.take(ctx, id, h, wiresnapshot.Snapshot{Scheduled: true, Said: said}); err != nil {
			return err
		}
		taken = true
		_, err := a.prune(id, wiresnapshot.Ask{Rule: s.Rule}, func(o wiresnapshot.Snapshot) bool { return o.Scheduled })
		return err
	})
	after()
	return taken, err
}

// LetGo deletes the snapshots of a container's earlier generations, but for those that may come back, and for those of which its own
// generation may still begin: then it says schedule.ErrNotNow.
func (a *Answerer) LetGo(ctx context.Context, c host.Container) error {
	err := a.Runtime.Holding(ctx, c.CTID, func(h *container.Hold) error {
		list, lerr := a.Store.List(c.CTID)
		var gone []wiresnapshot.ID
		later := false
		for _, s := range list {
			switch {
			case !s.Former, slices.ContainsFunc(c.Formers, func(f host.Former) bool { return f.Generation == s.Generation }):
			case h.Generation() != c.Generation:
				later = true
			default:
				gone = append(gone, s.ID)
			}
		}
		if len(gone) > 0 {
			if _, err := a.Store.Delete(c.CTID, gone...); err != nil {
				return errors.Join(lerr, err)
			}
			a.Log.Info("snapshots of before a redeploy deleted", logging.Container, c.CTID, "count", len(gone))
		}
		if later && lerr == nil {
			return schedule.ErrNotNow
		}
		return lerr
	})
	if errors.Is(err, container.ErrNotFound) {
		return nil
	}
	return err
}
