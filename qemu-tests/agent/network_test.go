//go:build qemu

package agent

import (
	"fmt"
	"os"
	"testing"
	"time"

	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/harness/ether"
)

// TestNetwork: two hosts as network namespaces of one guest, with real WireGuard, veths, nftables and DNS between them.
func TestNetwork(t *testing.T) {
	harness.RunGuestTest(t, harness.GuestTest{Package: "./agent/network", Run: os.Getenv("GUEST_RUN"),
		Env:     []string{"HARDNODE_SOAK=" + os.Getenv("HARDNODE_SOAK")},
		Modules: []string{"nft_connlimit", "sch_tbf", "sch_ingress", "cls_matchall", "act_police"}})
}

// TestFigures prints what containers of two hosts get through the mesh, beside plain WireGuard between the same two VMs: part of
// `make bench`.
func TestFigures(t *testing.T) {
	n := os.Getenv("HARDNODE_BENCH")
	if n == "" {
		t.Skip("HARDNODE_BENCH, the number of runs, is not set")
	}
	sw := ether.NewSwitch()
	t.Run("sides", func(t *testing.T) {
		for side := range 2 {
			t.Run(fmt.Sprint(side), func(t *testing.T) {
				t.Parallel()
				g := harness.GuestTest{Name: fmt.Sprintf("side-%d", side), Package: "./agent/network", Run: "^TestFigures$",
					Timeout: 15 * time.Minute, Measures: true,
					Env: []string{"HARDNODE_BENCH=" + n, fmt.Sprintf("SIDE=%d", side)}}
				for card := range 2 {
					g.NICs = append(g.NICs, harness.NIC{Switch: sw, MAC: fmt.Sprintf("52:54:00:%02x:00:%02x", card+1, side+1)})
				}
				harness.RunGuestTest(t, g)
			})
		}
	})
}
