package apply

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/move"
)

func moving(r move.Role, p move.Phase) host.Container {
	c := ct(101, 1)
	c.Move = &move.Part{ID: "m1", Role: r, Peer: "h-0123456789ab", Phase: p}
	return c
}

// TestMoveFrom: what goes to another host runs until its last state is wanted, then not any more, and again if it does not go after all.
func TestMoveFrom(t *testing.T) {
	in(t, func(t *testing.T, w *world, dir string) {
		a := w.agent(t, dir)
		a.want(t, moving(move.From, move.Copy))
		w.moves.say(101, move.State{ID: "m1", Phase: move.Copy})
		time.Sleep(3 * time.Second)
		expect(t, "copy", states(a.Report()), "101 running")
		if m := a.Report().Containers[0].Move; m == nil || m.ID != "m1" {
			t.Errorf("the report says %+v of the move", m)
		}
		a.want(t, moving(move.From, move.Last))
		w.moves.say(101, move.State{ID: "m1", Phase: move.Last, Arrived: true})
		time.Sleep(3 * time.Second)
		expect(t, "last", states(a.Report()), "101 stopped")
		if err := a.stays(101); err == nil {
			t.Error("it may be started")
		}
		a.want(t, ct(101, 1))
		time.Sleep(3 * time.Second)
		expect(t, "given up", states(a.Report()), "101 running")
		if err := a.stays(101); err != nil {
			t.Error(err)
		}
	})
}

// TestMoveTo: what comes is started once its last state is here, at once; out of work it is forgotten before it is removed.
func TestMoveTo(t *testing.T) {
	in(t, func(t *testing.T, w *world, dir string) {
		a := w.agent(t, dir)
		for _, p := range []move.Phase{move.Copy, move.Last} {
			a.want(t, moving(move.To, p))
			w.moves.say(101, move.State{ID: "m1", Phase: p})
			time.Sleep(3 * time.Second)
			expect(t, string(p), states(a.Report())+w.log(), "101 stopped")
		}
		w.moves.say(101, move.State{ID: "m0", Phase: move.Last, Arrived: true})
		time.Sleep(3 * time.Second)
		expect(t, "another move", states(a.Report()), "101 stopped")
		w.moves.say(101, move.State{ID: "m1", Phase: move.Last, Arrived: true})
		time.Sleep(3 * time.Second)
		expect(t, "arrived", states(a.Report()), "101 running")
		a.want(t)
		time.Sleep(3 * time.Second)
		if got := w.moves.forgotten(); !slices.Equal(got, []wire.CTID{101}) || !strings.Contains(w.log(), "remove 101") {
			t.Errorf("forgotten %v, done %s", got, w.log())
		}
	})
}

func TestMovedOn(t *testing.T) {
	a := &move.State{ID: "m1", Phase: move.Copy, Round: 2, Bytes: 1}
	with := func(f func(*move.State)) *move.State { b := *a; f(&b); return &b }
	for i, c := range []struct {
		b    *move.State
		want bool
	}{
		{nil, true},
		{with(func(s *move.State) { s.Round, s.Bytes, s.Delta = 3, 2, 1 }), false},
		{with(func(s *move.State) { s.Ready = true }), true},
		{with(func(s *move.State) { s.Arrived = true }), true},
		{with(func(s *move.State) { s.Error = errors.ErrUnsupported.Error() }), true},
	} {
		if movedOn(a, c.b) != c.want || movedOn(c.b, a) != c.want {
			t.Errorf("case %d: want %v", i, c.want)
		}
	}
}
