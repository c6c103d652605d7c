package operator

import (
	"strings"
	"testing"
)

func TestLeavingMeans(t *testing.T) {
	infra1 := Host{ID: "h-1", Role: "infra", State: HostActive, Containers: 7}
	infra2 := Host{ID: "h-2", Role: "infra", State: HostActive}
	away := Host{ID: "h-3", Role: "infra", State: HostUnreachable}
	user := Host{ID: "h-4", Role: "user", State: HostActive, Containers: 1}
	idle := Host{ID: "h-5", Role: "user", State: HostActive}
	for _, c := range []struct {
		name   string
		h      Host
		all    []Host
		off    bool
		has    []string
		hasNot []string
	}{
		{"the only infra host", infra1, []Host{infra1, user}, false, []string{"7 containers stop", "only infra host", "until it is back"},
			[]string{"switches it on"}},
		{"the only one that answers", infra1, []Host{infra1, away}, true, []string{"only infra host", "switches it on"}, nil},
		{"one of two", infra1, []Host{infra1, infra2}, false, []string{"7 containers stop"}, []string{"infra"}},
		{"a user host", user, []Host{infra1, user}, true, []string{"its container stops", "switches it on"}, []string{"infra"}},
		{"with nothing on it", idle, []Host{infra1, idle}, false, []string{"no containers run on it"}, []string{"infra"}},
	} {
		got := LeavingMeans(c.h, c.all, c.off)
		for _, w := range c.has {
			if !strings.Contains(got, w) {
				t.Errorf("%s: %q has no %q", c.name, got, w)
			}
		}
		for _, w := range c.hasNot {
			if strings.Contains(got, w) {
				t.Errorf("%s: %q has %q", c.name, got, w)
			}
		}
	}
}
