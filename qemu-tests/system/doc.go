// Package system runs agent/container's guest test of systemd in a VM: a container that boots a whole Debian.
//
// Owns: the image of Debian with systemd, made once.
// In: programs of this machine (mmdebstrap, mkfs.erofs).
// Out: the guest test's result.
// Never: tests what needs no systemd.
package system
