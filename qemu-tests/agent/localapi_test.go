//go:build qemu

package agent

import (
	"testing"

	"hardnode.dev/qemu-tests/harness"
)

// TestLocalAPI: the agent's API over vsock, by the kernel's loopback.
func TestLocalAPI(t *testing.T) {
	harness.RunGuestTest(t, harness.GuestTest{Package: "./agent/localapi"})
}
