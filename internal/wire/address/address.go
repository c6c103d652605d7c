// Package address is the public addresses of one container.
//
// Owns: what such an address can be.
// In: addresses of people and of programs.
// Out: nil, or an error naming the address and the reason.
// Never: knows whose an address is, or where it can be reached: the orchestrator and the host do.
//
// A host answers for its containers' public addresses on its own links, and what comes to one goes to the container, whatever port it is
// for. The container itself has no such address: it goes on by its own ones.
//
// History: 2026-11-27 version 1.
package address

import (
	"errors"
	"fmt"
	"net/netip"
)

// Max is how many a container may have, of both families together.
const Max = 8

// Check says why an address can be nobody's public one, or nil.
func Check(a netip.Addr) error {
	var why string
	switch {
	case !a.IsValid():
		return errors.New("an address is empty: want one such as 203.0.113.10 or 2001:db8::10")
	case a.Zone() != "":
		why = "it names a link: leave out what comes after %"
	case a.Is4In6():
		why = "it is an IPv4 address in the form of IPv6: write " + a.Unmap().String()
	case a.IsUnspecified() || a.Is4() && a.As4()[0] == 0:
		why = "it is no machine's"
	case a.IsLoopback():
		why = "it is each machine's own (loopback)"
	case a.IsMulticast():
		why = "it is of many machines (multicast)"
	case a.IsLinkLocalUnicast():
		why = "it is known on one link only (link-local)"
	case a.Is4() && a.As4()[0] >= 240:
		why = "it is reserved, or of all machines (broadcast)"
	default:
		return nil
	}
	return fmt.Errorf("address %s: %s", a, why)
}

// Validate says what is wrong with a container's, or nil.
func Validate(list []netip.Addr) error {
	if len(list) > Max {
		return fmt.Errorf("there are %d addresses, at most %d are given to one node", len(list), Max)
	}
	seen := map[netip.Addr]bool{}
	for _, a := range list {
		if err := Check(a); err != nil {
			return err
		}
		if seen[a] {
			return fmt.Errorf("address %s is there twice", a)
		}
		seen[a] = true
	}
	return nil
}
