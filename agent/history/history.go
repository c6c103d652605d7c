// Package history remembers what became of the containers and images of this host: runs that were short, steps and fetches that failed.
//
// Owns: the count of failures of each container's generation, the exits that are counted already, the fetches that failed.
// In: containers as they are seen, the outcome of each step, the time: plain values.
// Out: plan.History of each container, plan.Image of each image that could not be fetched.
// Never: does I/O, reads the clock, takes a lock (whoever keeps a Book does), or decides what is next (agent/plan does).
package history

import (
	"maps"
	"time"

	"hardnode.dev/agent/plan"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// Pauses after a failed fetch: they double from fetchMin to fetchMax. Content that does not match its digest won't be right a moment later.
const (
	fetchMin   = 500 * time.Millisecond
	fetchMax   = 15 * time.Second
	fetchWrong = 30 * time.Second
)

// Book is the history of one host since the agent started. New makes one; its methods must not run at the same time.
type Book struct {
	containers map[wire.CTID]plan.History
	counted    map[wire.CTID]exit // the exit that containers has counted
	failed     map[wire.Digest]plan.Image
	failures   map[wire.Digest]int // failed fetches in a row
}

// exit is one end of a container's process: when it was, and when it was noticed here.
type exit struct{ at, noticed time.Time }

// Outcome is what became of a step. The zero value says that it succeeded.
type Outcome struct {
	Err string // why it failed
	// trying again is of no use: the container can't be started as it is wanted, the image's content is not what its digest says
	Final bool
}

// New is a book without entries.
func New() *Book {
	return &Book{containers: map[wire.CTID]plan.History{}, counted: map[wire.CTID]exit{}, failed: map[wire.Digest]plan.Image{},
		failures: map[wire.Digest]int{}}
}

// Saw takes in a container as it is seen now, and returns it with the time of its exit as this host noticed it: the back-off counts from
// there, since the wall clock may have been set in between.
func (b *Book) Saw(s plan.Seen, now time.Time) plan.Seen {
	h := b.containers[s.CTID]
	switch {
	case s.Running && now.Sub(s.Started) > plan.MinRun && h.Generation == s.Generation:
		h.Short, h.StartErr = 0, ""
	case !s.Exited.IsZero() && !b.counted[s.CTID].at.Equal(s.Exited):
		b.counted[s.CTID] = exit{at: s.Exited, noticed: now}
		if h.Generation != s.Generation {
			h = plan.History{Generation: s.Generation}
		}
		if h.Short++; s.Exited.Sub(s.Started) >= plan.MinRun || s.Left != "" {
			h.Short = 0
		}
	}
	b.containers[s.CTID] = h
	if !s.Exited.IsZero() {
		s.Exited = b.counted[s.CTID].noticed
	}
	return s
}

// Did takes in the outcome of a step that ended now.
func (b *Book) Did(s plan.Step, o Outcome, now time.Time) {
	if s.Kind == plan.Fetch {
		b.fetched(s.Want.Image.Digest, o, now)
		return
	}
	h := b.containers[s.CTID]
	switch s.Kind {
	case plan.Start:
		if h.Generation != s.Want.Generation {
			h = plan.History{Generation: s.Want.Generation}
		}
		h.Boot = s.Want.Boot
		h.StartErr, h.Permanent = o.Err, o.Final
		if o.Err != "" {
			h.FailedAt = now
			h.Short++
		}
	case plan.Resize, plan.Drop:
		h.StopErr = o.Err
		if o.Err != "" {
			h.FailedAt = now
		}
	default:
		h.StopErr = o.Err
		switch {
		case o.Err != "":
			h.FailedAt = now
			h.Short++
		case s.Kind == plan.Remove:
			delete(b.containers, s.CTID)
			delete(b.counted, s.CTID)
			return
		default:
			h.Short, h.StartErr, h.Permanent = 0, "", false // stopped on purpose: what failed before is over
		}
	}
	b.containers[s.CTID] = h
}

func (b *Book) fetched(d wire.Digest, o Outcome, now time.Time) {
	if o.Err == "" {
		delete(b.failed, d)
		delete(b.failures, d)
		return
	}
	pause := run.Backoff(b.failures[d], fetchMin, fetchMax, 0.5)
	if o.Final {
		pause = fetchWrong
	}
	b.failures[d]++
	b.failed[d] = plan.Image{Err: o.Err, Wrong: o.Final, RetryAt: now.Add(pause)}
}

// Forget drops the failed fetches of images that work does not want: when one of them is wanted again it may be whole. A nil work wants
// none.
func (b *Book) Forget(work *host.Work) {
	wanted := map[wire.Digest]bool{}
	if work != nil {
		for _, c := range work.Containers {
			wanted[c.Image.Digest] = wanted[c.Image.Digest] || !c.Remove
		}
	}
	for d := range b.failed {
		if !wanted[d] {
			delete(b.failed, d)
			delete(b.failures, d)
		}
	}
}

// Containers is a copy of each container's history.
func (b *Book) Containers() map[wire.CTID]plan.History { return maps.Clone(b.containers) }

// Failed is a copy of the fetches whose last attempt failed.
func (b *Book) Failed() map[wire.Digest]plan.Image { return maps.Clone(b.failed) }
