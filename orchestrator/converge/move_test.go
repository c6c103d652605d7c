package converge

import (
	"testing"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// TestMoveEndsWhenItRuns: a move of which nothing is left where it was ends once the node runs, or can't: until then what is for it waits.
func TestMoveEndsWhenItRuns(t *testing.T) {
	for state, ends := range map[host.ContainerState]bool{
		host.CtStopped: false, host.CtWaiting: false, host.CtStarting: false,
		host.CtRunning: true, host.CtFailing: true, host.CtBroken: true,
	} {
		w := newWorld(3)
		w.env("hello", 1, store.WantRunning)
		settle := func() {
			for range 5 {
				w.turn("")
				w.report(1, operator.HostActive)
				w.report(2, operator.HostActive)
			}
		}
		settle()
		n := &w.in.Nodes[0]
		old := n.Host
		n.Host = w.in.Hosts[1].ID
		if n.Host == old {
			n.Host = w.in.Hosts[2].ID
		}
		n.Moving = &store.Moving{Operation: "op-1", Other: old, Step: store.MoveClean, At: t0}
		w.turn("it has arrived")
		for i := range w.in.Hosts[1:] {
			w.report(i+1, operator.HostActive)
		}
		for _, c := range w.in.Live[w.in.Nodes[0].Host].Report.Containers {
			if c.CTID != w.in.Nodes[0].CTID {
				t.Fatalf("%s: the host has container %s", state, c.CTID)
			}
		}
		w.in.Live[w.in.Nodes[0].Host].Report.Containers[0].State = state
		w.turn("its host reports")
		if got := w.in.Nodes[0].Moving == nil; got != ends {
			t.Errorf("the node is %s: the move has ended: %v, want %v", state, got, ends)
		}
	}
}
