package live

import (
	"fmt"
	"maps"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/upkeep"
)

// Boots counts the boots of hosts since this process started, by their cause.
func (f *Fleet) Boots() map[upkeep.Cause]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.mu.boots)
}

// boots takes in what a report says of its host's boots, before it replaces the last one; the caller holds the lock. What the host can't
// know any more is put to it: the boots before, and that one was ordered here.
func (f *Fleet) boots(r *record, rep *host.Report) {
	old := r.Report
	switch {
	case len(rep.Boots) == 0 || rep.Boots[0].ID != rep.Boot:
		return
	case old != nil && old.Boot == rep.Boot:
		if len(old.Boots) > 0 {
			rep.Boots = old.Boots
		}
		return
	}
	if o := r.Order; o != nil && o.Boot != rep.Boot && (old == nil || o.Boot == old.Boot) && rep.Boots[0].Cause == upkeep.CauseUnknown {
		b := rep.Boots[0]
		b.Cause, b.Reason, b.By, b.What = upkeep.CauseOrdered, o.Reason, o.By, o.What()
		b.Evidence = append([]string{fmt.Sprintf("the orchestrator had its word at %s that it leaves", o.At.UTC().Format(time.RFC3339))},
			b.Evidence...)
		rep.Boots = append([]upkeep.Boot{b.Bounded()}, rep.Boots[1:]...)
	}
	if old == nil {
		return // whether it is news is not known
	}
	if len(rep.Boots) == 1 {
		rep.Boots = append(rep.Boots[:1:1], old.Boots[:min(len(old.Boots), upkeep.MaxBoots-1)]...)
	}
	if f.mu.boots == nil {
		f.mu.boots = map[upkeep.Cause]int{}
	}
	f.mu.boots[rep.Boots[0].Cause]++
	b := rep.Boots[0]
	f.log.Info("host was booted", logging.Host, r.Name, "cause", b.Cause, logging.Reason, b.Reason, "by", b.By)
}
