// Package update tests how an installed host comes to run another release.
//
// Owns: a cluster with one installed host, and two further releases: one with a changed function in the agent, one whose agent is never
// ready.
// In: built images (the test builds what is missing, and both releases in clones of this tree); the firmware OVMF.
// Out: test results, and figures, as lines that begin with "figure:".
// Never: is imported.
package update
