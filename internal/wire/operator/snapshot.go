package operator

import (
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/snapshot"
)

// NodeSnapshots are the snapshots of a node, and what was done to them.
type NodeSnapshots struct{ snapshot.Answer }

// NewSnapshot wishes a snapshot of a node's own files and all its volumes, from one moment.
type NewSnapshot struct {
	Note   string `json:"note,omitempty" maxLength:"200" doc:"What it is for; one line"`
	NoHook bool   `json:"noHook,omitempty" doc:"Leave JEM's actions backup before and backup after out"`
}

// RestoreSnapshot wishes that a node is as it was.
type RestoreSnapshot struct {
	Volumes bool      `json:"volumes,omitempty" doc:"The volumes alone: the node's own files stay as they are"`
	From    wire.CTID `json:"from,omitempty" minimum:"1" doc:"The node of the same host whose snapshot it is; the same one if not said"`
}

// PruneSnapshots deletes a node's snapshots but those that a rule keeps.
type PruneSnapshots struct {
	snapshot.Rule
	DryRun bool `json:"dryRun,omitempty" doc:"Only say which would go"`
}
