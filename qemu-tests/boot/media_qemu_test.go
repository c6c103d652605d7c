//go:build qemu

package boot

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hardnode.dev/qemu-tests/harness"
)

// TestMedia: firmware boots the media that make disk and make iso make, and the host takes the configuration that was put onto them. What
// the host keeps goes to the other disk, for a boot medium is not blank.
func TestMedia(t *testing.T) {
	root := build(t)
	goals := []string{"disk-metal", "bin"}
	if os.Getenv("HARDNODE_SOAK") != "" {
		goals = append(goals, "disk", "iso", "iso-metal")
	}
	for _, goal := range goals {
		cmd := exec.Command("make", "--no-print-directory", "-s", goal)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("make %s: %v\n%s", goal, err, out)
		}
	}
	if text, err := os.ReadFile(filepath.Join(root, "out/cache/metal/NOTICES")); err != nil {
		t.Error(err)
	} else {
		for _, pkg := range []string{"isolinux", "syslinux-common", "systemd-boot-efi"} { // the loaders of media, and the stub of UKIs
			if !strings.Contains(string(text), "\nDebian package "+pkg+" ") {
				t.Errorf("the image's notices lack the package %s, which has files on its media", pkg)
			}
		}
	}
	for _, m := range []struct {
		name, file string
		bus        harness.Bus
		uefi       bool
		soak       bool // not in make test
	}{
		{"UEFI, disk", "host.disk", harness.Virtio, true, true},
		{"UEFI, NVMe", "host.disk", harness.NVMe, true, true},
		{"UEFI, AHCI", "host.disk", harness.AHCI, true, true},
		{"BIOS, CD", "host.iso", harness.CD, false, true},
		{"UEFI, CD", "host.iso", harness.CD, true, true},
		{"BIOS, ISO on a disk", "host.iso", harness.Virtio, false, true},
		{"UEFI, ISO on a disk", "host.iso", harness.Virtio, true, true},
		{"server, UEFI, stick", "metal-host.disk", harness.USB, true, false},
		{"server, UEFI, ISO on a stick", "metal-host.iso", harness.USB, true, true},
		{"server, BIOS, ISO on a stick", "metal-host.iso", harness.USB, false, true},
		{"server, BIOS, CD", "metal-host.iso", harness.CD, false, true},
	} {
		t.Run(m.name, func(t *testing.T) {
			if m.soak && os.Getenv("HARDNODE_SOAK") == "" {
				t.Skip("HARDNODE_SOAK is not set: make test boots one medium")
			}
			dir := harness.Dir(t)
			yaml, file := filepath.Join(dir, "hardnode.yaml"), filepath.Join(dir, "medium")
			if err := os.WriteFile(yaml, []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, argv := range [][]string{{"cp", "--sparse=always", filepath.Join(root, "out/media", m.file), file},
				{filepath.Join(root, "out/bin/hnctl"), "media", "add-config", yaml, file}} {
				if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
					t.Fatalf("%v: %v\n%s", argv, err, out)
				}
			}
			c := machine(t, dir, "")
			c.Kernel, c.Initrd, c.UEFI = "", nil, m.uefi
			c.Disks = append([]harness.Disk{{Path: file, Bus: m.bus, ReadOnly: m.bus == harness.CD}}, c.Disks...)
			if strings.HasPrefix(m.file, "metal") { // what servers have, and the kernel of VMs has no driver for
				for i := range c.NICs {
					c.NICs[i].Model = "e1000e"
				}
				c.Disks[1].Bus = harness.AHCI
			}
			h := start(t, c)
			h.sees(`step config: host host-1, role user`)
			h.sees(`step data: /dev/(v|s)d[a-z]:`)
			h.up()
		})
	}
}
