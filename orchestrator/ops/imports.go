package ops

import (
	"context"
	"fmt"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/ops/progress"
	"hardnode.dev/orchestrator/store"
)

// Imported takes what the registry tells of its imports: all that have not ended are in it, and the last that have.
func (o *Ops) Imported(ctx context.Context, told []host.ImportRun) error {
	return o.imports(ctx, func(stored []store.Operation) []store.Operation { return progress.Follow(stored, told, o.now()) })
}

// Silent tells that the registry has not answered since then: after half an hour imports that have not ended count as failed.
func (o *Ops) Silent(ctx context.Context, since time.Time) error {
	return o.imports(ctx, func(stored []store.Operation) []store.Operation { return progress.Silent(stored, since, o.now()) })
}

// imports writes the operations of imports that changed by what is stored of them.
func (o *Ops) imports(ctx context.Context, change func([]store.Operation) []store.Operation) error {
	var ended []store.Operation
	_, err := o.Store.Update(ctx, func(tx *store.Tx) error {
		var stored []store.Operation
		for _, op := range store.Operations.All(tx.View()) {
			if op.Kind == progress.Import {
				stored = append(stored, op)
			}
		}
		ended = nil
		for _, op := range change(stored) {
			was, ok := store.Operations.Read(tx, string(op.ID))
			if ok && (was.Kind != progress.Import || was.State.Final()) {
				continue
			}
			store.Operations.Put(tx, string(op.ID), op)
			if op.State.Final() {
				ended = append(ended, op)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store what the registry tells of imports: %w", err)
	}
	for _, op := range ended {
		logging.Or(o.Log).Info("operation "+string(op.State), logging.Op, string(op.ID), logging.Step, op.Kind, "object", op.Object,
			logging.Took, op.Updated.Sub(op.Created), logging.Reason, progress.ReasonOf(op))
	}
	return nil
}
