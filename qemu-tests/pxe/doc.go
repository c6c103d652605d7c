// Package pxe tests that machines come to be hosts of a site: booted from its network, from a medium, from the disks that they lie on.
//
// Owns: the claims about make pxe, and about what machines show and do at a site's orchestrator, which only firmware can show.
// In: out/media/pxe, brought up to date first; dnsmasq; the orchestrator.
// Out: test results; the seconds from power on in the log.
// Never: is imported, or touches the machine's own network.
package pxe
