// Package answer does what is asked of this host about the snapshots of a container.
//
// Owns: the order of a restore: the present state is kept as a snapshot before anything takes its place.
// In: requests of internal/wire/snapshot; containers that are held by agent/container meanwhile.
// Out: answers; containers that were stopped for a restore, which agent/apply starts again.
// Never: knows how a snapshot lies on the disk (agent/snapshot does), or starts a container.
package answer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"hardnode.dev/agent/container"
	"hardnode.dev/agent/snapshot"
	"hardnode.dev/agent/volume"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	wiresnapshot "hardnode.dev/internal/wire/snapshot"
)

// Answerer answers. Its methods may be called at once.
type Answerer struct {
	Runtime *container.Runtime
	Store   *snapshot.Store
	Log     *slog.Logger
}

// restoreWithin is how long a restore may take once it has begun to stop the container, which may take long to end.
const restoreWithin = 5 * time.Minute

// Ask does what is asked and says which snapshots there are afterwards. A restore that has begun goes on though who asked is gone.
func (a *Answerer) Ask(ctx context.Context, id wire.CTID, q wiresnapshot.Ask) (out wiresnapshot.Answer, err error) {
	if err := q.Validate(); err != nil {
		return out, err
	}
	err = a.Runtime.Holding(ctx, id, func(h *container.Hold) (err error) {
		switch q.Action {
		case wiresnapshot.Take:
			if err = a.Store.Room(id); err != nil {
				return err
			}
			out.Done, err = a.take(ctx, id, h, wiresnapshot.Snapshot{Note: q.Note})
		case wiresnapshot.Restore:
			out.Kept, out.Notes, err = a.restore(ctx, id, h, q)
			out.Done = q.ID
		case wiresnapshot.Delete:
			out.Gone, err = a.Store.Delete(id, q.ID)
		case wiresnapshot.Prune:
			out.Gone, err = a.prune(id, q)
		}
		return err
	})
	if err != nil {
		return out, err
	}
	list, err := a.Store.List(id)
	if err != nil { // the others are there all the same
		out.Notes = append(out.Notes, err.Error())
	}
	out.Snapshots = append([]wiresnapshot.Snapshot{}, list...)
	return out, nil
}

func (a *Answerer) take(ctx context.Context, id wire.CTID, h *container.Hold, meta wiresnapshot.Snapshot) (wiresnapshot.ID, error) {
	parts, done, err := h.Parts()
	if err != nil {
		return "", err
	}
	defer done()
	meta.Generation, meta.Image, meta.Running = h.Generation(), h.Image(), h.Running()
	var still func() (func() error, error)
	if h.Running() {
		still = func() (func() error, error) { return h.Still(ctx) }
	}
	began := time.Now()
	s, err := a.Store.Take(id, meta, parts, still, began)
	if err != nil {
		return "", err
	}
	a.Log.Info("snapshot taken", logging.Container, id, "snapshot", s.ID, "paused", time.Duration(s.Pause)*time.Microsecond,
		logging.Took, time.Since(began))
	return s.ID, nil
}

// restore keeps what is there as a snapshot and puts the snapshot in its place.
func (a *Answerer) restore(ctx context.Context, id wire.CTID, h *container.Hold, q wiresnapshot.Ask) (kept wiresnapshot.ID, notes []string,
	err error) {
	s, err := a.Store.Find(id, q.ID)
	if err != nil {
		return "", nil, err
	}
	if !q.Only && s.Generation != h.Generation() {
		return "", nil, fmt.Errorf("snapshot %s is of generation %d of container %s, which is in its %d. by now, made of another image: "+
			"restore its volumes alone with --volumes", q.ID, s.Generation, id, h.Generation())
	}
	if err := a.Store.Room(id); err != nil {
		return "", nil, err
	}
	if q.Only {
		notes = append(notes, "the container's own files stay as they are")
	}
	parts, done, err := h.Parts()
	if err != nil {
		return "", nil, err
	}
	for _, p := range parts {
		if p.Volume != "" && !slices.ContainsFunc(s.Parts, func(x wiresnapshot.Part) bool { return x.Volume == p.Volume }) {
			notes = append(notes, fmt.Sprintf("volume %s is younger than the snapshot, and stays as it is", p.Volume))
		}
	}
	done()
	layer := volume.LayerName(h.Generation())
	as := func(name string) string {
		if strings.HasPrefix(name, "layer-") {
			if q.Only {
				return ""
			}
			return layer
		}
		return name
	}
	if err := a.Store.Prepare(id, q.ID, h.Home(), as); err != nil { // while it runs: what can go wrong here does it no harm
		return "", nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreWithin)
	defer cancel()
	began, ran := time.Now(), h.Running()
	if ran {
		if err := h.End(ctx); err != nil {
			return "", nil, errors.Join(err, a.Store.Sweep(id))
		}
	}
	kept, err = a.take(ctx, id, h, wiresnapshot.Snapshot{Before: q.ID, Note: "before " + string(q.ID) + " was restored"})
	if err != nil {
		return "", nil, errors.Join(err, a.Store.Sweep(id))
	}
	if err := a.Store.Ready(id); err != nil {
		return kept, nil, err
	}
	if err := a.Store.Settle(id, h.Home()); err != nil {
		return kept, nil, err
	}
	a.Log.Info("snapshot restored", logging.Container, id, "snapshot", q.ID, "kept", kept, "ran", ran, logging.Took, time.Since(began))
	return kept, notes, nil
}

func (a *Answerer) prune(id wire.CTID, q wiresnapshot.Ask) ([]wiresnapshot.ID, error) {
	list, err := a.Store.List(id)
	if err != nil {
		return nil, err
	}
	gone := snapshot.Prune(list, q.Rule)
	if q.DryRun {
		return gone, nil
	}
	gone, err = a.Store.Delete(id, gone...)
	if len(gone) > 0 {
		a.Log.Info("snapshots pruned", logging.Container, id, "count", len(gone))
	}
	return gone, err
}
