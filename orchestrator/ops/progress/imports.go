package progress

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// Import is the kind of what the registry does: making a template of an image that was pushed. Such an operation follows what the
// registry tells of it and nothing else; it holds no environment, has no deadline before its turn comes, and can't be cancelled.
const Import = "import"

// silence is how long the registry may say nothing before its imports count as failed.
const silence = 30 * time.Minute

// Follow is the operations that change by what the registry tells. One that ended stays as it is; one that the registry does not know any
// more has failed; one that ended so long ago that it is not kept is not made again.
func Follow(stored []store.Operation, told []host.ImportRun, now time.Time) (changed []store.Operation) {
	known, is := map[wire.OperationID]bool{}, map[wire.OperationID]store.Operation{}
	for _, op := range stored {
		is[op.ID] = op
	}
	for _, r := range told {
		known[r.ID] = true
		was, there := is[r.ID]
		op, ok := importOf(r)
		if !ok || there && (was.State.Final() || same(was, op)) {
			continue
		}
		changed, is[op.ID] = append(changed, op), op
	}
	gone := failure{operator.Internal, "the registry does not know of it any more",
		"see hnctl template list; push it again if it is not there"}
	changed = append(changed, lost(stored, known, now, gone)...)
	ended := slices.DeleteFunc(slices.Collect(maps.Values(is)), func(op store.Operation) bool { return !op.State.Final() })
	for _, old := range Expired(ended, now) {
		changed = slices.DeleteFunc(changed, func(op store.Operation) bool { return op.ID == old.ID })
	}
	return changed
}

// Silent is the imports that have failed because the registry has said nothing since then: none before half an hour is over.
func Silent(stored []store.Operation, since, now time.Time) []store.Operation {
	if now.Sub(since) < silence {
		return nil
	}
	reason := fmt.Sprintf("the registry has not answered for %s: what became of it is not known", now.Sub(since).Round(time.Minute))
	why := failure{operator.Unavailable, reason, "see hnctl template list when it does (hnctl node list --env jelastic)"}
	return lost(stored, nil, now, why)
}

type failure struct {
	code         operator.Code
	reason, next string
}

// lost is the imports that have not ended and are not known, failed.
func lost(stored []store.Operation, known map[wire.OperationID]bool, now time.Time, why failure) (out []store.Operation) {
	for _, op := range stored {
		if known[op.ID] || op.State.Final() {
			continue
		}
		op.Steps = slices.Clone(op.Steps)
		op = Finish(op, operator.OpFailed, now, operator.NewProblem(why.code, op.Object, why.reason, why.next))
		op.Updated = now
		out = append(out, op)
	}
	return out
}

// same tells whether two operations say the same of one import.
func same(a, b store.Operation) bool {
	return a.State == b.State && a.Progress == b.Progress && a.Updated.Equal(b.Updated) &&
		slices.EqualFunc(a.Steps, b.Steps, func(a, b operator.Step) bool { return a.State == b.State && a.Detail == b.Detail })
}

// importOf is the operation of an import; false for a state of a newer registry.
func importOf(r host.ImportRun) (store.Operation, bool) {
	op := operator.Operation{ID: r.ID, Kind: Import, Object: "templates/" + string(r.Name), By: r.By, Account: r.Account.Owner(),
		Created: r.Created, Updated: r.Updated, Deadline: r.Deadline, Progress: r.Percent}
	step := operator.Step{Name: "import", Detail: r.Detail, At: r.Updated}
	switch r.State {
	case host.ImportWaiting:
		op.State = operator.OpPending
	case host.ImportRunning:
		op.State = operator.OpRunning
	case host.ImportDone:
		op.State, op.Progress = operator.OpDone, 100
	case host.ImportDropped:
		op.State, op.Problem = operator.OpCancelled, operator.NewProblem(operator.Conflict, op.Object, r.Reason, r.Next)
	case host.ImportFailed:
		op.State, op.Problem = operator.OpFailed, operator.NewProblem(operator.Code(r.Code).Known(), op.Object, r.Reason, r.Next)
	default:
		return store.Operation{}, false
	}
	step.State = op.State
	op.Steps = []operator.Step{{Name: "accept", State: operator.OpDone, At: r.Created}, step}
	return store.Operation{Operation: op}, true
}
