//go:build qemu

package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"hardnode.dev/qemu-tests/harness"
)

// TestMirror: the two disks of a host, with real btrfs on them, pulled out and put back.
func TestMirror(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: the rule is tested without a machine (internal/disk/mirror)")
	}
	g := harness.GuestTest{Package: "./agent/mirror", Programs: []string{"mkfs.btrfs"}}
	for i, serial := range []string{"first", "second", "third"} {
		path := filepath.Join(t.TempDir(), serial)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, 4<<30); err != nil {
			t.Fatal(err)
		}
		g.Extra = append(g.Extra, "-drive", fmt.Sprintf("file=%s,if=none,id=mirror%d,format=raw,cache=unsafe", path, i),
			"-device", fmt.Sprintf("virtio-blk-pci,drive=mirror%d,serial=%s", i, serial))
	}
	harness.RunGuestTest(t, g)
}
