package entitle

import (
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/license"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

func TestUncovered(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }
	// In another order than that of joining: the order of the list must not matter.
	hosts := []Host{{"h-3", host.RoleUser, 3, day(4)}, {"h-1", host.RoleUser, 1, day(2)}, {"h-0", host.RoleInfra, 0, day(1)},
		{"h-2", host.RoleUser, 2, day(3)}}
	for _, c := range []struct {
		name string
		l    License
		want map[wire.HostID]string
	}{
		{"enough", License{Hosts: 3, State: license.StateActive}, nil},
		{"two of three, in order of joining", License{Hosts: 2, State: license.StateActive},
			map[wire.HostID]string{"h-3": "covers 2 hosts and this is number 3"}},
		{"in grace all goes on", License{Hosts: 3, State: license.StateGrace}, nil},
		{"none", License{State: license.StateNone, Reason: "signature does not match"},
			map[wire.HostID]string{"h-1": "signature", "h-2": "signature", "h-3": "signature"}},
		{"expired: who was there stays", License{Hosts: 3, State: license.StateExpired, Since: day(3).Add(time.Hour),
			Reason: "the licence ended"}, map[wire.HostID]string{"h-3": "joined later"}},
		{"limited: who was there stays", License{Hosts: 3, State: license.StateLimited, Since: day(2).Add(time.Hour)},
			map[wire.HostID]string{"h-2": "limited", "h-3": "limited"}},
	} {
		got := Uncovered(hosts, c.l)
		if len(got) != len(c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
		for id, why := range c.want {
			if !strings.Contains(got[id], why) {
				t.Errorf("%s: %s: got %q, want a reason with %q", c.name, id, got[id], why)
			}
		}
	}
}

func TestNewEnvironment(t *testing.T) {
	for state, allowed := range map[license.State]bool{license.StateActive: true, license.StateDue: true, license.StateGrace: true,
		license.StateLimited: false, license.StateExpired: false, license.StateNone: false} {
		if why := NewEnvironment(License{State: state}); (why == "") != allowed {
			t.Errorf("%s: %q", state, why)
		}
	}
}
