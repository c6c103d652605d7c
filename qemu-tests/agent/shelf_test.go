//go:build qemu

package agent

import (
	"os"
	"testing"

	"hardnode.dev/qemu-tests/harness"
)

// TestShelf: backups of other hosts fill their quota on a real btrfs.
func TestShelf(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: all but the quota is tested without a machine (agent/backup/shelf)")
	}
	harness.RunGuestTest(t, harness.GuestTest{Package: "./agent/backup/shelf", DiskMiB: 512})
}
