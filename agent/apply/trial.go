package apply

import (
	"maps"
	"slices"
	"time"

	"hardnode.dev/agent/container"
	"hardnode.dev/agent/plan"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// effective is the work that counts now, and what was gone back from. That is noted before it is done: an agent that is killed, or finds
// its clock set back, does not try the same again.
func (a *Applier) effective(work *host.Work, confirmed map[wire.CTID]host.Container, list []container.Observed,
	now time.Time) (eff *host.Work, back map[wire.CTID]host.WentBack, due time.Time) {
	had := a.o.Store.Back()
	a.mu.Lock()
	history := a.mu.history.Containers()
	a.mu.Unlock()
	eff, back, due = plan.Effective(work, plan.Trial{Confirmed: confirmed, Back: had, History: history,
		Here: func(id wire.CTID) bool {
			return slices.ContainsFunc(list, func(o container.Observed) bool { return o.CTID == id })
		}}, now)
	if maps.Equal(back, had) || work == nil {
		return eff, back, due
	}
	if err := a.o.Store.GoBack(back); err != nil {
		a.warn("went back", "keep what was gone back from", err)
	}
	for _, id := range slices.Sorted(maps.Keys(back)) {
		if had[id] != back[id] {
			a.log.Warn("a component goes back", logging.Container, id, logging.Reason, back[id].Reason)
		}
	}
	return eff, back, due
}

// ofComponents adds to the components' statuses what only theirs have.
func ofComponents(statuses []host.ContainerStatus, eff *host.Work, back map[wire.CTID]host.WentBack) {
	if eff == nil {
		return
	}
	images := map[wire.CTID]wire.Digest{}
	for _, c := range eff.Containers {
		if c.Env == plan.Jelastic {
			images[c.CTID] = c.Image.Digest
		}
	}
	for i := range statuses {
		s := &statuses[i]
		s.Image, s.WentBack = images[s.CTID], back[s.CTID]
	}
}
