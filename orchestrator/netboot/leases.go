package main

import (
	"crypto/rand"
	"fmt"
	"net"

	"hardnode.dev/internal/keep"
	"hardnode.dev/orchestrator/netboot/address"
)

// kept is the document of the addresses that are out.
type kept struct {
	Version int             `json:"version"` // 1
	Leases  []address.Lease `json:"leases"`
}

// giver gives addresses to the cards that who says nothing against, and goes on with the leases in a file.
func giver(file string, who func(card string) string) (*address.Giver, error) {
	doc := keep.Doc[kept]{Path: file, Version: 1}
	was, _, err := doc.Load()
	if err != nil {
		return nil, fmt.Errorf("read the addresses that are out: %w", err)
	}
	card := make(net.HardwareAddr, 6)
	rand.Read(card)
	card[0] = card[0]&^1 | 2 // of this process's own making (IEEE 802: locally administered, one station's)
	return address.Open(was.Leases, card, who, func(l []address.Lease) error { return doc.Save(kept{1, l}) }), nil
}
