// Package neighbours runs hosts and orchestrators of two versions with each other: this one, and the earlier one that `earlier` names.
//
// Owns: the earlier version's tree and what is built in it (out/neighbours/), and what must work between the two.
// In: the repository's history, from which the earlier tree is taken; a cluster of two hosts.
// Out: joins, runs, and moves of a host from one version to the other and back on the same disk.
// Never: lets the versions differ in anything but their code: both are built by their own Makefile on this machine.
package neighbours
