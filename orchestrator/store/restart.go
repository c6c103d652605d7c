package store

import (
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
)

// Restart is that nodes of an environment are started anew, as long as its operation has not ended. Orchestrators before 2026-11-28 keep it
// and don't heed it.
type Restart struct {
	Operation wire.OperationID `json:"operation"`
	operator.RestartEnvironment
}

// About tells whether a node is one that is started anew.
func (r Restart) About(n Node) bool {
	return (r.Layer == "" || r.Layer == n.Layer) && (r.CTID == 0 || r.CTID == n.CTID)
}

// Restarted is by which operation a node was started anew last.
type Restarted struct {
	By wire.OperationID `json:"by"`
	At time.Time        `json:"at"`
}
