// Package components tests how the platform's components, and the infra host's own system, are patched while the platform is at work.
//
// Owns: a cluster with one user host, and releases whose images of the components differ from those that run in their digest alone, or
// have a resolver that never serves; a release of the infra host's system; what is asked of the platform meanwhile.
// In: built images and media (the test builds what is missing).
// Out: test results, and figures, as lines that begin with "figure:".
// Never: is imported.
package components
