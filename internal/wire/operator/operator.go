// Package operator is the dialect between people's tools (hnctl, panels, scripts) and the orchestrator: the resources of /api/v1.
//
// Owns: the resources (Cluster, Host, Environment, Node, Operation, License), their states, and the closed list of error codes.
// In: YAML or JSON a person wrote; JSON from the API.
// Out: valid values; an error naming the field and the rule.
// Never: does I/O but for the answer that a Problem is, or carries what only hosts need (that is wire/host).
//
// History: 2026-11-22 version 1. 2026-11-25 Environment.Failed, node state stopping; Template.State, Reason, Imported, Notes, Warnings.
// 2026-11-26 operations of the kind import, whose Deadline may be absent; Account of all that is somebody's.
// 2026-11-27 HostSystem, OrderSystem; kexec of both and of LeaveHost, the method kexec.
package operator

// Prefix is the path all of the API lives under.
const Prefix = "/api/v1"

// List is the body of every list.
type List[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty" doc:"Send it as cursor to get what follows; absent at the end"`
}

// Accepted answers a request for long work: the operation to watch; or, of a dry run, the nodes there would be and nothing else.
type Accepted struct {
	Operation *Operation `json:"operation,omitempty"`
	Plan      []Node     `json:"plan,omitempty" doc:"Dry run: where each node would go, and why"`
	// Drain is, of a dry run of a drain, how each node would leave the host.
	Drain []DrainNode `json:"drain,omitempty" doc:"Dry run of a drain: how each node would leave the host"`
	Edit  *EditPlan   `json:"edit,omitempty" doc:"Dry run of an edit: what it does"`
	Move  *MovePlan   `json:"move,omitempty" doc:"Dry run of a move: where the node would go, and why"`
}
