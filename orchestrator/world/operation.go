package world

import (
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// Operation is one operation; false when there is none, or none any more.
func (w World) Operation(id wire.OperationID) (operator.Operation, bool) {
	op, ok := store.Operations.Get(w.View, string(id))
	if !ok || !w.seesOperation(&op) {
		return operator.Operation{}, false
	}
	return w.operation(op), true
}

// Operations are all operations, the newest first.
func (w World) Operations() List[operator.Operation] {
	return w.operations(func(*store.Operation) bool { return true })
}

// OperationsOn are the operations on one environment, the newest first.
func (w World) OperationsOn(name wire.EnvName) List[operator.Operation] {
	object := "environments/" + string(name)
	return w.operations(func(op *store.Operation) bool { return op.Object == object })
}

func (w World) operations(some func(*store.Operation) bool) List[operator.Operation] {
	var out []Item[operator.Operation]
	for _, op := range store.Operations.Refs(w.View) {
		if some(op) && w.seesOperation(op) {
			key := newest(op.Created) + string(op.ID)
			out = append(out, Item[operator.Operation]{key, func() operator.Operation { return w.operation(*op) }})
		}
	}
	return ListOf(out)
}

// seesOperation tells whether an operation is there for the caller. To those with whom an environment is shared that of an earlier one of
// its name is not.
func (w World) seesOperation(op *store.Operation) bool {
	owner := ofOperation(*op)
	if s := w.shared[op.Env]; s != nil && s.Account == owner && !op.Of(s.Made) {
		return false
	}
	return w.seesIn(owner, op.Env)
}

func (w World) operation(op store.Operation) operator.Operation {
	op.Operation.Revision = store.Operations.Revision(w.View, string(op.ID))
	op.Operation.Account = ofOperation(op)
	return w.asGuest(op.Operation, op.Env)
}
