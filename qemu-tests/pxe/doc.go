// Package pxe tests that machines boot from the network: beside a site's own DHCP server, and from netboot.
//
// Owns: the claims about make pxe, and about what machines show and do that were booted so, which only firmware can show.
// In: out/media/pxe, brought up to date first; dnsmasq; the orchestrator.
// Out: test results; the seconds from power on in the log.
// Never: is imported, or touches the machine's own network.
package pxe
