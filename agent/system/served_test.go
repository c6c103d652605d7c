package system

import (
	"errors"
	"strings"
	"testing"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/slots"
)

// TestServed: a host that the network serves boots anew for an order, once, and says with which release it came up.
func TestServed(t *testing.T) {
	order := func(step host.SystemStep, release, boot string) *host.System {
		return &host.System{Version: 1, Release: release, Step: step, Order: "o1", Boot: boot}
	}
	for _, c := range []struct {
		name   string
		want   *host.System
		net    bool
		do     action
		state  host.SystemState
		reason string
	}{
		{"nothing is wanted", nil, true, rest, host.SystemIdle, "not installed"},
		{"taken back", &host.System{Version: 1}, true, rest, host.SystemIdle, "not installed"},
		{"ordered in this boot", order(host.Switch, "1.1.0", "boot-1"), true, leave, host.SystemSwitching, "boots anew"},
		{"it came up with it", order(host.Switch, "1.0.0", "boot-0"), true, rest, host.SystemDone, ""},
		{"it runs already", order(host.Switch, "1.0.0", "boot-1"), true, rest, host.SystemDone, ""},
		{"it came up with another", order(host.Switch, "1.1.0", "boot-0"), true, rest, host.SystemFailed,
			"runs release 1.0.0: release 1.1.0 was not"},
		{"to be staged", order(host.Stage, "1.1.0", "boot-1"), true, rest, host.SystemRefused, "install it"},
		{"by an earlier orchestrator", order(host.Switch, "1.1.0", ""), true, rest, host.SystemFailed, "was not served"},
		{"from a medium", order(host.Switch, "1.1.0", "boot-1"), false, rest, host.SystemRefused, "install it"},
	} {
		s := next(moment{want: c.want, net: c.net, version: "1.0.0", boot: "boot-1", slots: slots.Status{}})
		if s.do != c.do || s.status.State != c.state || !strings.Contains(s.status.Reason, c.reason) || s.status.Net != c.net ||
			s.status.Release != "1.0.0" || c.want.Wanted() && s.status.Order != "o1" {
			t.Errorf("%s: %s, %+v", c.name, s.do, s.status)
		}
	}
}

// TestSettle: that it is well is said once, and again where it could not be said.
func TestSettle(t *testing.T) {
	well, said := false, 0
	var fails error
	s := New(Options{Net: true, Well: func() bool { return well }, Settled: func() error { said++; return fails }})
	s.settle()
	well, fails = true, errors.New("no space left")
	s.settle()
	fails = nil
	s.settle()
	s.settle()
	if said != 2 || !s.told {
		t.Errorf("said %d times, %v", said, s.told)
	}
	s = New(Options{})
	s.settle() // a host that the network did not serve
}
