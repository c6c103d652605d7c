package progress

import (
	"iter"
	"slices"
	"time"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// Kind is how one kind of operation is watched: its steps, and how far it is (done of total, and a detail for people).
type Kind struct {
	steps []string
	look  func(op *store.Operation, f Facts) (done, total int, detail string)
	want  store.Want // the want it sets; "": it leaves that
	// cancel: a person may cancel it. undo: failing makes what was before it wanted again. A stop is never undone by its deadline: who
	// asked for it wants it stopped, and what still runs ends when it can. A failed creation stays.
	cancel, undo bool
	// turns: layers begin or end in the order that their file says, one after the other. A deletion ends all at once, and a restart gives
	// each node its own time.
	turns bool
	// over are the kinds it may interrupt.
	over []string
}

// kinds is the table of all operations. A deletion interrupts everything; a stop whatever starts, so that it works on whatever runs; a
// start interrupts a stop.
var kinds = map[string]Kind{
	"env.create": {steps: []string{"accept", "place", "deliver", "run"}, look: lookRun, want: store.WantRunning, cancel: true,
		turns: true},
	"env.start": {steps: []string{"accept", "place", "deliver", "run"}, look: lookRun, want: store.WantRunning, cancel: true, undo: true,
		turns: true, over: []string{"env.stop"}},
	Edit:    {steps: []string{"accept", "place", "change", "run", "remove"}, look: lookEdit, cancel: true, undo: true, turns: true},
	Restart: {steps: []string{"accept", "restart"}, look: lookRestart, cancel: true},
	"env.stop": {steps: []string{"accept", "stop"}, look: lookStop, want: store.WantStopped, cancel: true, turns: true,
		over: []string{"env.create", "env.start", "env.spread", Edit, Restart, Restore}},
	// Not to be cancelled: what it gave back counts for limits again only by a restore, which asks for room.
	Trash: {steps: []string{"accept", "stop"}, look: lookStop, want: store.WantStopped, turns: true,
		over: []string{"env.create", "env.start", "env.stop", "env.spread", Edit, Restart, Restore}},
	Restore: {steps: []string{"accept", "place", "deliver", "run"}, look: lookRestore, turns: true, over: []string{Trash}},
	"env.delete": {steps: []string{"accept", "remove"}, look: lookDelete, want: store.WantDeleted, over: []string{"env.create",
		"env.start", "env.stop", "env.spread", Edit, Restart, Trash, Restore}},
	"env.spread":   {steps: []string{"accept", "spread"}, look: lookSpread, cancel: true},
	Drain:          {steps: []string{"cordon", "replace", "stop"}, look: lookDrain, cancel: true},
	Move:           {steps: []string{"check", "copy", "last", "start", "clean"}, look: lookMove, cancel: true},
	"node.replace": {steps: []string{"place", "run"}, look: lookReplace},
}

// Of is the kind of that name; false when there is none.
func Of(name string) (Kind, bool) {
	k, ok := kinds[name]
	return k, ok
}

// Want is what the kind makes wanted, "" if it leaves that.
func (k Kind) Want() store.Want { return k.want }

// Cancel tells whether a person may cancel it.
func (k Kind) Cancel() bool { return k.cancel }

// Interrupts tells whether it may end an operation of the other kind to begin itself.
func (k Kind) Interrupts(other string) bool { return slices.Contains(k.over, other) }

// InTurns tells whether it has the nodes of layers begin or end in the order that their file says.
func (k Kind) InTurns() bool { return k.turns }

// Steps are those of an operation that begins now: it is accepted, and that is its first.
func (k Kind) Steps(now time.Time) []operator.Step {
	out := make([]operator.Step, len(k.steps))
	for i, name := range k.steps {
		out[i] = operator.Step{Name: name, State: operator.OpPending, At: now}
	}
	out[0].State = operator.OpDone
	return out
}

// Patience is what an operation that ends nodes has beside its own time: as long as the slowest may take from its stop signal to the kill.
func (k Kind) Patience(nodes iter.Seq[store.Node]) (most time.Duration) {
	if k.want != store.WantStopped && k.want != store.WantDeleted {
		return 0
	}
	for n := range nodes {
		most = max(most, time.Duration(n.Container.Process.StopAfter)*time.Second)
	}
	return most
}
