package operator

import (
	"fmt"

	"hardnode.dev/internal/wire"
)

// DrainHost empties a host of users' nodes.
type DrainHost struct {
	Reason string `json:"reason,omitempty" maxLength:"200" doc:"Why, in one line: it is recorded, and shown where it keeps a node away"`
	Stop   bool   `json:"stop,omitempty" doc:"Stop nodes that no other host takes where they are; else there must be none"`
}

// The ways in which nodes leave a host that is drained.
const (
	WayReplace = "replace" // another node runs elsewhere before it goes
	WayMove    = "move"    // it goes elsewhere with its data, one of a host at a time
	WayStop    = "stop"    // it stays there, is stopped, and is started again when the host is uncordoned
	WayStay    = "stay"    // it stays there: it does not run anyhow
	WayStuck   = "stuck"   // no other host takes it, and it can't be stopped unless that is asked for
)

// DrainNode is how one node leaves a host that is drained.
type DrainNode struct {
	CTID     wire.CTID      `json:"ctid"`
	Env      wire.EnvName   `json:"env"`
	Layer    wire.LayerName `json:"layer"`
	Way      string         `json:"way" enum:"replace,move,stop,stay,stuck"`
	HostName string         `json:"hostName,omitempty" doc:"Where it goes, or the node that takes its place, as things are now"`
	Why      string         `json:"why,omitempty"`
}

// Stuck is what keeps a host from being drained, nil if nothing does; name is the host's.
func Stuck(name string, nodes []DrainNode) *Problem {
	stuck, first := 0, ""
	for _, n := range nodes {
		if n.Way != WayStuck {
			continue
		}
		if stuck++; first == "" {
			first = fmt.Sprintf("node %d of environment %s: %s", n.CTID, n.Env, n.Why)
		}
	}
	if stuck == 0 {
		return nil
	}
	return NewProblem(Exhausted, "hosts/"+name, fmt.Sprintf("%d of its %d nodes have no other place: %s", stuck, len(nodes), first),
		"add a host or uncordon one, or have them stopped where they are: hnctl host drain "+name+" --stop")
}
