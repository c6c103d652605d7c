package progress

import (
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/move"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// A move ends by what its hosts are and by its time, which it has anew with whatever is copied; while the node is stopped only by its time.
func TestMove(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	at := func(step store.MoveStep) *store.Moving {
		return &store.Moving{Operation: "op-1", Other: "h-2", Step: step}
	}
	runs := Node{Node: operator.Node{CTID: 101, HostName: "two", State: string(host.CtRunning)}, Answered: true}
	two := func(e End) End { e.Name = "two"; return e }
	for name, c := range map[string]struct {
		moved  *Moved
		after  time.Duration
		state  operator.OperationState
		cancel bool
		says   string
	}{
		"it copies": {&Moved{On: "h-1", Moving: at(store.MoveCopy), To: two(End{Said: &move.State{Bytes: 9 << 20, Of: 20 << 20}})},
			time.Hour, operator.OpRunning, true, "copied 9 of about 20 MiB"},
		"it waits for others": {&Moved{On: "h-1", Moving: at(store.MoveCopy), To: two(End{Said: &move.State{Waits: true}})},
			time.Hour, operator.OpRunning, true, "it waits: host two copies others first"},
		"it comes no further": {&Moved{On: "h-1", Moving: at(store.MoveCopy), To: two(End{Said: &move.State{Error: "no room"}})},
			time.Hour, operator.OpFailed, false, "no room"},
		"the other host is away": {&Moved{On: "h-1", Moving: at(store.MoveCopy), To: two(End{Away: true})}, 0,
			operator.OpRunning, true, ""},
		"the other host is lost": {&Moved{On: "h-1", Moving: at(store.MoveCopy), To: two(End{Lost: true})}, 0, operator.OpFailed, false,
			"host two is lost: the node stays where it is"},
		"its own host is lost": {&Moved{On: "h-1", Moving: at(store.MoveCopy), From: End{Name: "one", Lost: true}}, 0, operator.OpFailed,
			false, "host one, which it leaves, is lost"},
		"one was removed": {&Moved{On: "h-1", Moving: at(store.MoveCopy), To: End{Removed: true}}, 0, operator.OpFailed, false, "removed"},
		"it was stopped, and the other host is lost": {&Moved{On: "h-1", Moving: at(store.MoveLast), To: two(End{Lost: true})}, 0,
			operator.OpRunning, false, ""},
		"it was stopped, and its own host is lost": {&Moved{On: "h-1", Moving: at(store.MoveLast), From: End{Name: "one", Lost: true},
			To: two(End{Said: &move.State{Phase: move.Last, Error: "no answer"}})}, 0, operator.OpFailed, false,
			"host one is lost, on which it was stopped"},
		"it was stopped, its own host is lost, and all may come": {&Moved{On: "h-1", Moving: at(store.MoveLast),
			From: End{Name: "one", Lost: true}, To: two(End{Said: &move.State{Phase: move.Last}})}, 0, operator.OpRunning, false, ""},
		"it was given up": {&Moved{On: "h-1"}, 0, operator.OpFailed, false, "it is where it was"},
		"it was deleted":  {nil, 0, operator.OpFailed, false, "deleted"},
		"it runs there":   {&Moved{On: "h-2", Moving: at(store.MoveClean), Node: runs}, 0, operator.OpRunning, false, ""},
		"its own host is away then": {&Moved{On: "h-2", Moving: at(store.MoveClean), Node: runs, From: End{Away: true}}, 0,
			operator.OpDone, false, ""},
		"all is done": {&Moved{On: "h-2", Node: runs}, 0, operator.OpDone, false, ""},
	} {
		op := store.Operation{From: "h-1", To: "h-2", Node: 101, Env: "hello", Operation: operator.Operation{ID: "op-1", Kind: Move,
			Created: now, Deadline: now.Add(MovePatience), Steps: kinds[Move].Steps(now), Cancel: true}}
		got := Advance(op, Facts{Now: now.Add(c.after), Env: &store.Environment{Want: store.WantRunning}, Move: c.moved})
		said := ReasonOf(got)
		for _, s := range got.Steps {
			said += "; " + s.Detail
		}
		if got.State != c.state || got.Cancel != c.cancel || !strings.Contains(said, c.says) {
			t.Errorf("%s: %s, cancel %v, %s", name, got.State, got.Cancel, said)
		}
	}
}
