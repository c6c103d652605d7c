//go:build qemu

// Package agent boots the guest tests of the host agent's packages.
//
// Owns: which of them run, in which machine.
// In: the packages' own tests, built with the tag "guest".
// Out: their results.
// Never: tests anything itself.
package agent

import (
	"testing"

	"hardnode.dev/qemu-tests/harness"
)

// TestNetwork: two hosts as network namespaces of one guest, with real WireGuard, veths, nftables and DNS between them.
func TestNetwork(t *testing.T) {
	harness.RunGuestTest(t, harness.GuestTest{Package: "./agent/network"})
}
