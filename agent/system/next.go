package system

import (
	"fmt"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/slots"
)

// kept is the file order.json: what became of the last order that was taken up.
type kept struct {
	Order   string           `json:"order,omitempty"`
	Target  *target          `json:"target,omitempty"`  // chosen for the order; nil: nothing yet
	Fetched int64            `json:"fetched,omitempty"` // bytes that came over the network for it
	Tried   string           `json:"tried,omitempty"`   // the boot in which the switch to Target was begun
	Hot     string           `json:"hot,omitempty"`     // the root of Target's programs, which were to replace those of the boot Tried
	Within  int64            `json:"within,omitempty"`  // how many seconds these have to be well
	Ended   host.SystemState `json:"ended,omitempty"`   // SystemDone or SystemFailed: nothing more is done for the order
	Reason  string           `json:"reason,omitempty"`  // of SystemFailed

	// Runs is whose programs were kept last, in the boot RunsIn: a reboot is to be into it, whatever comes of orders after that. Again: it
	// is put back into its slot.
	Runs   *target `json:"runs,omitempty"`
	RunsIn string  `json:"runsIn,omitempty"`
	Again  bool    `json:"again,omitempty"`
}

// target is the system that an order leads to next.
type target struct {
	Release string      `json:"release"`
	Over    string      `json:"over,omitempty"` // the release that it is a stop-over to
	Digest  wire.Digest `json:"digest"`         // of its UKI
	Bytes   int64       `json:"bytes"`
}

// moment is all that is decided by.
type moment struct {
	want    *host.System // nil: nothing was ever wanted
	kept    kept
	slots   slots.Status
	version string      // of this program, where the slots don't tell
	boot    string      // this boot
	root    wire.Digest // of a host without slots
	net     bool        // a host without slots was booted from the network
	looked  bool        // the repositories were looked at for this order since this program began, and chose kept.Target
	hot     *boot.Hot
	waits   []string // what the host is not well in
}

// action is what follows.
type action string

// The actions.
const (
	rest  action = "rest"
	look  action = "look"  // at both repositories, for a target
	fetch action = "fetch" // the target, into the slot that is not booted
	try   action = "try"   // have the slot booted once
	leave action = "leave" // the machine, for the slot that is tried
	stay  action = "stay"  // have the slot that is booted booted again: the order to switch was taken back before the reboot

	replace action = "replace" // the programs that run by those of the slot that is not booted
	confirm action = "confirm" // that the programs which replaced others are well
	arm     action = "arm"     // have the slot that is not booted booted the next time, whenever that is
	restore action = "restore" // kept.Runs into the slot that is not booted
)

// step is an action with what is to be kept before it, and what is said of it.
type step struct {
	do     action
	kept   kept
	status host.SystemStatus
}

// notInstalled is said by a host without slots.
const notInstalled = "not installed: it boots what its medium or the network serves"

// next decides what is done for the wanted system.
//
//	order → looking → fetching → staged → switching → (reboot) → trying → done
//	           │          │                                        └→ failed: back in the old slot, with the slots' reason
//	        refused     failed: the slot can't be written
//
// A stop-over goes the whole way, then the order goes on from looking. An order that ended is never begun again.
//
// A hot order goes another way from staged; the reboot is somebody else's, later:
//
//	staged → switching → trying → (the slot is armed) → done → (reboot) → trying → done or failed
//	             └──────────┴→ failed: the programs from before run, with init's reason
//
// Where these were another release's, kept by a hot order before, that one is put back into the slot.
func next(m moment) step {
	s := step{do: rest, kept: m.kept}
	s.status = host.SystemStatus{Release: m.version, State: host.SystemIdle, Order: m.kept.Order}
	if t := m.kept.Target; t != nil {
		s.status.Target, s.status.Total, s.status.Fetched = t.Release, t.Bytes, m.kept.Fetched
	}
	if !m.slots.Installed {
		return s.served(m)
	}
	booted, idle := sides(m.slots)
	if booted == nil || booted.Name == slots.Rescue {
		s.status.Reason = "the slot that was booted is not known; " + m.slots.Problem
		if booted != nil {
			s.status.Slot, s.status.Reason = booted.Name, "the rescue system runs: see the slots (hnctl host slots)"
		}
		return s
	}
	s.status.Slot = booted.Name
	if booted.Version != "" {
		s.status.Release = booted.Version
	}
	if booted.SHA256 != "" {
		s.status.Digest = wire.Digest("sha256:" + booted.SHA256)
	}
	s.status.Hot = m.hot.Programs()
	if booted.State == slots.Trying {
		s.status.State, s.status.Waits, s.status.Deadline = host.SystemTrying, m.slots.Waits, m.slots.Deadline
		return s
	}
	if s.kept.Hot != "" && s.kept.Tried != "" && s.kept.Target != nil && s.replaced(m, idle) {
		return s
	}
	if s.kept.Hot == "" && s.kept.Tried != "" && s.kept.Target != nil && s.kept.Ended == "" && s.tried(m, *booted, idle) {
		return s
	}
	if under := m.want.Wanted() && (m.want.Order != s.kept.Order || s.kept.Ended == ""); !under && s.restores(m, idle) {
		return s
	}
	return s.ordered(m, *booted, idle)
}

// restores looks whether the slot that is not booted lacks the release whose programs run, since another one was written into it that was
// not kept; true: there is nothing else to look at.
func (s *step) restores(m moment, idle *slots.Slot) bool {
	r := s.kept.Runs
	switch {
	case r == nil:
		return false
	case s.kept.RunsIn != m.boot || m.hot.Programs() != r.Release:
		s.kept.Runs, s.kept.RunsIn, s.kept.Again = nil, "", false
		return false
	case !r.holds(*idle):
		s.do, s.kept.Again = restore, true
	case s.kept.Again && idle.State != slots.Trying:
		s.do = arm
	default:
		s.kept.Again = false
		return false
	}
	s.status.Target, s.status.Total, s.status.Fetched = r.Release, r.Bytes, 0
	s.status.Reason = fmt.Sprintf("release %s, whose programs run, is put back into slot %s", r.Release, idle.Name)
	if s.kept.Ended == host.SystemFailed && m.want.Wanted() {
		s.status.State, s.status.Reason = s.kept.Ended, s.kept.Reason+"; "+s.status.Reason
	}
	return true
}

// served is what a host without slots does. One that was booted from the network boots anew for another release, once for an order: what
// serves it decides which release that is, and it says which one it got.
func (s step) served(m moment) step {
	w := m.want
	s.status.Target, s.status.Total, s.status.Fetched, s.status.Reason, s.status.Net = "", 0, 0, notInstalled, m.net
	s.status.Root = m.root
	if !w.Wanted() {
		return s
	}
	s.status.Order, s.status.Target = w.Order, w.Release
	switch {
	case !m.net || w.Step != host.Switch:
		s.status.State, s.status.Target = host.SystemRefused, ""
		s.status.Reason += fmt.Sprintf("; install it (hnctl host install), or have the network serve release %s", w.Release)
	case w.Release == m.version:
		s.status.State, s.status.Reason = host.SystemDone, ""
	case w.Boot == m.boot:
		s.do, s.status.State, s.status.Reason = leave, host.SystemSwitching, "it boots anew, from the network"
	default:
		s.status.State = host.SystemFailed
		s.status.Reason = fmt.Sprintf("it was booted again, and runs release %s: release %s was not served, or did not come up", m.version,
			w.Release)
	}
	return s
}

// sides are the slot that is booted and the one beside it, which may be empty; nil: that is not known.
func sides(s slots.Status) (booted, idle *slots.Slot) {
	for i := range s.Slots {
		if s.Slots[i].Booted {
			booted = &s.Slots[i]
		}
	}
	if booted == nil {
		return nil, nil
	}
	for i := range s.Slots {
		if s.Slots[i].Name == booted.Name.Other() {
			idle = &s.Slots[i]
		}
	}
	if idle == nil {
		idle = &slots.Slot{Name: booted.Name.Other(), State: slots.Empty}
	}
	return booted, idle
}

// holds tells whether the target is in the slot, as it was read back from it.
func (t *target) holds(s slots.Slot) bool {
	return t != nil && s.SHA256 != "" && s.SHA256 == t.Digest.Hex()
}

// tried looks at a switch that was begun; true: there is nothing else to look at.
func (s *step) tried(m moment, booted slots.Slot, idle *slots.Slot) bool {
	t := m.kept.Target
	if m.kept.Tried == m.boot {
		switch ordered := m.want.Wanted() && m.want.Order == m.kept.Order; {
		case idle.State == slots.Trying && !ordered:
			s.do, s.status.State = stay, host.SystemSwitching
			return true
		case idle.State == slots.Trying: // it comes with the next boot
			s.do, s.status.State = leave, host.SystemSwitching
			return true
		case ordered && t.holds(*idle):
			s.do, s.status.State = try, host.SystemSwitching
			return true
		}
		s.kept.Tried = "" // it was not begun
		return false
	}
	fail := func(reason string) bool {
		s.kept.Ended, s.kept.Reason, s.kept.Tried = host.SystemFailed, reason, ""
		return false
	}
	switch {
	case t.holds(booted) && booted.State == slots.Committed:
		s.kept.Tried = ""
		if t.Over == "" {
			s.kept.Ended = host.SystemDone
		} else {
			s.kept.Target = nil
			s.status.Target, s.status.Total, s.status.Fetched = "", 0, 0
		}
		return false
	case t.holds(booted), idle.State == slots.Trying: // the slots are not looked at yet
		s.status.State = host.SystemTrying
		return true
	case !t.holds(*idle):
		return fail(fmt.Sprintf("slot %s does not hold release %s any more", idle.Name, t.Release))
	case idle.State == slots.Staged: // the power was cut before the switch was on the disk
		s.kept.Tried = ""
		return false
	case idle.State == slots.Failed:
		return fail(idle.Reason)
	}
	return fail(fmt.Sprintf("release %s was left again for slot %s", t.Release, booted.Name))
}

// fail ends the order.
func (s *step) fail(reason string) {
	s.kept.Ended, s.kept.Reason, s.kept.Tried, s.kept.Hot = host.SystemFailed, reason, "", ""
	s.status.State, s.status.Reason = host.SystemFailed, reason
}

// How many seconds new programs have to be well where nobody says, and how many init may take after that until the agent from before is
// there again.
const (
	usualHot = 300
	wayBack  = 90
)

// hotWithin is how many seconds new programs have to be well.
func hotWithin(wanted int64) int64 {
	if wanted == 0 {
		return usualHot
	}
	return min(wanted, host.MostHotSec)
}

// away is how many seconds the host may say nothing while programs are replaced.
func (k kept) away() int64 { return hotWithin(k.Within) + wayBack }

// replaced looks at programs that were to be replaced; true: there is nothing else to look at.
func (s *step) replaced(m moment, idle *slots.Slot) bool {
	t, h := s.kept.Target, m.hot
	switch {
	case s.kept.Tried != m.boot && s.kept.Ended == host.SystemDone: // the slot that was armed was booted meanwhile, or another one
		s.kept.Ended, s.kept.Hot = "", ""
		return false
	case s.kept.Tried != m.boot:
		s.fail("the host was booted again while its programs were replaced: what was booted runs")
		return false
	case s.kept.Ended != "":
		return false
	case h == nil || h.Root != s.kept.Hot: // init does not know of it yet
		if m.want.Wanted() && m.want.Order == s.kept.Order && t.holds(*idle) {
			s.do, s.status.State, s.status.AwaySec = replace, host.SystemSwitching, s.kept.away()
			return true
		}
		s.kept.Tried, s.kept.Hot = "", ""
		return false
	case h.State == boot.HotReplacing:
		s.status.State, s.status.Reason = host.SystemSwitching, "programs are replaced, one after the other"
		s.status.AwaySec = s.kept.away()
		if h.Reason != "" {
			s.status.Reason = h.Reason
		}
		return true
	case h.State == boot.HotTrying:
		s.status.State, s.status.Waits, s.status.AwaySec = host.SystemTrying, m.waits, s.kept.away()
		if len(m.waits) == 0 {
			s.do = confirm
		}
		return true
	case h.State == boot.HotBack:
		s.fail("the programs from before run again: " + h.Reason)
		return false
	case !t.holds(*idle):
		s.fail(fmt.Sprintf("the programs run, but slot %s does not hold release %s any more: a reboot goes back", idle.Name, t.Release))
		return false
	case idle.State != slots.Trying:
		s.do, s.status.State = arm, host.SystemSwitching
		return true
	}
	s.kept.Ended, s.kept.Runs, s.kept.RunsIn = host.SystemDone, t, m.boot
	return false
}

// ordered looks at what is wanted, now that no switch is under way.
func (s *step) ordered(m moment, booted slots.Slot, idle *slots.Slot) step {
	w := m.want
	switch {
	case !w.Wanted():
		s.status.Target, s.status.Total, s.status.Fetched = "", 0, 0
		return *s
	case w.Order != s.kept.Order:
		s.kept = kept{Order: w.Order, Runs: s.kept.Runs, RunsIn: s.kept.RunsIn}
		s.status.Order, s.status.Target, s.status.Total, s.status.Fetched = w.Order, "", 0, 0
		m.looked = false
	}
	switch t := s.kept.Target; {
	case s.kept.Ended != "":
		s.status.State, s.status.Reason = s.kept.Ended, s.kept.Reason
	case w.Step == host.Hot && s.status.Runs() == w.Release, w.Step != host.Hot && s.status.Release == w.Release:
		s.status.Reason = "it runs already"
	case m.slots.Problem != "":
		s.status.State, s.status.Reason = host.SystemLooking, m.slots.Problem
	case m.slots.Busy != "":
		s.status.State, s.status.Reason = host.SystemFetching, m.slots.Busy
	case booted.State != slots.Committed:
		s.status.State, s.status.Reason = host.SystemLooking, "the system that runs has not shown yet that it is well"
	case !m.looked || t == nil:
		s.do, s.status.State = look, host.SystemLooking
	case !t.holds(*idle) || idle.State != slots.Staged && idle.State != slots.Good && idle.State != slots.Trying:
		s.do, s.status.State = fetch, host.SystemFetching
	case w.Step == host.Switch, w.Step == host.Kexec:
		s.do, s.status.State, s.status.Bytes = try, host.SystemSwitching, t.Bytes
		s.kept.Tried = m.boot
	case w.Step == host.Hot && t.Over != "":
		s.fail(fmt.Sprintf("release %s comes first, as a stop-over to %s: it is reached by a reboot; give the order without hot", t.Release,
			t.Over))
	case w.Step == host.Hot:
		s.do, s.status.State, s.status.Bytes = replace, host.SystemSwitching, t.Bytes
		s.kept.Tried, s.kept.Hot, s.kept.Within = m.boot, boot.RootFor(t.Release, t.Digest), hotWithin(w.WithinSec)
		s.status.AwaySec = s.kept.away()
	default:
		s.status.State, s.status.Bytes = host.SystemStaged, t.Bytes
		if t.Over != "" {
			s.status.Reason = fmt.Sprintf("a stop-over to release %s", t.Over)
		}
	}
	return *s
}
