// Package story tests the whole product on one shared cluster, in the order of a cluster's life.
//
// Owns: the tests that need an infra host and two user hosts at once: serving, failing parts, killed hosts, refused input, leftovers.
// In: built images (the test builds what is missing).
// Out: test results, and the figures they measure, as lines that begin with "figure:".
// Never: is imported.
package story
