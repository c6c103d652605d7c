//go:build qemu

package agent

import (
	"os"
	"testing"
	"time"

	"hardnode.dev/qemu-tests/harness"
)

// TestScrub: all of a real btrfs is read, and a spoiled block found; its metadata is written full.
func TestScrub(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: the order is tested without a machine (agent/scrub)")
	}
	harness.RunGuestTest(t, harness.GuestTest{Package: "./agent/scrub", DiskMiB: 1024, Timeout: 15 * time.Minute})
}
