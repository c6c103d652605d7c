package system

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/slots"
)

// A release goes its whole way, in two orders, and only the blocks that differ come over the network.
func TestUpdate(t *testing.T) {
	m := newMachine(t)
	m.says(host.SystemIdle, "")
	m.publish("1.1.0")
	m.order("1.1.0", host.Stage)
	m.says(host.SystemStaged, "")
	is := m.System.Status()
	if n := m.fetched(); n > 600<<10 || is.Fetched <= 0 || is.Fetched > int64(n) || is.Bytes != is.Total || is.Total != 3<<20 {
		t.Errorf("%d bytes were asked for; it says %+v", n, is)
	}
	if m.is.Slots[1].State != slots.Staged || m.is.Slots[1].Version != "1.1.0" || len(m.left) > 0 {
		t.Fatalf("slots: %+v, left %v", m.is.Slots, m.left)
	}
	before := m.fetched()
	m.order("1.1.0", host.Switch)
	m.says(host.SystemSwitching, "")
	if m.fetched()-before > 2000 { // the manifest
		t.Errorf("what is staged is fetched again: %d bytes", m.fetched()-before)
	}
	if len(m.left) != 1 || m.left[0].By != "admin" || m.left[0].Reason != "release 1.1.0: spring" {
		t.Errorf("the reboot: %+v", m.left)
	}
	m.reboot(true)
	m.says(host.SystemDone, "")
	if is := m.System.Status(); is.Release != "1.1.0" || is.Slot != slots.B || is.Order != m.want.Order {
		t.Errorf("at the end: %+v", is)
	}
	m.start()
	m.says(host.SystemDone, "")
	if files, _ := os.ReadDir(filepath.Join(m.data, "system")); len(files) > 0 {
		t.Errorf("%v is left", files)
	}
	m.want = &host.System{Version: 1, Revision: 9}
	m.says(host.SystemIdle, "")
}

// A system that is not well is gone back from, with the slots' reason, and the same order is not tried again; a new one is.
func TestFailedTry(t *testing.T) {
	m := newMachine(t)
	m.publish("1.1.0")
	m.order("1.1.0", host.Switch)
	m.says(host.SystemSwitching, "")
	m.reboot(false)
	m.says(host.SystemFailed, "the orchestrator has not answered a report")
	if p := m.Problem(); p == nil || !strings.Contains(p.Reason, "has not answered") || p.Next == "" {
		t.Errorf("the problem: %+v", p)
	}
	m.start()
	m.says(host.SystemFailed, "the orchestrator has not answered a report")
	if len(m.left) > 0 {
		t.Fatal("the same order is tried again")
	}
	m.want = &host.System{Version: 1, Revision: 7}
	m.says(host.SystemIdle, "")
	m.order("1.1.0", host.Switch)
	m.says(host.SystemSwitching, "")
	m.reboot(true)
	m.says(host.SystemDone, "")
}

// A release with a stop-over is gone to by it, each stop tried and committed.
func TestStopOver(t *testing.T) {
	m := newMachine(t)
	m.publish("1.5.0")
	m.publish("2.0.0", "1.5.0")
	m.order("2.0.0", host.Switch)
	m.says(host.SystemSwitching, "")
	if m.is.Slots[1].Version != "1.5.0" {
		t.Fatalf("first it goes to %+v", m.is.Slots[1])
	}
	m.reboot(true)
	m.says(host.SystemSwitching, "")
	if m.is.Slots[0].Version != "2.0.0" {
		t.Fatalf("then it goes to %+v", m.is.Slots[0])
	}
	m.reboot(true)
	m.says(host.SystemDone, "")
}

// What can't be is said, and what ended is not begun again.
func TestCannot(t *testing.T) {
	for _, c := range []struct {
		name  string
		make  func(*machine)
		state host.SystemState
		words string
	}{
		{"no trust roots", func(m *machine) { m.noTrust = true }, host.SystemRefused, "no trust roots: its configuration does not name"},
		{"not imported", func(m *machine) { m.order("1.2.0", host.Stage) }, host.SystemRefused, "not among those that both repositories"},
		{"older", func(m *machine) { m.publish("0.9.0"); m.order("0.9.0", host.Stage) }, host.SystemRefused, "older than 1.0.0"},
		{"ESP full", func(m *machine) { m.full = true }, host.SystemFailed, "the ESP has 3 MiB free"},
		{"does not read back", func(m *machine) { m.broken = true }, host.SystemFailed, "does not read back"},
		{"the server is gone half-way", func(m *machine) {
			m.meddle = func(path string, raw []byte) ([]byte, error) {
				if strings.HasPrefix(path, host.PathReleaseFiles) && len(raw) > 20000 {
					return nil, errors.New("10.77.0.2:7444 did not answer in time")
				}
				return raw, nil
			}
		}, host.SystemFetching, "did not answer in time"},
		{"the server is away", func(m *machine) {
			m.meddle = func(string, []byte) ([]byte, error) { return nil, errors.New("10.77.0.2:7444: connection refused") }
		}, host.SystemLooking, "connection refused"},
		{"the answer is cut off", func(m *machine) {
			m.meddle = func(path string, raw []byte) ([]byte, error) {
				if strings.HasPrefix(path, host.PathReleaseFiles) && len(raw) > 20000 {
					return raw[:1000], nil
				}
				return raw, nil
			}
		}, host.SystemFetching, "1000 of them came"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			m.publish("1.1.0")
			m.order("1.1.0", host.Stage)
			c.make(m)
			m.says(c.state, c.words)
			m.untouched()
			m.says(c.state, c.words)
			m.start()
			m.says(c.state, c.words)
			m.noTrust, m.full, m.broken, m.meddle = false, false, false, nil // what was wrong is put right
			m.order("1.1.0", host.Stage)
			m.says(host.SystemStaged, "")
		})
	}
}

// What came before a break stays: the next try asks for the rest only.
func TestGoesOn(t *testing.T) {
	m := newMachine(t)
	m.holds[slots.A] = []byte("no seed") // all has to come
	m.publish("1.1.0")
	m.order("1.1.0", host.Stage)
	parts := 0
	m.meddle = func(path string, raw []byte) ([]byte, error) {
		if len(raw) > 300<<10 {
			if parts++; parts > 3 {
				return nil, errors.New("cut")
			}
		}
		return raw, nil
	}
	m.says(host.SystemFetching, "cut")
	if is := m.System.Status(); is.Bytes < 1<<20 {
		t.Errorf("it says %+v", is)
	}
	m.meddle, m.asked = nil, nil
	m.start() // as after a kill
	m.says(host.SystemStaged, "")
	if n := m.fetched(); n > 2200<<10 {
		t.Errorf("%d bytes came again", n)
	}
}

// An order that is taken back in the middle of its fetch does nothing more.
func TestTakenBack(t *testing.T) {
	m := newMachine(t)
	m.holds[slots.A] = []byte("no seed")
	m.publish("1.1.0")
	m.order("1.1.0", host.Switch)
	m.meddle = func(path string, raw []byte) ([]byte, error) {
		if len(raw) > 300<<10 {
			m.want = &host.System{Version: 1, Revision: 7}
		}
		return raw, nil
	}
	m.says(host.SystemIdle, "")
	m.untouched()
}

// An order that is taken back, or replaced by another one, when the slots were asked already does not boot the host: neither now nor after
// this program was killed there; and the slot that was to be tried is not what the next boot takes.
func TestTakenBackLate(t *testing.T) {
	for _, c := range []struct {
		name   string
		killed bool
		want   func(*machine)
		state  host.SystemState
	}{
		{"taken back", false, func(m *machine) { m.want = &host.System{Version: 1, Revision: 7} }, host.SystemIdle},
		{"taken back, and killed", true, func(m *machine) { m.want = &host.System{Version: 1, Revision: 7} }, host.SystemIdle},
		{"to be staged only", false, func(m *machine) { m.order("1.1.0", host.Stage) }, host.SystemStaged},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			m.publish("1.1.0")
			m.order("1.1.0", host.Switch)
			m.tried = func() { c.want(m) }
			if c.killed { // as the switch was begun
				for st := next(m.moment()); m.is.Slots[1].State != slots.Trying; st = next(m.moment()) {
					if err := m.carry(t.Context(), st); err != nil {
						t.Fatal(err)
					}
				}
				m.start()
			}
			m.says(c.state, "")
			if len(m.left) > 0 || m.is.Slots[1].State != slots.Staged {
				t.Fatalf("%d reboots were ordered, slot b is %s", len(m.left), m.is.Slots[1].State)
			}
			m.tried = nil
			m.order("1.1.0", host.Switch)
			m.says(host.SystemSwitching, "")
			if len(m.left) != 1 {
				t.Errorf("%d reboots were ordered by the next order", len(m.left))
			}
		})
	}
}

// Run comes to an end by itself as well: hints and pauses.
func TestRun(t *testing.T) {
	m := newMachine(t)
	m.publish("1.1.0")
	m.order("1.1.0", host.Stage)
	ctx, end := context.WithTimeout(t.Context(), 30*time.Second)
	defer end()
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	for m.System.Status().State != host.SystemStaged {
		select {
		case <-m.Changed():
		case <-ctx.Done():
			t.Fatalf("not staged: %+v", m.System.Status())
		}
	}
	end()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// The clock of the last look that was believed counts, where the machine's is behind it.
func TestClockBehind(t *testing.T) {
	m := newMachine(t)
	m.publish("1.1.0")
	m.order("1.1.0", host.Stage)
	m.says(host.SystemStaged, "")
	m.now = time.Unix(0, 0)
	m.order("1.1.0", host.Switch)
	m.says(host.SystemSwitching, "")
	m.reboot(true)
	m.now = time.Date(2038, 1, 19, 4, 0, 0, 0, time.UTC)
	m.says(host.SystemDone, "") // nothing that runs ends with its metadata
	m.publish("1.2.0")
	m.order("1.2.0", host.Stage)
	m.says(host.SystemRefused, "the clock here says 2038")
	m.now = time.Date(2026, 11, 26, 13, 0, 0, 0, time.UTC)
	m.says(host.SystemStaged, "")
}
