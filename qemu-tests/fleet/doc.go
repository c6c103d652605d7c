// Package fleet tests how the Patcher takes a release over a fleet, and how a bad one gets no further than the canary.
//
// Owns: a cluster of one infra VM and three installed hosts; visitors that fetch pages all the time.
// In: built images (the test builds what is missing, and the releases in clones of this tree); the firmware OVMF.
// Out: test results, and figures, as lines that begin with "figure:".
// Never: is imported.
package fleet
