// Package patch is how the orchestrator asks the Patcher: TCP 7447, mutual TLS 1.3, JSON.
//
// Owns: the port and the paths; the bodies are those of wire/operator.
// In: nothing.
// Out: names.
// Never: does I/O.
//
// History: 2026-11-27 first form.
package patch

// Component is the Patcher's name among the components, and Port where it listens.
const (
	Component = "patcher"
	Port      = "7447"
)

// The paths. One rollout's are Rollouts + "/" + its id, and that with /pause, /resume, /abort (POST) and /report (GET).
const (
	Rollouts = "/patcher/v1/rollouts" // GET → List of Rollout, newest first; POST NewRollout → Rollout
	Plan     = "/patcher/v1/plan"     // POST NewRollout → RolloutPlan
)

// By is the header that says on whose behalf the orchestrator asks.
const By = "Hardnode-By"
