package ops

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/ops/progress"
	"hardnode.dev/orchestrator/store"
	"hardnode.dev/orchestrator/world"
)

var t0 = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

const silence = 30 * time.Minute // after which a registry that says nothing has lost its imports

// created is an operation that made an environment.
func created() store.Operation {
	k, _ := progress.Of("env.create")
	return store.Operation{Env: "hello", Operation: operator.Operation{Kind: "env.create", Object: "environments/hello", Created: t0,
		Steps: k.Steps(t0)}}
}

func runOf(n int, state host.ImportState) host.ImportRun {
	r := host.ImportRun{ID: idOf(n), Name: "web:1", By: "push token", State: state, Created: t0, Updated: t0}
	if state == host.ImportRunning {
		r.Percent, r.Detail, r.Deadline = 40, "84 of 210 MiB are read", t0.Add(10*time.Minute)
	}
	return r
}

func idOf(n int) wire.OperationID { return wire.OperationID(fmt.Sprintf("op-%016x", n)) }

// TestImportsAreKept: the operations of imports and those of environments don't push each other out; Step and a start leave imports alone.
func TestImportsAreKept(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{Dir: filepath.Join(t.TempDir(), "s"), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	now := t0.Add(time.Hour)
	o := &Ops{Store: st, Fleet: live.NewFleet(live.ClocksFor(1), t0, nil), Now: func() time.Time { return now }}
	done := created()
	done.ID, done.State, done.Updated = "op-done", operator.OpDone, t0.Add(-time.Hour)
	taken := created()
	taken.ID, taken.State, taken.Updated = idOf(9), operator.OpDone, t0
	_, err = st.Update(t.Context(), func(tx *store.Tx) error {
		store.Operations.Put(tx, "op-done", done)
		store.Operations.Put(tx, string(taken.ID), taken)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	told := []host.ImportRun{runOf(0, host.ImportRunning), runOf(9, host.ImportWaiting)} // the second has the id of another operation
	for i := range 300 {
		r := runOf(1000+i, host.ImportDone)
		r.Updated = t0.Add(time.Duration(i) * time.Second)
		told = append(told, r)
	}
	for round := range 3 {
		if err := o.Imported(t.Context(), told); err != nil {
			t.Fatal(err)
		}
		for i := range told[2:] {
			told[2+i].ID, told[2+i].Updated = idOf(2000+1000*round+i), told[2+i].Updated.Add(5*time.Minute)
		}
		if err := o.resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := o.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	count := map[string]int{}
	for _, op := range (world.World{Now: now, View: st.View()}).For(world.Admin).Operations().All() {
		count[op.Kind+" "+string(op.State)]++
	}
	want := map[string]int{"env.create done": 2, "import done": progress.KeepFinal, "import running": 1}
	if fmt.Sprint(count) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", count, want)
	}
	running, err := o.get(idOf(0))
	if err != nil || running.State != operator.OpRunning || running.Progress != 40 || !running.Deadline.Equal(t0.Add(10*time.Minute)) ||
		running.Revision == 0 {
		t.Errorf("got %+v, %v", running, err)
	}
	_, err = o.Cancel(t.Context(), idOf(0), "admin", "admin", nil)
	if p := operator.AsProblem(err); p.Code != operator.Conflict || !strings.Contains(p.Reason, "can't be cancelled") ||
		!strings.Contains(p.Next, "hnctl op watch "+string(idOf(0))) {
		t.Errorf("cancel: %+v", p)
	}

	// A registry that says nothing: not yet, and then.
	now = now.Add(silence)
	for _, c := range []struct {
		since time.Time
		want  operator.OperationState
	}{{now.Add(-silence + time.Second), operator.OpRunning}, {now.Add(-silence), operator.OpFailed}} {
		if err := o.Silent(t.Context(), c.since); err != nil {
			t.Fatal(err)
		}
		got, _ := o.get(idOf(0))
		if got.State != c.want || got.State == operator.OpFailed && (!strings.Contains(got.Problem.Reason, "has not answered for 30m") ||
			got.Problem.Next == "") {
			t.Errorf("silent since %s: %+v", c.since, got)
		}
	}
}
