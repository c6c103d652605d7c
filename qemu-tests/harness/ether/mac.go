package ether

import (
	"crypto/sha256"
	"fmt"
)

// MAC is the address of card number n of the VM with this name: locally administered (IEEE 802), the same in every run.
func MAC(name string, n int) string {
	h := sha256.Sum256(fmt.Appendf(nil, "%s/%d", name, n))
	return fmt.Sprintf("52:54:00:%02x:%02x:%02x", h[0], h[1], h[2])
}
