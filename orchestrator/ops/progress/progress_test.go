package progress

import (
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

var t0 = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func operation(kind string) store.Operation {
	return store.Operation{Env: "hello", Node: 102, Operation: operator.Operation{ID: "op-1", Kind: kind, Object: "environments/hello",
		State: operator.OpPending, Created: t0, Deadline: t0.Add(time.Minute), Steps: kinds[kind].Steps(t0), Cancel: true}}
}

func nodes(states ...string) (out []Node) {
	for i, s := range states {
		n := Node{Node: operator.Node{CTID: wire.CTID(101 + i), HostName: "host1", State: s, Reason: "why"}, Delivered: s != "waiting",
			Answered: true}
		if s == "gone" {
			n.State, n.Gone, n.Away = "unknown", true, true
		}
		if s == "away" {
			n.State, n.Away = "unknown", true
		}
		if was, ok := strings.CutPrefix(s, "was "); ok {
			n.State, n.Answered = was, false
		}
		out = append(out, n)
	}
	return out
}

func TestAdvance(t *testing.T) {
	env := &store.Environment{}
	for _, c := range []struct {
		name   string
		kind   string
		f      Facts
		want   operator.OperationState
		detail string // part of some step, or of the problem
	}{
		{"create: not placed", "env.create", Facts{Now: t0, Env: env, Missing: 2, Why: "host1 is UNREACHABLE"}, operator.OpRunning,
			"0 of 2 nodes have a host; host1 is UNREACHABLE"},
		{"create: waiting", "env.create", Facts{Now: t0, Env: env, Nodes: nodes("waiting", "running")}, operator.OpRunning,
			"node 101 on host1 is waiting"},
		{"create: done", "env.create", Facts{Now: t0, Env: env, Nodes: nodes("running", "running")}, operator.OpDone, "2 of 2 nodes run"},
		{"create: a node that is going does not count", "env.create", Facts{Now: t0, Env: env, Nodes: nodes("running", "gone")},
			operator.OpDone, "1 of 1 nodes run"},
		{"create: too late", "env.create", Facts{Now: t0.Add(time.Minute), Env: env, Nodes: nodes("failing")}, operator.OpFailed,
			"not done within 1m0s: 0 of 1 nodes run; node 101 on host1 is failing: why"},
		{"create: a node can't run", "env.create", Facts{Now: t0, Env: env, Nodes: nodes("running", "broken")}, operator.OpFailed,
			"node 102 on host1 is broken: why"},
		{"create: a broken node that is going", "env.create", Facts{Now: t0, Env: env, Nodes: append(nodes("waiting"),
			Node{Node: operator.Node{State: "broken", Gone: true}})}, operator.OpRunning, "node 101 on host1 is waiting"},
		{"start: a node can't run yet: it may have been mended", "env.start", Facts{Now: t0, Env: env, Nodes: nodes("broken")},
			operator.OpRunning, "is broken: why"},
		{"create: deleted meanwhile", "env.create", Facts{Now: t0}, operator.OpFailed, "deleted meanwhile"},
		{"start: done", "env.start", Facts{Now: t0, Env: env, Nodes: nodes("running")}, operator.OpDone, ""},
		{"stop: under way", "env.stop", Facts{Now: t0, Env: env, Nodes: nodes("stopped", "running")}, operator.OpRunning,
			"1 of 2 nodes are stopped; node 102"},
		{"stop: done", "env.stop", Facts{Now: t0, Env: env, Nodes: nodes("stopped")}, operator.OpDone, ""},
		{"stop: a node that still ends is not stopped", "env.stop", Facts{Now: t0, Env: env, Nodes: nodes("stopped", "stopping")},
			operator.OpRunning, "1 of 2 nodes are stopped; node 102 on host1 is stopping"},
		{"stop: stopped before it was started for a moment", "env.stop", Facts{Now: t0, Env: env, Nodes: nodes("was stopped")},
			operator.OpRunning, "0 of 1 nodes are stopped"},
		{"stop: a host that does not answer", "env.stop", Facts{Now: t0, Env: env, Nodes: nodes("stopped", "away")}, operator.OpDone,
			"1 of 2 nodes are stopped; node 102 is stopped when host1 is back"},
		{"stop: no host answers", "env.stop", Facts{Now: t0, Env: env, Nodes: nodes("away")}, operator.OpDone, "0 of 1 nodes are stopped"},
		{"stop: a host that has not reported yet", "env.stop", Facts{Now: t0, Env: env, Nodes: nodes("unknown")}, operator.OpRunning,
			"node 101 on host1 is unknown"},
		{"start: it ran before it was stopped for a moment", "env.start", Facts{Now: t0, Env: env, Nodes: nodes("was running")},
			operator.OpRunning, "0 of 1 nodes run"},
		{"delete: under way", "env.delete", Facts{Now: t0, Env: env, Nodes: nodes("removing")}, operator.OpRunning,
			"1 nodes are being removed; node 101 on host1 is removing: why"},
		{"delete: done", "env.delete", Facts{Now: t0}, operator.OpDone, "all is removed"},
		{"delete: done but for a dead host", "env.delete", Facts{Now: t0, Nodes: nodes("gone")}, operator.OpDone,
			"when their hosts are back"},
		{"replace: under way", "node.replace", Facts{Now: t0, Env: env, Nodes: nodes("gone", "starting")}, operator.OpRunning,
			"node 102 on host1 is starting"},
		{"replace: done", "node.replace", Facts{Now: t0, Env: env, Nodes: nodes("gone", "running")}, operator.OpDone, ""},
		{"a kind nobody knows", "env.paint", Facts{Now: t0, Env: env}, operator.OpFailed, "not known"},
	} {
		op := operation("env.create")
		if _, ok := kinds[c.kind]; ok {
			op = operation(c.kind)
		}
		op.Kind = c.kind
		before := op.Steps[0].Detail
		got := Advance(op, c.f)
		said := []string{}
		for _, s := range got.Steps {
			said = append(said, s.Detail)
			if got.State.Final() && !s.State.Final() {
				t.Errorf("%s: the operation is %s, its step %s is %s", c.name, got.State, s.Name, s.State)
			}
		}
		if got.Problem != nil {
			said = append(said, got.Problem.Reason)
		}
		if got.State != c.want || !strings.Contains(strings.Join(said, "|"), c.detail) {
			t.Errorf("%s: got %s %q, want %s with %q", c.name, got.State, said, c.want, c.detail)
		}
		if (got.State == operator.OpFailed) != (got.Problem != nil) || (got.State == operator.OpDone) != (got.Progress == 100) {
			t.Errorf("%s: %s with problem %v at %d %%", c.name, got.State, got.Problem, got.Progress)
		}
		if op.Steps[0].Detail != before {
			t.Errorf("%s: Advance changed its input", c.name)
		}
		if again := Advance(got, Facts{Now: t0.Add(time.Hour)}); got.State.Final() && again.State != got.State {
			t.Errorf("%s: a final operation went from %s to %s", c.name, got.State, again.State)
		}
	}
}
