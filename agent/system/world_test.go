package system

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/release/trust"
	"hardnode.dev/internal/testkit/released"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/release"
	"hardnode.dev/internal/wire/slots"
	"hardnode.dev/internal/wire/upkeep"
)

const here = "cl-00000000000000aa"

// machine is an installed host around a System: its disk, its slots, the orchestrator that serves releases to it, and its boots.
type machine struct {
	t *testing.T
	*System
	*released.Pair
	state, data string
	now         time.Time
	boot        int
	runs        string // version
	want        *host.System
	wanted      chan struct{}
	anchors     trust.Anchors
	noTrust     bool
	left        []upkeep.Leave
	asked       []string                                      // paths
	meddle      func(path string, raw []byte) ([]byte, error) // what the mirror makes of an answer; nil: nothing

	is     slots.Status
	holds  map[slots.Name][]byte
	tried  func()             // called when a slot is to be tried; may be nil
	full   bool               // the ESP
	broken bool               // the slot does not read back
	hot    *boot.Hot          // what init says
	heard  *host.SystemStatus // what the orchestrator heard last
	notHot string             // why programs alone can't be replaced
	waits  []string
	peers  []func(context.Context, int64, int) ([]byte, error) // that have what is wanted
	kernel []string                                            // the slots that the kernel was given
	cant   string                                              // why it does not take one
	leave  error                                               // what init says to an order by kexec
}

// uki is a system of some size: releases next to each other have most of it in common.
func uki(version string) string {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 3<<20)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	for i := range 200 << 10 { // what differs
		b[1<<20+i] = version[i%len(version)] + byte(r.Uint32())
	}
	return string(b)
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, state: t.TempDir(), data: t.TempDir(), now: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC), boot: 1, runs: "1.0.0",
		wanted: make(chan struct{}, 1), holds: map[slots.Name][]byte{slots.A: []byte(uki("1.0.0"))}}
	m.Pair = released.Both(t, here, m.now.Add(30*24*time.Hour))
	m.anchors = m.Anchors()
	m.is = slots.Status{Installed: true, Slots: []slots.Slot{{Name: slots.A, State: slots.Committed, Version: "1.0.0", Booted: true,
		Next: true, SHA256: hexOf(m.holds[slots.A])}, {Name: slots.B, State: slots.Empty}}}
	m.start()
	return m
}

func hexOf(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// start is the program's start.
func (m *machine) start() {
	m.t.Helper()
	m.System = New(Options{State: m.state, Data: m.data, Boot: fmt.Sprintf("boot-%d", m.boot), Version: m.runs, Target: release.VM,
		Profile: release.Host, Want: func() *host.System { return m.want }, Ordered: m.wanted, Slots: m, Get: m.get,
		Anchors: func() (trust.Anchors, error) {
			if m.noTrust {
				return trust.Anchors{}, ErrNoTrust
			}
			return m.anchors, nil
		},
		Leave: func(_ context.Context, l upkeep.Leave) error {
			if m.left = append(m.left, l); l.Kexec && m.leave != nil {
				return m.leave
			}
			return l.Validate()
		},
		Peers: func(_ context.Context, d wire.Digest) (names []string, from []func(context.Context, int64, int) ([]byte, error)) {
			if d == wire.DigestOf(sha256.Sum256([]byte(uki("1.1.0")))) {
				names, from = make([]string, len(m.peers)), m.peers
			}
			return names, from
		},
		Kexec: func(s slots.Slot) error {
			if m.cant != "" {
				return fmt.Errorf("%w: %s", ErrNotKexec, m.cant)
			}
			m.kernel = append(m.kernel, string(s.Name)+" "+s.Version)
			return nil
		},
		Told:     func(context.Context) { m.heard = m.System.Status() },
		Programs: hotPrograms{m}, Waits: func() []string { return m.waits },
		Now: func() time.Time { return m.now }, Pause: func(int) time.Duration { return time.Millisecond }})
	if err := m.open(); err != nil {
		m.t.Fatal(err)
	}
}

// publish has both repositories name a release with a system for this machine, beside those before.
func (m *machine) publish(version string, floors ...release.Version) {
	m.t.Helper()
	content := uki(version)
	manifest := release.Manifest{Version: 1, Release: release.Version(version), Channel: release.Stable, Severity: release.Normal,
		Arch: release.Arch, Floors: floors, Components: nil, Artefacts: []release.Artefact{{Name: "vm-host.efi", Kind: release.UKI,
			Target: release.VM, Profile: release.Host, Bytes: int64(len(content)), Digest: wire.DigestOf(sha256.Sum256([]byte(content)))}}}
	raw, err := manifest.Encode()
	if err != nil {
		m.t.Fatal(err)
	}
	m.Release(m.t, version, "vm-host.efi", content)
	m.Release(m.t, version, release.ManifestFile, string(raw))
	if len(floors) == 0 {
		return
	}
	var all []trust.Target
	for _, f := range m.Targets() {
		if f.Custom.Release == version {
			for _, x := range floors {
				f.Custom.Floors = append(f.Custom.Floors, string(x))
			}
		}
		all = append(all, f)
	}
	m.Image.Publish(m.t, all...)
}

func (m *machine) order(release string, step host.SystemStep) {
	rev := wire.Revision(1)
	if m.want != nil {
		rev = m.want.Revision + 1
	}
	m.want = &host.System{Version: 1, Revision: rev, Release: release, Step: step, Order: fmt.Sprintf("o%d", rev), By: "admin",
		Reason: "spring"}
}

// turn lets the System do what it does until nothing is left to do now; the error is why it can't go on.
func (m *machine) turn() error {
	m.t.Helper()
	for range 20 {
		st := next(m.moment())
		if err := m.carry(m.t.Context(), st); err != nil {
			return err
		}
		if st.do == rest || st.do == leave || len(m.left) > 0 {
			return nil
		}
	}
	m.t.Fatalf("it does not come to rest: %+v", m.System.Status())
	return nil
}

// says checks how it is after a turn.
func (m *machine) says(state host.SystemState, words string) {
	m.t.Helper()
	err := m.turn()
	if is := m.System.Status(); is.State != state || !strings.Contains(is.Reason, words) {
		m.t.Errorf("it says %s, %q (%v); want %s, %q", is.State, is.Reason, err, state, words)
	}
}

// untouched checks that nothing of another release got anywhere.
func (m *machine) untouched() {
	m.t.Helper()
	if m.is.Slots[1].State != slots.Empty || len(m.left) > 0 {
		m.t.Errorf("slot b is %s, %d reboots were ordered", m.is.Slots[1].State, len(m.left))
	}
}

// reboot boots the slot that is tried, or the one that is booted; well: it is committed.
func (m *machine) reboot(well bool) {
	m.t.Helper()
	m.boot++
	m.left, m.hot = nil, nil
	a, b := &m.is.Slots[0], &m.is.Slots[1]
	if b.State != slots.Trying && a.State != slots.Trying {
		m.start()
		return
	}
	tried, old := b, a
	if a.State == slots.Trying {
		tried, old = a, b
	}
	if well {
		tried.State, tried.Booted, old.Booted, old.State = slots.Committed, true, false, slots.Good
		m.runs = tried.Version
	} else {
		tried.State, tried.Reason = slots.Failed, "not well within 10m0s: the orchestrator has not answered a report"
	}
	m.start()
}

// get is the orchestrator.
func (m *machine) get(ctx context.Context, path string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.asked = append(m.asked, path)
	raw, err := m.answer(path)
	if err == nil && m.meddle != nil {
		return m.meddle(path, raw)
	}
	return raw, err
}

func (m *machine) answer(path string) ([]byte, error) {
	absent := operator.NewProblem(operator.NotFound, path, "there is no such file", "")
	if name, ok := strings.CutPrefix(path, host.PathReleases); ok {
		repo, name, _ := strings.Cut(name, "/")
		if raw, ok := map[string]trust.Files{"image": m.Image.Files, "director": m.Director.Files}[repo][name]; ok {
			return raw, nil
		}
		return nil, absent
	}
	u, err := url.Parse(path)
	if err != nil {
		return nil, err
	}
	digest := strings.TrimPrefix(u.Path, host.PathReleaseFiles)
	offset, _ := strconv.Atoi(u.Query().Get("offset"))
	length, _ := strconv.Atoi(u.Query().Get("length"))
	for _, content := range m.Content {
		if "sha256:"+hexOf([]byte(content)) == digest {
			return []byte(content)[offset:min(len(content), offset+length)], nil
		}
	}
	return nil, absent
}

// Status implements Slots.
func (m *machine) Status() slots.Status { return m.is }

// Read implements Slots.
func (m *machine) Read(n slots.Name, f func(io.Reader) error) error {
	if m.holds[n] == nil {
		return os.ErrNotExist
	}
	return f(bytes.NewReader(m.holds[n]))
}

// Do implements Slots.
func (m *machine) Do(_ context.Context, r slots.Request) (slots.Status, error) {
	if err := r.Validate(); err != nil {
		return m.is, err
	}
	_, idle := sides(m.is)
	m.is.Failed = ""
	switch r.Action {
	case slots.Stage:
		raw, err := os.ReadFile(r.File)
		if err != nil {
			return m.is, err
		}
		idle.State, idle.SHA256, m.holds[idle.Name] = slots.Empty, "", nil
		switch {
		case m.full:
			m.is.Failed = "stage into slot b: the ESP has 3 MiB free, and the system needs 4; remove what is not a slot's from it"
			return m.is, nil
		case m.broken:
			m.is.Failed = "slot b does not read back what was written; the disk may be failing: replace it, or stage again"
			return m.is, nil
		case hexOf(raw) != r.SHA256:
			return m.is, errors.New("another SHA-256")
		}
		version := "?"
		for path, content := range m.Content {
			if content == string(raw) {
				version, _, _ = strings.Cut(path, "/")
			}
		}
		idle.State, idle.SHA256, idle.Version, m.holds[idle.Name] = slots.Staged, r.SHA256, version, raw
	case slots.Try:
		idle.State = slots.Trying
		if m.tried != nil {
			m.tried()
		}
	case slots.Stay:
		idle.State = slots.Staged
	default:
		return m.is, errors.New("nobody asks for that")
	}
	return m.is, nil
}

// fetched is how many bytes of files were asked for.
func (m *machine) fetched() (n int) {
	for _, path := range m.asked {
		if u, err := url.Parse(path); err == nil && strings.HasPrefix(path, host.PathReleaseFiles) {
			length, _ := strconv.Atoi(u.Query().Get("length"))
			n += length
		}
	}
	return n
}

// moment is what is decided by.
func (m *machine) moment() moment {
	m.t.Helper()
	now, err := m.System.moment(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	return now
}

// hotPrograms is init, and what unpacks programs for it.
type hotPrograms struct{ *machine }

func (p hotPrograms) Hot(context.Context) (*boot.Hot, error) { return p.hot, nil }

func (p hotPrograms) Replace(_ context.Context, booted, from slots.Slot, withinSec int64) error {
	if p.heard == nil || p.heard.State != host.SystemSwitching || p.heard.AwaySec <= withinSec {
		p.t.Errorf("programs are replaced within %d s when the orchestrator had heard %+v", withinSec, p.heard)
	}
	if p.notHot != "" {
		return fmt.Errorf("%w: %s", ErrNotHot, p.notHot)
	}
	if booted.Name == from.Name || hexOf(p.holds[from.Name]) != from.SHA256 {
		return errors.New("another system")
	}
	p.hot = &boot.Hot{Runs: p.hot.Programs(), Release: from.Version, Root: boot.RootFor(from.Version, wire.Digest("sha256:"+from.SHA256)),
		State: boot.HotReplacing}
	return nil
}

func (p hotPrograms) Keep(_ context.Context, root string) error {
	if p.hot == nil || p.hot.Root != root || p.hot.State != boot.HotTrying {
		return errors.New("not tried")
	}
	p.hot = &boot.Hot{Runs: p.hot.Release, Release: p.hot.Release, Root: root, State: boot.HotKept}
	return nil
}

func cloned(m trust.Files) trust.Files { return maps.Clone(m) }
