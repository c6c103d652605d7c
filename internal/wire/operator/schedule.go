package operator

import "hardnode.dev/internal/wire"

// SnapshotSchedule has a node's host take snapshots of it by itself and keep so many of them; all of it 0 is none.
type SnapshotSchedule struct {
	Hourly int  `json:"hourly" doc:"How many of the newest hours keep one"`
	Daily  int  `json:"daily" doc:"How many of the newest days keep one"`
	Weekly int  `json:"weekly" doc:"How many of the newest weeks keep one"`
	NoHook bool `json:"noHook,omitempty" doc:"Leave JEM's actions backup before and backup after out"`
}

// NodeSchedule is when a node's host takes snapshots of it by itself.
type NodeSchedule struct {
	CTID wire.CTID `json:"ctid"`
	SnapshotSchedule
	Problem  string        `json:"problem,omitempty" doc:"Why the last one was not taken"`
	Revision wire.Revision `json:"revision" doc:"Of its environment: send it as If-Match, and nothing that another has changed meanwhile is lost"`
}
