// Package schedule takes snapshots of containers when their schedules say so, and lets those of before a redeploy go in their time.
//
// Owns: when the last one of each was taken or tried.
// In: what this host shall run; the snapshots that there are.
// Out: a snapshot at its time, one container after the other; a problem of the host where that fails.
// Never: knows how one is taken or which of them go (agent/snapshot/answer does), or holds up anything else.
package schedule

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/snapshot"
)

// ErrNotNow: a container does not run, or is not here: nothing is to be kept of it now.
var ErrNotNow = errors.New("it does not run here")

const (
	every = time.Minute      // between looks
	again = 10 * time.Minute // after one that failed
)

// Options are what a Keeper needs.
type Options struct {
	Work func() *host.Work // what this host shall run; nil: it has not been told
	// Newest is when the newest one was taken by schedule; zero: there is none.
	Newest func(wire.CTID) time.Time
	// Take takes one now and deletes those that the schedule keeps no more, or says ErrNotNow. Where only the latter fails, taken is true.
	Take func(context.Context, wire.CTID, snapshot.Schedule) (taken bool, err error)
	// LetGo deletes the snapshots of a container's earlier generations that don't come back, or says ErrNotNow. Nil: there are none.
	LetGo func(context.Context, host.Container) error
	Log   *slog.Logger // nil discards
}

// Keeper keeps to the schedules. New makes one; its methods may be called at once.
type Keeper struct {
	o    Options
	last map[wire.CTID]last   // of Run alone
	gone map[wire.CTID]string // likewise: what was let go of last
	mu   struct {
		sync.Mutex
		failed map[wire.CTID]string
	}
}

// last is what is known of one container.
type last struct {
	newest time.Time
	rest   time.Time // not before
}

// New makes a Keeper that Run starts.
func New(o Options) *Keeper {
	o.Log = logging.Or(o.Log)
	k := &Keeper{o: o, last: map[wire.CTID]last{}, gone: map[wire.CTID]string{}}
	k.mu.failed = map[wire.CTID]string{}
	return k
}

// Run keeps to the schedules until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	return run.Every(ctx, every, func(ctx context.Context) error {
		k.look(ctx, time.Now())
		return nil
	})
}

// look takes what is due.
func (k *Keeper) look(ctx context.Context, now time.Time) {
	work := k.o.Work()
	if work == nil {
		return
	}
	k.letGo(ctx, work)
	stays := map[wire.CTID]bool{}
	for _, c := range work.Containers {
		if c.Snapshots == nil || c.Remove {
			continue
		}
		stays[c.CTID] = true
		if c.Run && c.Move == nil && ctx.Err() == nil {
			k.keep(ctx, c.CTID, *c.Snapshots, now)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for id := range k.last {
		if !stays[id] {
			delete(k.last, id)
			delete(k.mu.failed, id)
		}
	}
}

// keep takes one of a container if it is due.
func (k *Keeper) keep(ctx context.Context, id wire.CTID, s snapshot.Schedule, now time.Time) {
	l, known := k.last[id]
	if known && (now.Before(l.rest) && l.rest.Sub(now) <= again || !s.Due(l.newest, now)) {
		return
	}
	l = last{newest: k.o.Newest(id)}
	var err error
	if s.Due(l.newest, now) {
		var taken bool
		if taken, err = k.o.Take(ctx, id, s); taken {
			l.newest = now
		}
	}
	why := ""
	switch {
	case ctx.Err() != nil:
		return
	case errors.Is(err, ErrNotNow):
	case err != nil:
		why, l.rest = err.Error(), now.Add(again)
		k.o.Log.Warn("no snapshot by schedule", logging.Container, id, logging.Err, err)
	}
	k.last[id] = l
	k.mu.Lock()
	defer k.mu.Unlock()
	if delete(k.mu.failed, id); why != "" {
		k.mu.failed[id] = why
	}
}

// Problems are the containers whose schedule is not kept to, and why.
func (k *Keeper) Problems() (list []host.Problem) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, why := range k.mu.failed {
		list = append(list, host.Problem{Code: "internal", Object: snapshot.ScheduleObject(id), CTID: id, Reason: why,
			Next: "it is tried again each 10 minutes; see hnctl node snapshot list " + id.String()})
	}
	return list
}
