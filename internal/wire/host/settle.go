package host

import (
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/wire/upkeep"
)

// counted stands in the reasons of earlier hosts between why a container does not run and how long it waits for its next start: "4.3s", and
// another text in the next report.
const counted = "; next start in "

// Settle gives the statuses of a report the form they have since NextStart is a field: what a host of an earlier release counts down in its
// reasons goes there.
func (r *Report) Settle() {
	r.Boots = upkeep.Bounded(r.Boots)
	cloned := false
	for i, c := range r.Containers {
		why, in, ok := strings.Cut(c.Reason, counted)
		if !ok {
			continue
		}
		if !cloned { // the list may be another's too
			r.Containers, cloned = slices.Clone(r.Containers), true
		}
		c.Reason = why
		if left, err := time.ParseDuration(in); err == nil && c.NextStart.IsZero() {
			c.NextStart = r.Sent.Add(left)
		}
		r.Containers[i] = c
	}
}

// clocksAgree is by how much the clocks of host and orchestrator may differ without anybody's seeing it.
const clocksAgree = time.Second

// At is a moment of the host's clock by the clock of whoever received the report then. While the two agree it is the moment itself, so that
// it is the same from report to report.
func (r *Report) At(moment, received time.Time) time.Time {
	if off := received.Sub(r.Sent); !moment.IsZero() && !r.Sent.IsZero() && off.Abs() > clocksAgree {
		return moment.Add(off)
	}
	return moment
}
