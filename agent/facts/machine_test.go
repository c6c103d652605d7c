package facts

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"hardnode.dev/internal/wire/waiting"
)

// TestMachine: disks with hardware behind them, in order, whatever of their names the kernel knows; no loop devices, no empty drives.
func TestMachine(t *testing.T) {
	root := t.TempDir()
	for path, text := range map[string]string{
		"sys/class/dmi/id/product_serial": "7\n", "sys/class/dmi/id/sys_vendor": "QEMU\n", "sys/class/dmi/id/product_name": "Standard PC\n",
		"sys/block/vda/size": "16777216\n", "sys/block/vda/serial": "host-1\n", "sys/block/vda/device/x": "",
		"sys/block/nvme0n1/size": "2048\n", "sys/block/nvme0n1/device/model": "QEMU NVMe  \n", "sys/block/nvme0n1/device/serial": "n1\n",
		"sys/block/loop0/size": "8\n", "sys/block/sr0/size": "0\n", "sys/block/sr0/device/model": "DVD\n",
	} {
		file := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m := Source{Root: root}.Machine()
	want := []waiting.Disk{{Name: "nvme0n1", Bytes: 1 << 20, Model: "QEMU NVMe", Serial: "n1"},
		{Name: "vda", Bytes: 8 << 30, Serial: "host-1"}}
	if m.Serial != "7" || m.Model != "QEMU Standard PC" || !slices.Equal(m.Disks, want) {
		t.Errorf("got %+v", m)
	}
	if m := (Source{Root: t.TempDir()}).Machine(); m.Serial != "" || len(m.Disks) != 0 {
		t.Errorf("of nothing: %+v", m)
	}
}

// TestProtection: what firmware and kernel say is told in their words; a machine that says nothing tells nothing.
func TestProtection(t *testing.T) {
	s := Source{Root: t.TempDir()}
	if p := s.Protection(); p != nil {
		t.Errorf("nothing is known, but it says %+v", p)
	}
	for path, text := range map[string]string{
		"sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c": "\x06\x00\x00\x00\x01",
		"sys/kernel/security/lockdown":                                             "none [integrity] confidentiality\n"} {
		file := filepath.Join(s.Root, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Protection().String(); got != "secure boot: on, lockdown: integrity" {
		t.Errorf("got %q", got)
	}
}
