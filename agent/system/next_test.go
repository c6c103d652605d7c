package system

import (
	"strings"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/slots"
)

func sum(c string) string { return strings.Repeat(c, 64) }

// at are the slots of a host that runs 1.0.0 from slot a; change makes them others.
func at(change func(a, b *slots.Slot)) slots.Status {
	a := slots.Slot{Name: slots.A, State: slots.Committed, Version: "1.0.0", SHA256: sum("a"), Booted: true, Next: true}
	b := slots.Slot{Name: slots.B, State: slots.Empty}
	if change != nil {
		change(&a, &b)
	}
	return slots.Status{Installed: true, Disk: "/dev/vda", Slots: []slots.Slot{a, b}}
}

func staged(_, b *slots.Slot) { b.State, b.Version, b.SHA256 = slots.Staged, "1.1.0", sum("b") }

func trying(a, b *slots.Slot) { staged(a, b); b.State, b.Next, a.Next = slots.Trying, true, false }

func booted(state slots.State) func(a, b *slots.Slot) {
	return func(a, b *slots.Slot) {
		staged(a, b)
		b.State, b.Booted, a.Booted = state, true, false
	}
}

func order(step host.SystemStep) *host.System {
	return &host.System{Version: 1, Revision: 5, Release: "1.1.0", Step: step, Order: "o1"}
}

var (
	aim  = &target{Release: "1.1.0", Digest: wire.Digest("sha256:" + sum("b")), Bytes: 9}
	over = &target{Release: "1.1.0", Over: "2.0.0", Digest: wire.Digest("sha256:" + sum("b")), Bytes: 9}
	back = &host.System{Version: 1, Revision: 6}
)

func TestNext(t *testing.T) {
	failed := func(a, b *slots.Slot) {
		staged(a, b)
		b.State, b.Reason = slots.Failed, "not well within 10m0s: gossip is not up"
	}
	good := func(a, b *slots.Slot) { staged(a, b); b.State = slots.Good }
	other := func(a, b *slots.Slot) { staged(a, b); b.SHA256 = sum("c") }
	begun, tried := kept{Order: "o1", Target: aim}, kept{Order: "o1", Target: aim, Tried: "boot-1"}
	stopOver := &host.System{Version: 1, Release: "2.0.0", Step: host.Switch, Order: "o1"}
	for _, c := range []struct {
		name   string
		want   *host.System
		kept   kept
		slots  slots.Status
		looked bool
		do     action
		state  host.SystemState
		reason string // a part of it
		after  *kept  // nil: as before
	}{
		{"nothing was ever wanted", nil, kept{}, at(nil), false, rest, host.SystemIdle, "", nil},
		{"not installed", nil, kept{}, slots.Status{}, false, rest, host.SystemIdle, "not installed", nil},
		{"not installed, and wanted", order(host.Switch), kept{}, slots.Status{}, false, rest, host.SystemRefused, "install it", nil},
		{"an order", order(host.Switch), kept{}, at(nil), false, look, host.SystemLooking, "", &kept{Order: "o1"}},
		{"another order", order(host.Switch), kept{Order: "o0", Target: aim, Ended: host.SystemFailed, Reason: "x"}, at(nil), true, look,
			host.SystemLooking, "", &kept{Order: "o1"}},
		{"what runs", &host.System{Release: "1.0.0", Step: host.Switch, Order: "o1"}, kept{}, at(nil), false, rest, host.SystemIdle,
			"runs already", &kept{Order: "o1"}},
		{"chosen", order(host.Stage), begun, at(nil), true, fetch, host.SystemFetching, "", nil},
		{"chosen before the program began again", order(host.Stage), begun, at(staged), false, look, host.SystemLooking, "", nil},
		{"another system is in the slot", order(host.Stage), begun, at(other), true, fetch, host.SystemFetching, "", nil},
		{"it failed in another order", order(host.Stage), begun, at(failed), true, fetch, host.SystemFetching, "", nil},
		{"staged", order(host.Stage), begun, at(staged), true, rest, host.SystemStaged, "", nil},
		{"staged, by a step that is not known", order("later"), begun, at(staged), true, rest, host.SystemStaged, "", nil},
		{"staged on the way", order(host.Stage), kept{Order: "o1", Target: over}, at(staged), true, rest, host.SystemStaged,
			"stop-over to release 2.0.0", nil},
		{"staged, to switch", order(host.Switch), begun, at(staged), true, try, host.SystemSwitching, "", &tried},
		{"a good one, to switch", order(host.Switch), begun, at(good), true, try, host.SystemSwitching, "", &tried},
		{"killed before the slots were asked", order(host.Switch), tried, at(staged), false, try, host.SystemSwitching, "", nil},
		{"killed before the reboot", order(host.Switch), tried, at(trying), false, leave, host.SystemSwitching, "", nil},
		{"taken back before the slots were asked", back, tried, at(staged), false, rest, host.SystemIdle, "", &begun},
		{"taken back after they were", back, tried, at(trying), false, stay, host.SystemSwitching, "", nil},
		{"taken back", back, begun, at(staged), true, rest, host.SystemIdle, "", nil},
		{"busy", order(host.Stage), begun, func() slots.Status { s := at(nil); s.Busy = "a system is being written"; return s }(), true,
			rest, host.SystemFetching, "being written", nil},
		{"the slots can't be read", order(host.Stage), begun, func() slots.Status { s := at(nil); s.Problem = "I/O error"; return s }(),
			true, rest, host.SystemLooking, "I/O error", nil},
		{"the rescue system runs", order(host.Stage), begun, slots.Status{Installed: true, Slots: []slots.Slot{{Name: slots.Rescue,
			Booted: true}}}, true, rest, host.SystemIdle, "rescue", nil},
		{"what was booted is not known", order(host.Stage), begun, slots.Status{Installed: true}, true, rest, host.SystemIdle,
			"not known", nil},
		{"this system is not well yet", order(host.Stage), begun, at(func(a, _ *slots.Slot) { a.State = slots.Staged }), true, rest,
			host.SystemLooking, "has not shown", nil},
	} {
		check(t, c.name, moment{want: c.want, kept: c.kept, slots: c.slots, version: "1.0.0", boot: "boot-1", looked: c.looked}, c.do,
			c.state, c.reason, c.after)
	}
	// In the boot after the switch.
	done := kept{Order: "o1", Target: aim, Ended: host.SystemDone}
	ended := func(reason string) *kept {
		return &kept{Order: "o1", Target: aim, Ended: host.SystemFailed, Reason: reason}
	}
	for _, c := range []struct {
		name   string
		want   *host.System
		kept   kept
		slots  slots.Status
		do     action
		state  host.SystemState
		reason string
		after  *kept
	}{
		{"it is tried", order(host.Switch), tried, at(booted(slots.Trying)), rest, host.SystemTrying, "", nil},
		{"it is tried, and the order was taken back", back, tried, at(booted(slots.Trying)), rest, host.SystemTrying, "", nil},
		{"it is not looked at yet", order(host.Switch), tried, at(booted(slots.Staged)), rest, host.SystemTrying, "", nil},
		{"it is committed", order(host.Switch), tried, at(booted(slots.Committed)), rest, host.SystemDone, "", &done},
		{"it is committed, and the order was taken back", back, tried, at(booted(slots.Committed)), rest, host.SystemIdle, "", &done},
		{"done", order(host.Switch), done, at(booted(slots.Committed)), rest, host.SystemDone, "", nil},
		{"the stop-over is done", stopOver, kept{Order: "o1", Target: over, Tried: "boot-1"}, at(booted(slots.Committed)), look,
			host.SystemLooking, "", &kept{Order: "o1"}},
		{"back in the old one, not looked at yet", order(host.Switch), tried, at(trying), rest, host.SystemTrying, "", nil},
		{"back in the old one", order(host.Switch), tried, at(failed), rest, host.SystemFailed, "gossip is not up",
			ended("not well within 10m0s: gossip is not up")},
		{"back, and never again", order(host.Switch), *ended("x"), at(failed), rest, host.SystemFailed, "x", nil},
		{"the power was cut before the switch was kept", order(host.Switch), tried, at(staged), look, host.SystemLooking, "", &begun},
		{"somebody went back", order(host.Switch), tried, at(good), rest, host.SystemFailed, "was left again for slot a",
			ended("release 1.1.0 was left again for slot a")},
		{"somebody wrote another one over it", order(host.Switch), tried, at(other), rest, host.SystemFailed, "does not hold",
			ended("slot b does not hold release 1.1.0 any more")},
		{"a document without a target", order(host.Switch), kept{Order: "o1", Tried: "boot-1"}, at(nil), look, host.SystemLooking, "", nil},
	} {
		check(t, "after: "+c.name, moment{want: c.want, kept: c.kept, slots: c.slots, version: "1.0.0", boot: "boot-2"}, c.do, c.state,
			c.reason, c.after)
	}
}

func check(t *testing.T, name string, m moment, do action, state host.SystemState, reason string, after *kept) {
	t.Helper()
	got := next(m)
	if after == nil {
		after = &m.kept
	}
	if got.do != do || got.status.State != state || !strings.Contains(got.status.Reason, reason) || !same(got.kept, *after) {
		t.Errorf("%s: %s, %s %q, keeps %+v; want %s, %s %q, %+v", name, got.do, got.status.State, got.status.Reason, got.kept, do, state,
			reason, *after)
	}
	if again := m; got.do == rest { // what rests changes nothing the next time
		again.kept = got.kept
		if second := next(again); second.do != rest || !same(second.kept, got.kept) || !second.status.Same(&got.status) {
			t.Errorf("%s: and then %+v, before it was %+v", name, second, got)
		}
	}
}
