package progress

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/store"
)

func runOf(n int, state host.ImportState) host.ImportRun {
	r := host.ImportRun{ID: idOf(n), Name: "web:1", By: "push token", State: state, Created: t0, Updated: t0}
	switch state {
	case host.ImportRunning:
		r.Percent, r.Detail, r.Deadline = 40, "84 of 210 MiB are read", t0.Add(10*time.Minute)
	case host.ImportFailed:
		r.Code, r.Reason, r.Next = "invalid", "is for linux/s390x", "mend the image and push it again"
	case host.ImportDropped:
		r.Reason, r.Next = "the name was deleted", "push it again"
	}
	return r
}

func idOf(n int) wire.OperationID { return wire.OperationID(fmt.Sprintf("op-%016x", n)) }

func stored(t *testing.T, r host.ImportRun) store.Operation {
	op, ok := importOf(r)
	if !ok {
		t.Fatalf("no operation of %+v", r)
	}
	return op
}

// TestFollow: what the registry tells of an import is its operation.
func TestFollow(t *testing.T) {
	later := runOf(1, host.ImportRunning)
	later.Percent = 60
	for _, c := range []struct {
		name   string
		stored []host.ImportRun
		told   []host.ImportRun
		want   string
	}{
		{"nothing", nil, nil, ""},
		{"pushed", nil, []host.ImportRun{runOf(1, host.ImportWaiting)}, "1 pending 0"},
		{"its turn", []host.ImportRun{runOf(1, host.ImportWaiting)}, []host.ImportRun{runOf(1, host.ImportRunning)}, "1 running 40"},
		{"further", []host.ImportRun{runOf(1, host.ImportRunning)}, []host.ImportRun{later}, "1 running 60"},
		{"no further", []host.ImportRun{runOf(1, host.ImportRunning)}, []host.ImportRun{runOf(1, host.ImportRunning)}, ""},
		{"the registry started again", []host.ImportRun{runOf(1, host.ImportRunning)}, []host.ImportRun{runOf(1, host.ImportWaiting)},
			"1 pending 0"},
		{"done", []host.ImportRun{runOf(1, host.ImportRunning)}, []host.ImportRun{runOf(1, host.ImportDone)}, "1 done 100"},
		{"done between two looks", nil, []host.ImportRun{runOf(1, host.ImportDone)}, "1 done 100"},
		{"failed", []host.ImportRun{runOf(1, host.ImportRunning)}, []host.ImportRun{runOf(1, host.ImportFailed)},
			"1 failed 0 invalid is for linux/s390x: mend the image and push it again"},
		{"dropped", []host.ImportRun{runOf(1, host.ImportWaiting)}, []host.ImportRun{runOf(1, host.ImportDropped)},
			"1 cancelled 0 conflict the name was deleted: push it again"},
		{"the end is the end", []host.ImportRun{runOf(1, host.ImportDone)}, []host.ImportRun{runOf(1, host.ImportRunning)}, ""},
		{"ended and forgotten by the registry", []host.ImportRun{runOf(1, host.ImportDone)}, nil, ""},
		{"under way and forgotten by the registry", []host.ImportRun{runOf(1, host.ImportRunning)},
			[]host.ImportRun{runOf(2, host.ImportWaiting)},
			"2 pending 0, 1 failed 40 internal the registry does not know of it any more: see hnctl template list; push it again if it " +
				"is not there"},
		{"several", []host.ImportRun{runOf(1, host.ImportRunning), runOf(2, host.ImportWaiting)},
			[]host.ImportRun{runOf(3, host.ImportWaiting),
				runOf(2, host.ImportRunning), runOf(1, host.ImportDone)},
			"3 pending 0, 2 running 40, 1 done 100"},
		{"told twice", nil, []host.ImportRun{runOf(1, host.ImportWaiting), runOf(1, host.ImportWaiting)}, "1 pending 0"},
		{"a newer registry's state", []host.ImportRun{runOf(1, host.ImportRunning)},
			[]host.ImportRun{runOf(1, "resting"), runOf(2, "resting")}, ""},
		{"a newer registry's code", nil,
			[]host.ImportRun{{ID: idOf(1), Name: "web:1", State: host.ImportFailed, Code: "tired", Reason: "why",
				Updated: t0}}, "1 failed 0 internal why: "},
	} {
		var before []store.Operation
		for _, r := range c.stored {
			before = append(before, stored(t, r))
		}
		was := fmt.Sprintf("%+v", before)
		var got []string
		for _, op := range Follow(before, c.told, t0) {
			s := fmt.Sprintf("%s %s %d", strings.TrimLeft(strings.TrimPrefix(string(op.ID), "op-"), "0"), op.State, op.Progress)
			if op.Problem != nil {
				s += fmt.Sprintf(" %s %s: %s", op.Problem.Code, op.Problem.Reason, op.Problem.Next)
			}
			got = append(got, s)
			if op.Kind != "import" || op.Object != "templates/web:1" || op.Cancel || op.State.Final() != op.Steps[1].State.Final() {
				t.Errorf("%s: unfit operation %+v", c.name, op)
			}
		}
		if s := strings.Join(got, ", "); s != c.want {
			t.Errorf("%s: got %q, want %q", c.name, s, c.want)
		}
		if fmt.Sprintf("%+v", before) != was {
			t.Errorf("%s: it changed its input", c.name)
		}
	}
}

// TestFollowKeeps: what is not kept any more is not made again, however often the registry tells of it.
func TestFollowKeeps(t *testing.T) {
	var have []store.Operation
	for i := range KeepFinal {
		r := runOf(i, host.ImportDone)
		r.Updated = t0.Add(time.Duration(i) * time.Second)
		have = append(have, stored(t, r))
	}
	before, after := runOf(KeepFinal, host.ImportDone), runOf(KeepFinal+1, host.ImportDone)
	before.Updated, after.Updated = t0.Add(-time.Second), t0.Add(time.Hour)
	if got := Follow(have, []host.ImportRun{after, before}, t0.Add(time.Hour)); len(got) != 1 || got[0].ID != after.ID {
		t.Errorf("got %d operations: %+v", len(got), got)
	}
	if got := Follow(nil, []host.ImportRun{before}, t0.Add(KeepFor+time.Hour)); len(got) != 0 {
		t.Errorf("one from long ago: %+v", got)
	}
}

// TestImportsAccount: what a registry says of accounts is kept; of one that says nothing, an import is the admins'.
func TestImportsAccount(t *testing.T) {
	run := runOf(1, host.ImportWaiting)
	for said, want := range map[wire.Account]wire.Account{"": wire.AdminAccount, "acme": "acme"} {
		run.Account = said
		if op, ok := importOf(run); !ok || op.Account != want {
			t.Errorf("an import of %q is %q's, want %s's", said, op.Account, want)
		}
	}
}
