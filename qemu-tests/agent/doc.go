// Package agent boots the guest tests of the host agent's packages.
//
// Owns: which of them run, in which machine.
// In: the packages' own tests, built with the tag "guest".
// Out: their results.
// Never: tests anything itself.
package agent
