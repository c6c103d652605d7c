package operator

import "hardnode.dev/internal/wire"

// RestartEnvironment is which nodes of an environment are started anew, and how. Left out, all are, one after the other.
type RestartEnvironment struct {
	Layer        wire.LayerName `json:"layer,omitempty" doc:"Those of this layer alone"`
	CTID         wire.CTID      `json:"ctid,omitempty" minimum:"0" doc:"This node alone"`
	Together     bool           `json:"together,omitempty" doc:"All at the same time; else each once those before it run"`
	DelaySeconds int            `json:"delaySeconds,omitempty" minimum:"0" maximum:"3600" doc:"The least time from one node's start to the next one's"`
}

// MostDelay is the longest delay between two nodes of a restart, in seconds.
const MostDelay = 3600
