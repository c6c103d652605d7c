package operator

// MoveNode asks that a node goes to another host with its data. Its number and its addresses stay.
type MoveNode struct {
	Host    string `json:"host,omitempty" maxLength:"63" doc:"Where it goes, by id or name; empty: where there is room"`
	RateMiB int64  `json:"rateMiB,omitempty" minimum:"0" maximum:"100000" doc:"MiB a second that are copied at most while it runs; 0 is no bound"`
}

// MovePlan is where a node would go.
type MovePlan struct {
	HostName string `json:"hostName"`
	Why      string `json:"why"`
}
