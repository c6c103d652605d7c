package apply

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"hardnode.dev/agent/container"
	"hardnode.dev/agent/plan"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// effective is the work that counts now, and what was gone back from. That is noted before it is done: an agent that is killed, or finds
// its clock set back, does not try the same again.
func (a *Applier) effective(ctx context.Context, work *host.Work, confirmed map[wire.CTID]host.Container, list []container.Observed,
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
			a.log.Warn("a component goes back", logging.Container, id, logging.Reason, back[id].Reason, "said",
				a.lastWords(ctx, work, list, id))
		}
	}
	return eff, back, due
}

// lastWords is the end of what a component's version on trial wrote, which goes with it; "" if it never ran.
func (a *Applier) lastWords(ctx context.Context, work *host.Work, list []container.Observed, id wire.CTID) string {
	i := slices.IndexFunc(work.Containers, func(c host.Container) bool { return c.CTID == id })
	if i < 0 {
		return ""
	}
	c := work.Containers[i]
	if !slices.ContainsFunc(list, func(o container.Observed) bool { return o.CTID == plan.Tried(c) && o.Generation == c.Generation }) {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var lines []string
	if err := a.o.Runtime.Logs(ctx, plan.Tried(c), host.LogsSpec{Tail: 5}, func(_ bool, text []byte) error {
		lines = append(lines, strings.TrimSpace(string(text)))
		return nil
	}); err != nil {
		lines = append(lines, "its log can't be read: "+err.Error())
	}
	said := strings.Join(lines, " | ")
	return said[:min(len(said), 2000)]
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
