package store

import "time"

// Trash is that an environment is in the trash: its nodes are stopped, and it keeps its data, addresses, names and everything else until it
// is erased. Orchestrators before 2026-11-29 keep it, and take the environment for one that is stopped.
type Trash struct {
	At    time.Time `json:"at"`
	Until time.Time `json:"until"` // it is erased then, by itself
	By    string    `json:"by"`
	Want  Want      `json:"want"` // what was wanted of it before: restoring makes that wanted again
}

// InTrash tells whether it is in the trash. One that was started since, by an orchestrator that knows no trash, is not, nor is one that is
// being deleted.
func (e *Environment) InTrash() bool { return e.Trash != nil && e.Want == WantStopped }
