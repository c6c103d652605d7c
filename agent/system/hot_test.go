package system

import (
	"testing"

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
	if is := m.System.Status(); is.Release != "1.0.0" || is.Hot != "1.1.0" || is.Runs() != "1.1.0" || len(is.Waits) != 1 {
		t.Errorf("while they are tried: %+v", is)
	}
	if m.is.Slots[1].State != slots.Staged {
		t.Errorf("slot b is %s before they are kept", m.is.Slots[1].State)
	}
	m.waits = nil
	m.says(host.SystemDone, "")
	if is := m.System.Status(); is.Release != "1.0.0" || is.Hot != "1.1.0" || m.is.Slots[1].State != slots.Trying || len(m.left) > 0 {
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
