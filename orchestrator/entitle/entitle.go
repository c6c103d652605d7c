// Package entitle says which hosts the licence covers.
//
// Owns: the counting of hosts against the licence.
// In: the hosts in order of joining, what the licence allows and where it stands.
// Out: for each host that is not covered, the reason, for a person.
// Never: stops, moves or removes anything: a host that is not covered gets nothing new, and that is all.
package entitle

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"hardnode.dev/internal/license"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// Host is what counting needs to know of a host.
type Host struct {
	ID     wire.HostID
	Role   host.Role
	Order  int64 // of joining
	Joined time.Time
}

// License is what the licence allows now.
type License struct {
	Hosts  int // hosts of role user
	State  license.State
	Reason string    // why it stands so, when that is worth saying
	Since  time.Time // since when nothing may be added; zero while the licence may grow
}

// Uncovered is the reason of each host that is over the count. Only user hosts count: infra machines carry the platform itself.
// A licence that may not grow still covers the hosts that joined before that.
func Uncovered(hosts []Host, l License) map[wire.HostID]string {
	users := slices.DeleteFunc(slices.Clone(hosts), func(h Host) bool { return h.Role != host.RoleUser })
	slices.SortFunc(users, func(a, b Host) int { return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.ID, b.ID)) })
	out := map[wire.HostID]string{}
	for i, h := range users {
		switch {
		case l.State == license.StateNone:
			out[h.ID] = "no valid licence: " + cmp.Or(l.Reason, "none is installed")
		case i >= l.Hosts:
			out[h.ID] = fmt.Sprintf("the licence covers %d hosts and this is number %d in order of joining", l.Hosts, i+1)
		case !l.State.MayGrow() && !l.Since.IsZero() && h.Joined.After(l.Since):
			out[h.ID] = fmt.Sprintf("the licence is %s since %s and this host joined later: %s", l.State,
				l.Since.UTC().Format(time.DateOnly), l.Reason)
		}
	}
	return out
}

// NewEnvironment says why no new environment may be made, or "". Everything that exists goes on, grows and is replaced as before.
func NewEnvironment(l License) string {
	if l.State.MayGrow() {
		return ""
	}
	return fmt.Sprintf("the licence is %s: %s", l.State, cmp.Or(l.Reason, "none is installed"))
}
