//go:build qemu

package boot

import (
	"os"
	"path/filepath"
	"testing"

	"hardnode.dev/qemu-tests/harness"
)

// TestTwoDisks: a host is installed onto two disks, and is up from both; from either alone; and whole again once the other was replaced.
func TestTwoDisks(t *testing.T) {
	for _, bus := range []harness.Bus{harness.Virtio, harness.NVMe, harness.AHCI} {
		t.Run(string(bus), func(t *testing.T) { twoDisks(t, bus) })
	}
}

func twoDisks(t *testing.T, bus harness.Bus) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: make test installs to one disk")
	}
	dir := harness.Dir(t)
	medium := harness.Disk{Path: stick(t, dir, config+"install: {disk: {serial: SYSTEM*}, mirror: true}\n")}
	disk := func(name string) harness.Disk {
		return harness.Disk{Path: filepath.Join(dir, name), SizeMiB: installSize, Serial: "SYSTEM-" + name, Bus: bus}
	}
	one, two := disk("1"), disk("2")
	c := machine(t, dir, "")
	c.Kernel, c.Initrd, c.UEFI = "", nil, true
	c.Disks = []harness.Disk{medium, one, two}
	h := start(t, c)
	h.sees(`install: plan: 3. make the filesystems: an ESP on each, STATE and DATA mirrored`)
	h.sees(`reboot: installed on (/dev/\S+) and (/dev/\S+)`)
	h.off()
	installed(t, one.Path)
	installed(t, two.Path)

	c.Disks = []harness.Disk{one, two}
	h = start(t, c)
	h.sees(`step data: \S+, \S+: they hold the DATA of this installed host`)
	h.up()
	h.counted(one.Path, "hardnode-1-a+3.conf", "hardnode-3-rescue.conf")
	h.VM.Kill()

	c.Disks = []harness.Disk{two}
	h = start(t, c)
	h.sees(`"Hardnode(, disk 2)?" from HD\(1,GPT,`)
	h.sees(`step data: \S+: degraded: it holds the DATA of this installed host, and the other disk of its mirror is gone`)
	h.up()
	h.VM.Kill()
}
