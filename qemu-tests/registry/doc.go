// Package registry runs the guest tests of the registry in a VM: the kernel that hosts run reads the images the registry writes.
//
// Owns: what the guest gets: a btrfs disk.
// In: the guest tests of orchestrator/registry/erofs.
// Out: their results.
// Never: tests the registry's API: that needs no VM.
package registry
