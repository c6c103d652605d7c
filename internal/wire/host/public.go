package host

import "net/netip"

// AddressObject is what a host's problem with a public address of a container is about (Problem.Object).
func AddressObject(a netip.Addr) string { return "address " + a.String() }
