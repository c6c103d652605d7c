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
	"unicode"

	"hardnode.dev/agent/container"
	"hardnode.dev/agent/snapshot"
	"hardnode.dev/agent/volume"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	wiresnapshot "hardnode.dev/internal/wire/snapshot"
)

// Answerer answers. Its methods may be called at once.
type Answerer struct {
	Runtime *container.Runtime
	Store   *snapshot.Store
	// JEM carries out an action of JEM's module backup in a running container and gives its message; nil: none does.
	JEM func(ctx context.Context, id wire.CTID, action string) (string, error)
	// Restarts: a container that is stopped for a restore is started again by whoever runs containers. The answer waits for that.
	Restarts bool
	// Restored is called before a container gets the files of another time, while it does not run; elsewhere: they are another container's,
	// or of a backup. nil: nobody wants to know.
	Restored func(id wire.CTID, elsewhere bool)
	Log      *slog.Logger
}

// restoreWithin is how long a restore may take once it has begun to stop the container, which may take long to end; runsWithin is how long
// the answer waits for its start.
const (
	restoreWithin = 5 * time.Minute
	runsWithin    = 20 * time.Second
)

// Ask does what is asked and says which snapshots there are afterwards. A restore that has begun goes on though who asked is gone.
func (a *Answerer) Ask(ctx context.Context, id wire.CTID, q wiresnapshot.Ask) (out wiresnapshot.Answer, err error) {
	if err := q.Validate(); err != nil {
		return out, err
	}
	said, after, ran := "", func() {}, false
	if q.Action == wiresnapshot.Take {
		if said, after, err = a.before(ctx, id, q, &out.Notes); err != nil {
			return out, err
		}
	}
	err = a.Runtime.Holding(ctx, id, func(h *container.Hold) (err error) {
		switch q.Action {
		case wiresnapshot.Take:
			if err = a.Store.Room(id); err == nil {
				out.Done, err = a.take(ctx, id, h, wiresnapshot.Snapshot{Note: q.Note, Said: said})
			}
		case wiresnapshot.Restore:
			ran = h.Running()
			out.Kept, out.Notes, err = a.restore(ctx, id, h, q)
			out.Done = q.ID
		case wiresnapshot.Delete:
			out.Gone, err = a.Store.Delete(id, q.ID)
		case wiresnapshot.Prune:
			out.Gone, err = a.prune(id, q, func(s wiresnapshot.Snapshot) bool { return !s.Former })
		}
		return err
	})
	after()
	if err != nil {
		return out, err
	}
	if ran && a.Restarts && !a.runs(ctx, id) {
		out.Notes = append(out.Notes, "it ran before, and does not run again yet: hnctl node list says why")
	}
	list, err := a.Store.List(id)
	if err != nil { // the others are there all the same
		out.Notes = append(out.Notes, err.Error())
	}
	out.Snapshots = append([]wiresnapshot.Snapshot{}, list...)
	return out, nil
}

// runs waits until a container runs again.
func (a *Answerer) runs(ctx context.Context, id wire.CTID) (again bool) {
	ctx, cancel := context.WithTimeout(ctx, runsWithin)
	defer cancel()
	for {
		err := a.Runtime.Holding(ctx, id, func(h *container.Hold) error {
			again = h.Running()
			return nil
		})
		if again || err != nil || !run.Wait(ctx, 50*time.Millisecond) {
			return again
		}
	}
}

// hookWithin is how long JEM may take for one action; its own limit, which tells why, is a minute.
const hookWithin = 65 * time.Second

// before has JEM prepare a container that runs for a snapshot, and says what it did. What fails there is a note, since a snapshot is good
// all the same: as after a crash. after ends what was begun.
func (a *Answerer) before(ctx context.Context, id wire.CTID, q wiresnapshot.Ask, notes *[]string) (said string, after func(), err error) {
	if q.NoHook || a.JEM == nil {
		return "", func() {}, nil
	}
	running := false
	err = a.Runtime.Holding(ctx, id, func(h *container.Hold) error {
		running = h.Running()
		return a.Store.Room(id) // before anything is done for it
	})
	if err != nil || !running {
		return "", func() {}, err
	}
	tell := func(ctx context.Context, action string) string {
		ctx, cancel := context.WithTimeout(ctx, hookWithin)
		defer cancel()
		said, err := a.JEM(ctx, id, action)
		if err != nil {
			said = fmt.Sprintf("jem backup %s failed: %s", action, oneLine(err.Error()))
			*notes = append(*notes, said)
		}
		return oneLine(said)
	}
	said = tell(ctx, "before")
	return said, func() { tell(context.WithoutCancel(ctx), "after") }, nil
}

// oneLine is what a container said, made plain and short.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > wiresnapshot.MaxNote {
		text = strings.ToValidUTF8(text[:wiresnapshot.MaxNote-3], "") + "..."
	}
	return strings.TrimSpace(text)
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
	of := id
	if q.From != 0 {
		of = q.From
	}
	s, err := a.Store.Find(of, q.ID)
	if err != nil {
		return "", nil, err
	}
	if err := fits(s, of, id, h, q.Only); err != nil {
		return "", nil, err
	}
	if err := a.Store.Room(id); err != nil {
		return "", nil, err
	}
	name := string(q.ID)
	if of != id {
		name += " of " + of.String()
	}
	as, notes := places(s, of, id, h, q.Only)
	if err := a.Store.Prepare(id, of, q.ID, h.Home(), as); err != nil { // while it runs: what can go wrong here does it no harm
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
	kept, err = a.take(ctx, id, h, wiresnapshot.Snapshot{Before: q.ID, Note: "before " + name + " was restored"})
	if err != nil {
		return "", nil, errors.Join(err, a.Store.Sweep(id))
	}
	if a.Restored != nil { // before: should this agent end after Ready, the next one settles it
		a.Restored(id, of != id || s.Backup)
	}
	if err := a.Store.Ready(id); err != nil {
		return kept, nil, err
	}
	if err := a.Store.Settle(id, h.Home()); err != nil {
		return kept, nil, err
	}
	a.Log.Info("snapshot restored", logging.Container, id, "snapshot", name, "kept", kept, "ran", ran, logging.Took, time.Since(began))
	return kept, notes, nil
}

// fits says why a snapshot's layer can't be the container's, or nil.
func fits(s wiresnapshot.Snapshot, of, id wire.CTID, h *container.Hold, only bool) error {
	switch {
	case only:
		return nil
	case of != id && (s.Image == "" || s.Image != h.Image()):
		return fmt.Errorf("snapshot %s of container %s is of a layer on image %s, container %s runs from image %s: restore its volumes "+
			"alone with --volumes, or a snapshot of a running container of the same image to a running one", s.ID, of, named(s.Image), id,
			named(h.Image()))
	case of == id && s.Generation != h.Generation():
		return fmt.Errorf("snapshot %s is of generation %d of container %s, which is in its %d. by now, made of another image: "+
			"restore its volumes alone with --volumes", s.ID, s.Generation, id, h.Generation())
	}
	return nil
}

func named(image wire.Digest) string {
	if image == "" {
		return "none that is known"
	}
	return string(image)
}

// places says under which name each part of a snapshot takes its place in a container, "" for one that has none, and which parts stay.
func places(s wiresnapshot.Snapshot, of, id wire.CTID, h *container.Hold, only bool) (as func(string) string, notes []string) {
	if only {
		notes = append(notes, "the container's own files stay as they are")
	}
	own, layer := h.Volumes(), volume.LayerName(h.Generation())
	for _, v := range own {
		if !slices.ContainsFunc(s.Parts, func(x wiresnapshot.Part) bool { return x.Volume == v }) {
			notes = append(notes, fmt.Sprintf("volume %s is not in the snapshot, and stays as it is", v))
		}
	}
	left := map[string]bool{}
	for _, p := range s.Parts { // what another container has and this one has not would be nobody's
		if p.Volume != "" && of != id && !slices.Contains(own, p.Volume) {
			left[volume.VolumeName(p.Volume)] = true
			notes = append(notes, fmt.Sprintf("volume %s is left out: container %s has none of that name", p.Volume, id))
		}
	}
	return func(name string) string {
		switch {
		case left[name]:
			return ""
		case !strings.HasPrefix(name, "layer-"):
			return name
		case only:
			return ""
		}
		return layer
	}, notes
}

// prune deletes those that the rule does not keep, of those that it is about.
func (a *Answerer) prune(id wire.CTID, q wiresnapshot.Ask, about func(wiresnapshot.Snapshot) bool) ([]wiresnapshot.ID, error) {
	list, err := a.Store.List(id)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(s wiresnapshot.Snapshot) bool { return !about(s) })
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
