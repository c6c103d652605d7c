// Package sample shows what a guest test looks like, and tests the harness with one.
//
// Owns: a guest test that looks at what every guest test may rely on, and the outer tests that boot it.
// In: nothing.
// Out: test results.
// Never: is imported.
package sample
