// Package components tests how the platform's components are patched while the platform is at work.
//
// Owns: a cluster with one user host, and a release whose images of the components differ from those that run in their digest alone.
// In: built images (the test builds what is missing).
// Out: test results, and figures, as lines that begin with "figure:".
// Never: is imported.
package components
