// Package container runs the guest tests of agent/container in a VM: real kernel, cgroup v2, btrfs, the spawner as its own program.
//
// Owns: what the guest gets: the spawner and JEM, images built from Debian's packages, images made to attack.
// In: programs of this machine (busybox, mkfs.erofs, crun).
// Out: the guest tests' results.
// Never: tests a decision that a unit test can reach.
package container
