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

// Effective is w with every component whose confirmation did not come in time replaced by its last confirmed version. reverted says
// which and why; wake is when the next confirmation is due.
func Effective(w *host.Work, confirmed map[wire.CTID]host.Container,
	now time.Time) (eff *host.Work, reverted map[wire.CTID]string, wake time.Time) {
	if w == nil {
		return nil, nil, time.Time{}
	}
	out := *w
	out.Containers = slices.Clone(w.Containers)
	reverted = map[wire.CTID]string{}
	for i, c := range out.Containers {
		last, ok := confirmed[c.CTID]
		if c.ConfirmBy.IsZero() || !ok || last.Generation == c.Generation {
			continue
		}
		if now.Before(c.ConfirmBy) {
			wake = sooner(wake, c.ConfirmBy)
			continue
		}
		out.Containers[i] = last
		reverted[c.CTID] = fmt.Sprintf("generation %d was not confirmed by %s; generation %d is back",
			c.Generation, c.ConfirmBy.UTC().Format(time.RFC3339), last.Generation)
	}
	return &out, reverted, wake
}
