package plan

import (
	"fmt"
	"slices"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
)

// Jelastic is the environment of the platform's own components.
const Jelastic wire.EnvName = "jelastic"

// Carry is next with what old has of "jelastic" and next does not mention: containers, which are never removed for being absent, and the
// file boot.SeedFile, which the bundle alone brings. The orchestrator can't send its own seed, which has the first Work in it; without it
// the orchestrator would not start again.
func Carry(old, next *host.Work) *host.Work {
	if old == nil {
		return next
	}
	named := make(map[wire.CTID]bool, len(next.Containers))
	for _, c := range next.Containers {
		named[c.CTID] = true
	}
	merged := *next
	merged.Containers = slices.Clone(next.Containers)
	for _, c := range old.Containers {
		if c.Env == Jelastic && !named[c.CTID] && !c.Remove {
			merged.Containers = append(merged.Containers, c)
		}
	}
	for i, c := range merged.Containers {
		o := slices.IndexFunc(old.Containers, func(o host.Container) bool { return o.CTID == c.CTID && o.Component == c.Component })
		if o < 0 || c.Env != Jelastic || seed(c) >= 0 {
			continue
		}
		if at := seed(old.Containers[o]); at >= 0 {
			merged.Containers[i].Files = append(slices.Clone(c.Files), old.Containers[o].Files[at])
		}
	}
	return &merged
}

// seed is where the seed is among a container's files; negative if it is not.
func seed(c host.Container) int {
	return slices.IndexFunc(c.Files, func(f host.File) bool { return f.Path == boot.SeedFile })
}

// Confirmed is the last version of each component that needs no confirmation: confirmed before, updated from w.
func Confirmed(before map[wire.CTID]host.Container, w *host.Work) map[wire.CTID]host.Container {
	next := make(map[wire.CTID]host.Container, len(before))
	for _, c := range w.Containers {
		if c.Env != Jelastic || c.Remove {
			continue
		}
		if c.ConfirmBy.IsZero() {
			next[c.CTID] = c
		} else if last, ok := before[c.CTID]; ok {
			next[c.CTID] = last
		}
	}
	return next
}

// trialStarts is how often in a row a component on trial may end early, or not start, before it is gone back from without waiting for the
// end of its time: what it serves is away meanwhile.
const trialStarts = 4

// Trial is what decides over the components that run until they are confirmed.
type Trial struct {
	Confirmed map[wire.CTID]host.Container // the last confirmed version of each component
	Back      map[wire.CTID]host.WentBack  // the version that each was gone back from: it is not tried again
	History   map[wire.CTID]History
	Here      func(wire.CTID) bool // tells what is on this host
}

// Effective is w with every component on trial that failed, or whose confirmation did not come in time, replaced by its last confirmed
// version, and with what runs beside components (besides). back says what was gone back from and why: what t.Back says already, and what is
// to be added to it; wake is when the next confirmation is due.
func Effective(w *host.Work, t Trial, now time.Time) (eff *host.Work, back map[wire.CTID]host.WentBack, wake time.Time) {
	if w == nil {
		return nil, nil, time.Time{}
	}
	out := *w
	out.Containers = slices.Clone(w.Containers)
	back = map[wire.CTID]host.WentBack{}
	for i, c := range w.Containers {
		last, ok := t.Confirmed[c.CTID]
		if !onTrial(c) || !ok || last.Generation == c.Generation {
			if runsBeside(c) && t.Here(beside(c).CTID) {
				out.Containers = append(out.Containers, beside(c))
			}
			continue
		}
		why := failedTrial(c, t.History[Tried(c)], now)
		if b := t.Back[c.CTID]; b.Generation == c.Generation {
			back[c.CTID] = b
		} else if why != "" {
			back[c.CTID] = host.WentBack{Generation: c.Generation, At: now.Unix(),
				Reason: fmt.Sprintf("generation %d %s; generation %d is back", c.Generation, why, last.Generation)}
		} else {
			wake = sooner(wake, c.ConfirmBy)
			if !runsBeside(c) {
				continue
			}
			out.Containers = append(out.Containers, beside(c))
		}
		out.Containers[i] = last
	}
	return &out, back, wake
}

// onTrial tells whether a container is a component that has to be confirmed.
func onTrial(c host.Container) bool { return c.Env == Jelastic && !c.Remove && !c.ConfirmBy.IsZero() }

// failedTrial says why a component on trial is gone back from now, or "".
func failedTrial(c host.Container, h History, now time.Time) string {
	tried := h.Generation == c.Generation
	switch {
	case tried && h.Permanent:
		return "can't be started: " + h.StartErr
	case tried && h.Short >= trialStarts && h.StartErr != "":
		return fmt.Sprintf("did not start %d times in a row: %s", h.Short, h.StartErr)
	case tried && h.Short >= trialStarts:
		return fmt.Sprintf("ended %d times in a row within %s of its start", h.Short, MinRun)
	case !now.Before(c.ConfirmBy):
		return "was not confirmed by " + c.ConfirmBy.UTC().Format(time.RFC3339)
	}
	return ""
}

// Back is what of before still counts for w: a version that w has confirmed meanwhile, or replaced, is tried anew.
func Back(before map[wire.CTID]host.WentBack, w *host.Work) map[wire.CTID]host.WentBack {
	next := map[wire.CTID]host.WentBack{}
	for _, c := range w.Containers {
		if b, ok := before[c.CTID]; ok && onTrial(c) && b.Generation == c.Generation {
			next[c.CTID] = b
		}
	}
	return next
}
