package operator

import "time"

// CordonHost keeps new nodes off a host.
type CordonHost struct {
	Reason string `json:"reason,omitempty" maxLength:"200" doc:"Why, in one line: it is recorded, and shown where it keeps a node away"`
}

// HostCordon is that a host takes no new nodes, until somebody takes it back.
type HostCordon struct {
	By     string    `json:"by" doc:"Who cordoned it"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at" doc:"Since when"`
}

// Words are the cordon in a line.
func (c HostCordon) Words() string {
	s := "cordoned by " + c.By
	if c.Reason != "" {
		s += ": " + c.Reason
	}
	return s
}
