package system

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/slots"
)

// A system that is to be started by the kernel goes the same way, and the kernel has it before the slot is tried.
func TestKexec(t *testing.T) {
	m := newMachine(t)
	m.publish("1.1.0")
	m.tried = func() {
		if !slices.Equal(m.kernel, []string{"b 1.1.0"}) {
			t.Errorf("the slot is tried, and the kernel was given %q", m.kernel)
		}
	}
	m.order("1.1.0", host.Kexec)
	m.says(host.SystemSwitching, "")
	if len(m.left) != 1 || !m.left[0].Kexec || m.left[0].Reason != "release 1.1.0: spring" {
		t.Fatalf("the order to leave: %+v", m.left)
	}
	m.reboot(true)
	m.says(host.SystemDone, "")
	m.publish("1.2.0")
	m.tried, m.kernel = nil, nil
	m.order("1.2.0", host.Kexec)
	m.says(host.SystemSwitching, "")
	m.reboot(false)
	m.says(host.SystemFailed, "the orchestrator has not answered a report")
}

// A kernel that does not take it ends the order before anything is touched; an order to switch goes on from there.
func TestNotKexec(t *testing.T) {
	m := newMachine(t)
	m.publish("1.1.0")
	m.cant = "this one is not signed"
	m.order("1.1.0", host.Kexec)
	m.says(host.SystemFailed, "release 1.1.0 can't be started by kexec: this one is not signed; it is in slot b")
	if len(m.left) > 0 || m.is.Slots[1].State != slots.Staged {
		t.Errorf("left %+v, slot b %s", m.left, m.is.Slots[1].State)
	}
	m.start()
	m.says(host.SystemFailed, host.NotKexec)
	m.order("1.1.0", host.Switch)
	m.says(host.SystemSwitching, "")
	if len(m.left) != 1 || m.left[0].Kexec {
		t.Errorf("the order to leave: %+v", m.left)
	}
}

// Where it can't be only at the end, the firmware starts what is armed.
func TestKexecAtTheEnd(t *testing.T) {
	m := newMachine(t)
	m.publish("1.1.0")
	m.leave = errors.New("ask init to leave: there is no /v1/kexec")
	m.order("1.1.0", host.Kexec)
	m.says(host.SystemSwitching, "")
	if len(m.left) != 2 || !m.left[0].Kexec || m.left[1].Kexec || !strings.HasPrefix(m.left[1].Reason, "release 1.1.0") {
		t.Fatalf("the orders to leave: %+v", m.left)
	}
	m.reboot(true)
	m.says(host.SystemDone, "")
}
