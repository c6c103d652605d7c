package volume

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWholeDisk(t *testing.T) {
	top := t.TempDir()
	blocks := filepath.Join(top, "dev/block")
	for path, text := range map[string]string{"devices/vda/dev": "254:0\n", "devices/vda/vda3/dev": "254:3\n",
		"devices/vda/vda3/partition": "3\n", "devices/dm-0/dev": "253:0\n", "dev/block/x": ""} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(top, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(top, path), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for number, of := range map[string]string{"254:0": "vda", "254:3": "vda/vda3", "253:0": "dm-0"} {
		if err := os.Symlink(filepath.Join("../../devices", of), filepath.Join(blocks, number)); err != nil {
			t.Fatal(err)
		}
	}
	for device, want := range map[string]string{"254:0": "254:0", "254:3": "254:0", "253:0": "253:0"} {
		if got, err := wholeDisk(blocks, device); got != want || err != nil {
			t.Errorf("%s is of disk %q (%v), want %s", device, got, err, want)
		}
	}
	if _, err := wholeDisk(blocks, "9:9"); err == nil {
		t.Error("a device that is not there has a disk")
	}
}
