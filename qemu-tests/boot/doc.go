// Package boot tests that a host boots, says what is wrong when it can't, keeps its services running, and leaves in order.
//
// Owns: the claims about image/, init/ and netd that only a booted machine can show.
// In: out/image, brought up to date first.
// Out: test results; figures of the boot in the log.
// Never: is imported, or needs a network or a cluster.
package boot
