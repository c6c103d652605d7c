package operator

import (
	"time"

	"hardnode.dev/internal/wire"
)

// Cluster is the installation as a whole: `hnctl cluster status`.
type Cluster struct {
	ID           wire.ClusterID `json:"id"`
	Name         string         `json:"name"`
	Domain       string         `json:"domain"`
	Version      string         `json:"version"`
	Hosts        map[string]int `json:"hosts" doc:"Hosts by state"`
	Environments map[string]int `json:"environments" doc:"Environments by state"`
	License      License        `json:"license"`
	Alarms       []string       `json:"alarms,omitempty"`
	GossipKey    string         `json:"gossipKey,omitempty" doc:"When the gossip key was rotated, or how far its rotation is"`
	Now          time.Time      `json:"now"`
}

// Version is what the orchestrator is.
type Version struct {
	Version string `json:"version"`
}
