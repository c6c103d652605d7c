package system

import (
	"errors"
	"testing"
	"time"

	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/slots"
)

// trying has init be done with replacing; the agent is the new one.
func (m *machine) trying() {
	m.t.Helper()
	m.says(host.SystemSwitching, "")
	if m.hot == nil || m.hot.State != boot.HotReplacing {
		m.t.Fatalf("init was not asked: %+v", m.hot)
	}
	if m.is.Slots[1].State != slots.Staged {
		m.t.Errorf("slot b is %s while programs are replaced", m.is.Slots[1].State)
	}
	now := *m.hot
	now.State, m.runs = boot.HotTrying, now.Release
	m.hot = &now
	m.start()
}

// TestHot: programs are replaced, kept when the host is well, and the next boot, whenever it comes, is from the release's slot.
func TestHot(t *testing.T) {
	m := newMachine(t)
	m.publish("1.1.0")
	m.order("1.1.0", host.Hot)
	m.waits = []string{"gossip is not up"}
	m.trying()
	m.says(host.SystemTrying, "")
	if is := m.System.Status(); is.Release != "1.0.0" || is.Hot != "1.1.0" || is.Runs() != "1.1.0" || len(is.Waits) != 1 ||
		is.Away() <= usualHot*time.Second {
		t.Errorf("while they are tried: %+v", is)
	}
	if m.is.Slots[1].State != slots.Staged {
		t.Errorf("slot b is %s before they are kept", m.is.Slots[1].State)
	}
	m.waits = nil
	m.says(host.SystemDone, "")
	if is := m.System.Status(); is.Release != "1.0.0" || is.Hot != "1.1.0" || m.is.Slots[1].State != slots.Trying || len(m.left) > 0 ||
		is.Away() != 0 {
		t.Errorf("at the end: %+v, slot b %s, %d reboots", is, m.is.Slots[1].State, len(m.left))
	}
	m.start() // the agent is started again
	m.says(host.SystemDone, "")
	m.reboot(true)
	m.says(host.SystemDone, "")
	if is := m.System.Status(); is.Release != "1.1.0" || is.Hot != "" || m.is.Slots[1].State != slots.Committed {
		t.Errorf("after a reboot: %+v, slot b %s", is, m.is.Slots[1].State)
	}
}

// TestHotThenBootedBadly: a slot that was armed and is not well at the next boot makes the order a failed one.
func TestHotThenBootedBadly(t *testing.T) {
	m := newMachine(t)
	m.publish("1.1.0")
	m.order("1.1.0", host.Hot)
	m.trying()
	m.says(host.SystemDone, "")
	m.runs = "1.0.0"
	m.reboot(false)
	m.says(host.SystemFailed, "not well within")
	if is := m.System.Status(); is.Runs() != "1.0.0" {
		t.Errorf("it runs %s", is.Runs())
	}
}

// TestHotEndsBadly: each way in which programs are not replaced, and what is left then.
func TestHotEndsBadly(t *testing.T) {
	t.Run("more than programs differs", func(t *testing.T) {
		m := newMachine(t)
		m.publish("1.1.0")
		m.order("1.1.0", host.Hot)
		m.notHot = "it has another kernel, for which a reboot is needed"
		m.says(host.SystemFailed, "release 1.1.0 can't be hot: it has another kernel, for which a reboot is needed; it is in slot b: "+
			"give the order without hot to have it booted")
		m.order("1.1.0", host.Switch)
		m.says(host.SystemSwitching, "")
		if len(m.left) != 1 {
			t.Errorf("%d reboots for the order without hot", len(m.left))
		}
	})
	t.Run("init goes back", func(t *testing.T) {
		m := newMachine(t)
		m.publish("1.1.0")
		m.order("1.1.0", host.Hot)
		m.trying()
		m.hot = &boot.Hot{Release: "1.1.0", Root: m.hot.Root, State: boot.HotBack, Reason: "agent: ended 3 times"}
		m.runs = "1.0.0"
		m.start()
		m.says(host.SystemFailed, "the programs from before run again: agent: ended 3 times")
		if is := m.System.Status(); is.Away() != 0 {
			t.Errorf("the agent from before says that it is away: %+v", is)
		}
		if m.is.Slots[1].State != slots.Staged {
			t.Errorf("slot b is %s", m.is.Slots[1].State)
		}
		m.says(host.SystemFailed, "the programs from before") // it is not begun again
	})
	t.Run("the host is booted meanwhile", func(t *testing.T) {
		m := newMachine(t)
		m.publish("1.1.0")
		m.order("1.1.0", host.Hot)
		m.trying()
		m.waits = []string{"gossip is not up"}
		m.says(host.SystemTrying, "")
		m.runs = "1.0.0"
		m.reboot(true)
		m.says(host.SystemFailed, "the host was booted again while its programs were replaced")
	})
	t.Run("a stop-over comes first", func(t *testing.T) {
		m := newMachine(t)
		m.publish("1.1.0")
		m.publish("1.2.0", "1.1.0")
		m.order("1.2.0", host.Hot)
		m.says(host.SystemFailed, "release 1.1.0 comes first, as a stop-over to 1.2.0")
	})
	t.Run("the order is taken back before init knows of it", func(t *testing.T) {
		m := newMachine(t)
		m.publish("1.1.0")
		m.order("1.1.0", host.Hot)
		m.trying()
		m.hot = nil // it was lost
		m.order("", host.Hot)
		m.says(host.SystemIdle, "")
		if m.hot != nil {
			t.Error("init was asked once more")
		}
	})
}

// TestHotFailsAfterHot: what a hot order that fails wrote over is put back, so that a reboot does not go behind what was kept before.
func TestHotFailsAfterHot(t *testing.T) {
	for _, c := range []struct {
		name string
		ends func(m *machine) // the second order
	}{
		{"init goes back", func(m *machine) {
			m.trying()
			m.hot = &boot.Hot{Runs: "1.1.0", Release: "1.2.0", Root: m.hot.Root, State: boot.HotBack, Reason: "agent: not ready in time"}
			m.runs = "1.1.0"
			m.start()
		}},
		{"more than programs differs", func(m *machine) { m.notHot = "it has another kernel" }},
		{"it can't be written", func(m *machine) {
			m.broken = true
			m.says(host.SystemFailed, "does not read back")
			m.broken = false
		}},
		{"it is taken back when it is staged", func(m *machine) {
			m.order("1.2.0", host.Stage)
			m.says(host.SystemStaged, "")
			m.order("", host.Stage)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			m.publish("1.1.0")
			m.publish("1.2.0")
			m.order("1.1.0", host.Hot)
			m.trying()
			m.says(host.SystemDone, "")
			m.order("1.2.0", host.Hot)
			c.ends(m)
			m.turn()
			if b := m.is.Slots[1]; b.Version != "1.1.0" || b.State != slots.Trying || len(m.left) > 0 {
				t.Fatalf("slot b is %+v, %d reboots: %+v", b, len(m.left), m.System.Status())
			}
			if is := m.System.Status(); is.Hot != "1.1.0" || m.want.Wanted() != (is.State == host.SystemFailed) {
				t.Errorf("it says %+v", is)
			}
			if _, err := m.Do(t.Context(), slots.Request{Action: slots.Stay}); err != nil { // who takes that back has it so
				t.Fatal(err)
			}
			m.start()
			m.turn()
			if b := m.is.Slots[1]; b.State != slots.Staged {
				t.Errorf("slot b is %s, after it was to stay as it is", b.State)
			}
		})
	}
}

// TestPutBackLater: while the repositories are away what is to be put back waits, says so, and gives way to another order.
func TestPutBackLater(t *testing.T) {
	m := newMachine(t)
	m.publish("1.1.0")
	m.publish("1.2.0")
	m.order("1.1.0", host.Hot)
	m.trying()
	m.says(host.SystemDone, "")
	m.order("1.2.0", host.Hot)
	m.notHot = "it has another kernel"
	for m.kept.Ended != host.SystemFailed {
		if err := m.carry(t.Context(), next(m.moment())); err != nil {
			t.Fatal(err)
		}
	}
	m.meddle = func(string, []byte) ([]byte, error) { return nil, errors.New("connection refused") }
	m.says(host.SystemFailed, "release 1.1.0, whose programs run, is put back into slot b")
	m.says(host.SystemFailed, "connection refused")
	m.meddle = nil
	m.order("1.2.0", host.Switch)
	m.says(host.SystemSwitching, "")
	if len(m.left) != 1 || m.is.Slots[1].Version != "1.2.0" {
		t.Errorf("%d reboots, slot b %+v", len(m.left), m.is.Slots[1])
	}
}

// TestHotTwice: programs that replaced others are replaced in turn; the slot is another release's then.
func TestHotTwice(t *testing.T) {
	m := newMachine(t)
	m.publish("1.1.0")
	m.publish("1.2.0")
	m.order("1.1.0", host.Hot)
	m.trying()
	m.says(host.SystemDone, "")
	m.order("1.2.0", host.Hot)
	m.trying()
	m.says(host.SystemDone, "")
	if is := m.System.Status(); is.Release != "1.0.0" || is.Hot != "1.2.0" || m.is.Slots[1].Version != "1.2.0" {
		t.Errorf("at the end: %+v, slot b %+v", is, m.is.Slots[1])
	}
	m.order("1.2.0", host.Hot)
	m.says(host.SystemIdle, "it runs already")
	m.order("1.2.0", host.Switch) // a reboot is wanted after all
	m.says(host.SystemSwitching, "")
	if len(m.left) != 1 {
		t.Errorf("%d reboots", len(m.left))
	}
}
