package operator

import (
	"time"

	"hardnode.dev/internal/wire"
)

// OperationState is where an operation is.
type OperationState string

// The operation states; the last three are final.
const (
	OpPending   OperationState = "pending"
	OpRunning   OperationState = "running"
	OpDone      OperationState = "done"
	OpFailed    OperationState = "failed"
	OpCancelled OperationState = "cancelled"
)

// Final tells whether the state is an end.
func (s OperationState) Final() bool { return s == OpDone || s == OpFailed || s == OpCancelled }

// Operation is one piece of long work.
type Operation struct {
	ID       wire.OperationID `json:"id"`
	Kind     string           `json:"kind" doc:"env.create, env.edit, env.start, env.stop, env.restart, env.trash, env.restore, env.delete, env.spread, host.drain, node.replace, import (of an image that was pushed), …"`
	Object   string           `json:"object" doc:"What it works on, e.g. environments/hello, hosts/host-1 or templates/nginx:1.22"`
	By       string           `json:"by" doc:"Who asked: the token's name, or the orchestrator itself; of an import the push token, or the registry itself"`
	Account  wire.Account     `json:"account,omitempty" doc:"Whose the thing is that it works on"`
	State    OperationState   `json:"state" enum:"pending,running,done,failed,cancelled"`
	Revision wire.Revision    `json:"revision" doc:"The store's revision the request was accepted at"`
	Created  time.Time        `json:"created"`
	Updated  time.Time        `json:"updated"`
	Deadline time.Time        `json:"deadline,omitzero" doc:"When it fails unless it is done; an import has none before its turn comes"`
	Progress int              `json:"progress" doc:"0–100"`
	Steps    []Step           `json:"steps"`
	Problem  *Problem         `json:"problem,omitempty"`
	Cancel   bool             `json:"cancel" doc:"Whether it can be cancelled"`
}

// Step is one step of an operation.
type Step struct {
	Name   string         `json:"name"`
	State  OperationState `json:"state"`
	Detail string         `json:"detail,omitempty"`
	At     time.Time      `json:"at,omitzero"`
}
