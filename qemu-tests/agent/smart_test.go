//go:build qemu

package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"hardnode.dev/qemu-tests/harness"
)

// TestSmart: disks of each kind tell their health.
func TestSmart(t *testing.T) {
	g := harness.GuestTest{Package: "./agent/smart", Run: "^TestDisks$", DiskMiB: 256, MemMiB: 512,
		Modules: []string{"ahci", "sd_mod", "virtio_scsi"}, Extra: []string{"-device", "virtio-scsi-pci,id=scsi"}}
	for i, device := range []string{"nvme,serial=sound", "nvme,serial=broken,smart_critical_warning=12", "ide-hd,bus=ide.1,serial=sata",
		"scsi-hd,bus=scsi.0,serial=scsi"} {
		path := filepath.Join(t.TempDir(), "disk")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, 64<<20); err != nil {
			t.Fatal(err)
		}
		g.Extra = append(g.Extra, "-drive", fmt.Sprintf("file=%s,if=none,id=health%d,format=raw", path, i),
			"-device", fmt.Sprintf("%s,drive=health%d", device, i))
	}
	harness.RunGuestTest(t, g)
}
