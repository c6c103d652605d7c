//go:build qemu

package registry

import (
	"testing"

	"hardnode.dev/qemu-tests/harness"
)

// TestImages mounts the importer's filesystem on the hosts' kernel.
func TestImages(t *testing.T) {
	harness.RunGuestTest(t, harness.GuestTest{Package: "./orchestrator/registry/erofs", Run: "TestKernel", DiskMiB: 512})
}
