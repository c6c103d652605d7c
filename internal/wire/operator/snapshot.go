package operator

import "hardnode.dev/internal/wire/snapshot"

// NodeSnapshots are the snapshots of a node, and what was done to them.
type NodeSnapshots struct{ snapshot.Answer }

// NewSnapshot wishes a snapshot of a node's own files and all its volumes, from one moment.
type NewSnapshot struct {
	Note string `json:"note,omitempty" maxLength:"200" doc:"What it is for; one line"`
}

// RestoreSnapshot wishes that a node is as it was.
type RestoreSnapshot struct {
	Volumes bool `json:"volumes,omitempty" doc:"The volumes alone: the node's own files stay as they are"`
}

// PruneSnapshots deletes a node's snapshots but those that a rule keeps.
type PruneSnapshots struct {
	snapshot.Rule
	DryRun bool `json:"dryRun,omitempty" doc:"Only say which would go"`
}
