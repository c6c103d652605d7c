package system

import (
	"errors"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/release/trust"
	"hardnode.dev/internal/testkit/released"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/slots"
)

// The attacks of the TUF specification (1.5.2) and of Uptane against a host whose orchestrator, or the way to it, is the attacker's.
// Nothing of them gets into a slot, the reason is said, and when they are over the host goes on. What the verifier does with each kind of
// forged document is tested where it is (internal/release/trust).
func TestAttacks(t *testing.T) {
	answers := func(part string, with func(raw []byte) ([]byte, error)) func(*machine) {
		return func(m *machine) {
			m.meddle = func(path string, raw []byte) ([]byte, error) {
				if strings.Contains(path, part) {
					return with(raw)
				}
				return raw, nil
			}
		}
	}
	gone := func([]byte) ([]byte, error) { return nil, errors.New("reset by peer") }
	for _, c := range []struct {
		name  string
		do    func(*machine)
		state host.SystemState
		words string
	}{
		{"arbitrary software: other bytes of a file", answers(host.PathReleaseFiles, func(raw []byte) ([]byte, error) {
			out := append([]byte(nil), raw...)
			out[len(out)/2] ^= 1
			return out, nil
		}), host.SystemRefused, "both repositories name"},
		{"arbitrary software: metadata with another key", func(m *machine) {
			other := released.Both(m.t, here, m.now.Add(time.Hour))
			other.Release(m.t, "1.1.0", "vm-host.efi", "evil")
			m.Image.Files["timestamp.json"] = other.Image.Files["timestamp.json"]
		}, host.SystemRefused, "not signed by as many of the right keys"},
		{"arbitrary software: another repository altogether", func(m *machine) {
			other := released.Both(m.t, here, m.now.Add(time.Hour))
			other.Release(m.t, "1.1.0", "vm-host.efi", "evil")
			m.Image.Files, m.Director.Files = other.Image.Files, other.Director.Files
		}, host.SystemRefused, "its first root has the digest"},
		{"key compromise: the director alone names it", func(m *machine) {
			evil := m.Targets()
			for i := range evil {
				if strings.HasSuffix(evil[i].Path, "host.efi") {
					evil[i].Length++
				}
			}
			m.Director.Publish(m.t, evil...)
		}, host.SystemRefused, "not the same file in both repositories"},
		{"key compromise: the image repository alone names it", func(m *machine) { m.Director.Publish(m.t) }, host.SystemRefused,
			"names no release for this installation"},
		{"freeze", func(m *machine) { m.now = m.now.Add(31 * 24 * time.Hour) }, host.SystemRefused, "was good until"},
		{"mix-and-match", func(m *machine) {
			old := cloned(m.Image.Files)
			m.publish("1.2.0")
			for _, v := range []string{"2.snapshot.json", "3.snapshot.json", "4.snapshot.json"} {
				if _, ok := m.Image.Files[v]; ok {
					m.Image.Files[v] = old["1.snapshot.json"]
				}
			}
		}, host.SystemRefused, "is not the file that the metadata above it names"},
		{"wrong target: another installation's director", func(m *machine) {
			other := released.New(m.t, trust.Director, "cl-00000000000000bb", m.now.Add(time.Hour))
			other.Publish(m.t, m.Targets()...)
			m.Director = other
			m.anchors.Director.Pin = other.Anchor().Pin
		}, host.SystemRefused, "was made for installation"},
		{"extraneous dependency: a manifest that leads outside its release", func(m *machine) {
			m.Content["1.1.0/manifest.json"] = strings.Replace(m.Content["1.1.0/manifest.json"], `"vm-host.efi"`, `"other.efi"`, 1)
			m.Release(m.t, "1.1.0", "manifest.json", m.Content["1.1.0/manifest.json"])
		}, host.SystemRefused, "not signed as a part of it"},
		{"endless data", answers("timestamp.json", func([]byte) ([]byte, error) { return make([]byte, 1<<20), nil }), host.SystemRefused,
			"more than"},
		{"slow retrieval, or dropped requests", answers("snapshot.json", func([]byte) ([]byte, error) {
			return nil, errors.New("10.77.0.2:7444 did not answer in time")
		}), host.SystemLooking, "did not answer in time"},
		{"partial bundle: one repository is kept away", answers("director/", gone), host.SystemLooking, "reset by peer"},
		{"partial bundle: one file is kept away", func(m *machine) { delete(m.Content, "1.1.0/vm-host.efi") }, host.SystemFetching,
			"there is no such file"},
		{"damage", answers("targets.json", func(raw []byte) ([]byte, error) { return raw[:len(raw)/2], nil }), host.SystemRefused,
			"targets.json"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			m.publish("1.1.0")
			m.order("1.1.0", host.Switch)
			image, director, content, pin, now := cloned(m.Image.Files), cloned(m.Director.Files), map[string]string{}, m.anchors, m.now
			dir := m.Director
			for k, v := range m.Content {
				content[k] = v
			}
			c.do(m)
			m.says(c.state, c.words)
			m.untouched()
			m.start()
			m.says(c.state, c.words)
			m.untouched()
			// It is over: newer metadata, of the right hands.
			m.Director = dir
			m.Image.Files, m.Director.Files, m.Content, m.anchors, m.now, m.meddle = image, director, content, pin, now, nil
			m.Image.Publish(t, m.Targets()...)
			m.Director.Publish(t, m.Targets()...)
			m.order("1.1.0", host.Stage)
			m.says(host.SystemStaged, "")
		})
	}
}

// Rollback: what was believed once is never gone behind, also not after the program began again, nor when the clock is set back.
func TestRollback(t *testing.T) {
	m := newMachine(t)
	m.publish("1.1.0")
	old := cloned(m.Image.Files)
	m.publish("1.2.0")
	m.order("1.2.0", host.Stage)
	m.says(host.SystemStaged, "")
	newer := cloned(m.Image.Files)
	m.Image.Files = old
	m.now = m.now.Add(-time.Hour)
	m.start()
	m.order("1.1.0", host.Switch)
	m.says(host.SystemRefused, "older than what was believed before")
	m.Image.Files = newer
	m.order("1.2.0", host.Switch)
	m.says(host.SystemSwitching, "")
	m.reboot(true)
	m.says(host.SystemDone, "")
	m.order("1.1.0", host.Switch) // both name it still
	m.says(host.SystemRefused, "older than 1.2.0, which runs here")
}

// Root rotation is followed from the pin on, and a root that was believed is not gone behind (fast-forward recovery is the verifier's).
func TestRootRotation(t *testing.T) {
	m := newMachine(t)
	m.publish("1.1.0")
	m.Image.Rotate(t)
	m.Image.Rotate(t)
	m.Director.Rotate(t)
	m.order("1.1.0", host.Stage)
	m.says(host.SystemStaged, "")
	m.asked = nil
	m.order("1.1.0", host.Switch)
	m.says(host.SystemSwitching, "")
	for _, path := range m.asked {
		if strings.Contains(path, "/1.root") || strings.Contains(path, "/2.root.json") && strings.Contains(path, "image") {
			t.Errorf("%s is asked for again", path)
		}
	}
}

// A file of one release under the name of another's is none: what is tried holds what both repositories name, by its digest in the slot.
func TestAlteredSlot(t *testing.T) {
	m := newMachine(t)
	m.publish("1.1.0")
	m.order("1.1.0", host.Stage)
	m.says(host.SystemStaged, "")
	m.is.Slots[1].SHA256 = hexOf([]byte("somebody wrote into the slot"))
	m.order("1.1.0", host.Switch)
	m.says(host.SystemSwitching, "")
	if m.is.Slots[1].SHA256 != hexOf(m.holds[slots.B]) || m.is.Slots[1].State != slots.Trying {
		t.Errorf("what is tried: %+v", m.is.Slots[1])
	}
}
