//go:build qemu

package pxe

import (
	"crypto/sha256"
	"errors"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/fat32"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/slots"
	"hardnode.dev/internal/wire/storage"
	"hardnode.dev/qemu-tests/cluster"
	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/harness/ether"
)

// TestTwoDisks: a host is installed onto two disks and is ACTIVE, on both and on either alone. On virtio: another system is put into its
// other slot, and both ESPs have it; a disk is pulled out while it runs, another one put in and filled by one command; and where each disk
// was written without the other it chooses neither.
func TestTwoDisks(t *testing.T) {
	soak(t)
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	for _, goal := range []string{"bin", "disk"} {
		if err := cluster.Make(t.Context(), root, goal, t.Logf); err != nil {
			t.Fatal(err)
		}
	}
	for _, bus := range []harness.Bus{harness.Virtio, harness.NVMe, harness.AHCI} {
		t.Run(string(bus), func(t *testing.T) { twoDisks(t, filepath.Join(root, "out/media/host.disk"), bus) })
	}
}

// mirrored is a host on two disks, at a site.
type mirrored struct {
	*platform
	*host
	conf harness.Config
	boot string // of the last time that it was ACTIVE
}

func twoDisks(t *testing.T, medium string, bus harness.Bus) {
	p, orchestrator := prepare(t, 1)
	sw := ether.NewSwitch()
	p.site = open(t, sw, "", orchestrator)
	c := machine(t, sw)
	c.UEFI, c.NICs[0].Boot, c.Timeout = true, false, time.Hour*harness.Scale()
	yaml := strings.Replace(p.yaml, "network: {}", `network: {links: [{name: up0, mac: "`+c.NICs[0].MAC+`", addresses: [10.88.0.11/24]}]}
install: {disk: {serial: SYSTEM*}, mirror: true}`, 1)
	p.insert(medium, yaml, way{medium: "disk", onto: bus}, &c)
	disk := func(n string) harness.Disk {
		return harness.Disk{Path: filepath.Join(c.Dir, "disk"+n), SizeMiB: 4096, Serial: "SYSTEM-" + n, Bus: bus}
	}
	c.Disks = append(c.Disks, disk("2"))
	install(t, &c)
	one, two := c.Disks[0], c.Disks[1]

	m := &mirrored{platform: p, conf: c}
	if bus == harness.Virtio {
		m.conf.Disks = []harness.Disk{one, two, disk("3")}
		m.conf.Disks[1].Hot, m.conf.Disks[2].Hot, m.conf.Disks[2].Out = true, true, true
	}
	m.host = start(t, m.conf)
	m.admit(m.host, c.Name, c.NICs[0].MAC)
	m.active("both disks")
	m.are(storage.Whole)
	if bus == harness.Virtio {
		m.updated(one, two)
		m.replaced()
		two = disk("3")
	}
	alike(t, one.Path, two.Path)
	m.VM.Kill()

	for _, alone := range []harness.Disk{two, one} {
		m.conf.Disks = []harness.Disk{alone}
		m.host = start(t, m.conf)
		m.active("disk " + alone.Serial + " alone")
		m.are(storage.Degraded)
		m.VM.Kill()
	}
	if bus != harness.Virtio {
		return
	}
	m.conf.Disks = []harness.Disk{one, two}
	m.host = start(t, m.conf)
	m.sees(`waiting: disks \S+, \S+: each was written without the other, so neither is the newer one; take out the one`)
}

// active waits until the host is ACTIVE in another boot than it last was.
func (m *mirrored) active(on string) {
	m.T.Helper()
	m.boot = m.isActive(m.host, m.conf.Name, m.boot)
	m.T.Logf("figure: on %s: ACTIVE %.1f s from power on", on, time.Since(m.VM.Started).Seconds())
}

// are waits until hnctl says so of the disks.
func (m *mirrored) are(want storage.State) {
	m.T.Helper()
	get(m.platform, "the disks are "+string(want), func(d operator.HostDisks) bool {
		m.runs()
		return d.State == want && d.Systems == "" && d.Failed == ""
	}, "host", "disk", "show", m.conf.Name)
}

// does runs a command of hnctl.
func (m *mirrored) does(args ...string) {
	m.T.Helper()
	out, err := m.hnctl(args...)
	if err != nil {
		m.T.Fatal(err)
	}
	m.T.Logf("$ hnctl %s\n%s", strings.Join(args, " "), out)
}

// updated has the other slot filled, tried and committed: both ESPs then have both systems, and the same entries.
func (m *mirrored) updated(one, two harness.Disk) {
	m.T.Helper()
	m.does("host", "slots", m.conf.Name, "--copy")
	m.does("host", "slots", m.conf.Name, "--try", "--reboot")
	m.active("both disks, after an update")
	get(m.platform, "slot b is committed", func(s operator.HostSlots) bool {
		return slices.ContainsFunc(s.Slots, func(x slots.Slot) bool { return x.Name == slots.B && x.State == slots.Committed })
	}, "host", "slots", m.conf.Name)
	m.are(storage.Whole)
	alike(m.T, one.Path, two.Path)
}

// replaced pulls out the second disk of the running host, puts the third in, and has it filled.
func (m *mirrored) replaced() {
	m.T.Helper()
	if err := m.VM.Pull(m.T.Context(), 1); err != nil {
		m.T.Fatal(err)
	}
	m.are(storage.Degraded)
	if err := m.VM.Plug(m.T.Context(), 2); err != nil {
		m.T.Fatal(err)
	}
	plan := []string{"host", "disk", "replace", m.conf.Name, "--disk-serial", "SYSTEM-3"}
	get(m.platform, "the new disk is seen", func(operator.HostDisks) bool { return true }, append(slices.Clone(plan), "--dry-run")...)
	began := time.Now()
	m.does(plan...)
	m.are(storage.Whole)
	m.T.Logf("figure: one command → whole again: %.1f s", time.Since(began).Seconds())
}

// alike waits until the ESPs of two disks have the same files, as they lie there: the agent makes them so once the boot is settled.
func alike(t *testing.T, one, two string) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute * harness.Scale()); ; {
		a, err1 := files(one)
		b, err2 := files(two)
		err := errors.Join(err1, err2)
		if err == nil && maps.Equal(a, b) && len(a) >= 6 {
			return
		}
		if time.Now().After(end) || !run.Wait(t.Context(), time.Second) {
			t.Fatalf("the ESPs hold %q and %q, or other bytes in them, %v", slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b)), err)
		}
	}
}

// files are the digests of an ESP's files, but that of the loader's own. It may be written to at the moment: then they are an error.
func files(disk string) (map[string][32]byte, error) {
	f, err := os.Open(disk)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	esp, err := fat32.Read(file.New(f, true), 1<<30, 1<<20, 512)
	if err != nil {
		return nil, err
	}
	all := map[string][32]byte{}
	var walk func(dir string) error
	walk = func(dir string) error {
		list, err := esp.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range list {
			name := path.Join(dir, e.Name())
			if e.IsDir() {
				if err := walk(name); err != nil {
					return err
				}
				continue
			}
			from, err := esp.OpenFile("/"+name, os.O_RDONLY)
			if err != nil {
				return err
			}
			h := sha256.New()
			if _, err := io.Copy(h, from); err != nil {
				return err
			}
			if e.Name() != "random-seed" {
				all[strings.ToLower(name)] = [32]byte(h.Sum(nil))
			}
		}
		return nil
	}
	return all, walk(".")
}
