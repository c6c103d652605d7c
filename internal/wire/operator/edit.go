package operator

import "hardnode.dev/internal/wire"

// EditPlan is what an edit of an environment does, in the order of its layers.
type EditPlan struct {
	Steps []EditStep `json:"steps"`
	// Grows is what the environment takes more than before, of what limits count; less than nothing: it takes less.
	Nodes     int   `json:"nodes" doc:"How many nodes more it has; negative: fewer"`
	Cloudlets int64 `json:"cloudlets" doc:"How many dynamic cloudlets more it may use"`
	DiskMiB   int64 `json:"diskMiB" doc:"How much more disk it may use"`
}

// EditStep is what an edit does to one node.
type EditStep struct {
	Kind   string         `json:"kind" enum:"add,resize,change,restart,redeploy,remove" doc:"add: it is made; resize: live; change: how it is reached or asked, live; restart: its process begins anew, its files stay; redeploy: it is made anew from an image, volumes stay; remove: it goes with its data"`
	Layer  wire.LayerName `json:"layer"`
	Node   int            `json:"node" doc:"Its number in the layer, from 1"`
	CTID   wire.CTID      `json:"ctid,omitempty" doc:"Absent: it is to be made"`
	Fields []string       `json:"fields" doc:"JSON pointers of what changes in the spec; of what goes, of the layer or of the list of them"`
	Detail string         `json:"detail" doc:"What changes"`
	Outage string         `json:"outage" enum:"none,restart,down" doc:"restart: it does not answer from the end of the old process until the new one serves; down: for good"`
}

// The kinds of steps, from the least to the most that the node feels, and the outages.
const (
	EditAdd      = "add"
	EditChange   = "change"
	EditResize   = "resize"
	EditRestart  = "restart"
	EditRedeploy = "redeploy"
	EditRemove   = "remove"

	OutageNone    = "none"
	OutageRestart = "restart"
	OutageDown    = "down"
)
