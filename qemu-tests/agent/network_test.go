//go:build qemu

package agent

import (
	"os"
	"testing"

	"hardnode.dev/qemu-tests/harness"
)

// TestNetwork: two hosts as network namespaces of one guest, with real WireGuard, veths, nftables and DNS between them.
func TestNetwork(t *testing.T) {
	harness.RunGuestTest(t, harness.GuestTest{Package: "./agent/network", Run: os.Getenv("GUEST_RUN"),
		Env:     []string{"HARDNODE_SOAK=" + os.Getenv("HARDNODE_SOAK")},
		Modules: []string{"nft_connlimit", "sch_tbf", "sch_ingress", "cls_matchall", "act_police"}})
}
