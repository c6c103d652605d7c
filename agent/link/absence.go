package link

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/wire/host"
)

// absence decides what is said of an orchestrator that does not answer. Its endpoints are asked in turn and each has its own reason; what
// is said holds all of them, so it does not change with each try. The zero value has heard nothing.
type absence struct {
	heard []failing // by endpoint
	said  host.Problem
	at    time.Time // when what is to be said began to differ from what is said; zero: it does not
}

type failing struct {
	endpoint string
	problem  host.Problem
}

// lasting is how long another reason must stand before it takes the place of the one that is said.
const lasting = 30 * time.Second

// failed takes in how a try at an endpoint ended and returns the problem to show.
func (a *absence) failed(now time.Time, endpoint string, p host.Problem) host.Problem {
	i, known := slices.BinarySearchFunc(a.heard, endpoint, func(f failing, e string) int { return cmp.Compare(f.endpoint, e) })
	if known {
		a.heard[i].problem = p
	} else {
		a.heard = slices.Insert(a.heard, i, failing{endpoint, p})
	}
	next := a.all()
	switch {
	case next == a.said:
		a.at = time.Time{}
	case !known:
		a.said, a.at = next, time.Time{}
	case a.at.IsZero():
		a.at = now
	case now.Sub(a.at) >= lasting:
		a.said, a.at = next, time.Time{}
	}
	return a.said
}

// all is the problem of all endpoints: the first one that said no, or that a person must mend; else every reason there is.
func (a *absence) all() host.Problem {
	out := a.heard[0].problem
	var reasons []string
	for _, f := range a.heard {
		if f.problem.Code != unavailable {
			return f.problem
		}
		if !slices.Contains(reasons, f.problem.Reason) {
			reasons = append(reasons, f.problem.Reason)
		}
	}
	out.Reason = strings.Join(reasons, "; ")
	return out
}
