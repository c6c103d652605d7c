package moving

import (
	"testing"
	"time"

	"hardnode.dev/internal/wire/move"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

var now = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

func on(step store.MoveStep, why string) store.Node {
	return store.Node{CTID: 101, Host: "h-1", Assigned: 5, Moving: &store.Moving{Operation: "op-1", Other: "h-2", Step: step,
		Why: why, Assigned: 7}}
}

func TestNext(t *testing.T) {
	there := Host{Known: true}
	copied, last := move.State{Phase: move.Copy, Ready: true}, move.State{Phase: move.Last, Arrived: true}
	full := move.State{Phase: move.Last, Error: "full"}
	says := func(s move.State) Host { return Host{Known: true, Said: &s} }
	for name, c := range map[string]struct {
		node     store.Node
		from, to Host
		host     string
		step     store.MoveStep // "": it moves no more
	}{
		"copying":                           {on(store.MoveCopy, ""), there, says(move.State{Phase: move.Copy}), "h-1", store.MoveCopy},
		"nothing said":                      {on(store.MoveCopy, ""), there, there, "h-1", store.MoveCopy},
		"ready":                             {on(store.MoveCopy, ""), says(move.State{}), says(copied), "h-1", store.MoveLast},
		"ready, and its host is silent":     {on(store.MoveCopy, ""), there, says(copied), "h-1", store.MoveCopy},
		"given up while copying":            {on(store.MoveCopy, "x"), there, says(copied), "h-1", ""},
		"its host was removed":              {on(store.MoveCopy, ""), there, Host{}, "h-1", ""},
		"last, not there yet":               {on(store.MoveLast, ""), there, says(move.State{Phase: move.Last}), "h-1", store.MoveLast},
		"last, what was said of the copy":   {on(store.MoveLast, ""), there, says(copied), "h-1", store.MoveLast},
		"arrived":                           {on(store.MoveLast, ""), there, says(last), "h-2", store.MoveClean},
		"given up too late":                 {on(store.MoveLast, "x"), there, says(last), "h-2", store.MoveClean},
		"given up, and nobody knows":        {on(store.MoveLast, "x"), there, there, "h-1", store.MoveRecall},
		"given up, and it may come still":   {on(store.MoveLast, "x"), there, says(move.State{Phase: move.Last}), "h-1", store.MoveRecall},
		"given up, and it may come, full":   {on(store.MoveLast, "x"), there, says(full), "h-1", store.MoveRecall},
		"recalled, and nothing is said":     {on(store.MoveRecall, "x"), there, there, "h-1", store.MoveRecall},
		"recalled, and it comes still":      {on(store.MoveRecall, "x"), there, says(full), "h-1", store.MoveRecall},
		"recalled, and it had come":         {on(store.MoveRecall, "x"), there, says(last), "h-2", store.MoveClean},
		"recalled, and it does not come":    {on(store.MoveRecall, "x"), there, says(copied), "h-1", store.MoveBack},
		"recalled, and it has nothing":      {on(store.MoveRecall, "x"), there, Host{Known: true, Clear: true}, "h-1", store.MoveBack},
		"recalled, and the host is removed": {on(store.MoveRecall, "x"), there, Host{}, "h-1", ""},
		"an error that nobody gave up for":  {on(store.MoveLast, ""), there, says(full), "h-1", store.MoveLast},
		"the other host was removed":        {on(store.MoveLast, ""), there, Host{}, "h-1", ""},
		"back, and it has something still":  {on(store.MoveBack, "x"), there, there, "h-1", store.MoveBack},
		"back":                              {on(store.MoveBack, "x"), there, Host{Known: true, Clear: true}, "h-1", ""},
		"the old host has something still":  {on(store.MoveClean, ""), there, there, "h-1", store.MoveClean},
		"the old host has nothing any more": {on(store.MoveClean, ""), Host{Known: true, Clear: true}, there, "h-1", ""},
		"the old host was removed":          {on(store.MoveClean, ""), Host{}, there, "h-1", ""},
	} {
		was := *c.node.Moving
		got, why := Next(c.node, c.from, c.to, Requests{}, now)
		step := store.MoveStep("")
		if got.Moving != nil {
			step = got.Moving.Step
		}
		if string(got.Host) != c.host || step != c.step || (why != "") != (step != was.Step) {
			t.Errorf("%s: on %s, step %q, why %q; want on %s, %q", name, got.Host, step, why, c.host, c.step)
		}
		if *c.node.Moving != was {
			t.Errorf("%s: the node it was told of is another one", name)
		}
	}
	if n, _ := Next(on(store.MoveLast, ""), there, says(move.State{Phase: move.Last, Arrived: true}), Requests{}, now); n.Assigned != 7 ||
		n.Moving.Assigned != 5 || n.Moving.Other != "h-1" || !n.Moved {
		t.Errorf("arrived: %+v %+v", n, n.Moving)
	}
}

// TestHold: what comes for a node that serves is held before it stops, and the resolvers and what is under way are waited for, each as
// long as it may take.
func TestHold(t *testing.T) {
	copied := Host{Known: true, Said: &move.State{Phase: move.Copy, Ready: true}}
	more := Host{Known: true, Said: &move.State{Phase: move.Copy}}
	for name, c := range map[string]struct {
		held   time.Duration // since when; negative: it is not
		why    string
		to     Host
		r      Requests
		step   store.MoveStep // "": it moves no more
		stays  bool           // held
		silent bool           // nothing changes
	}{
		"it serves":                  {-1, "", copied, Requests{Serves: true}, store.MoveCopy, true, false},
		"it does not serve":          {-1, "", copied, Requests{}, store.MoveLast, false, false},
		"the resolvers are silent":   {HoldWithin / 2, "", copied, Requests{Serves: true}, store.MoveCopy, true, true},
		"a resolver is away":         {HoldWithin, "", copied, Requests{Serves: true}, store.MoveLast, false, false},
		"all hold it":                {1, "", copied, Requests{Serves: true, Held: true}, store.MoveLast, false, false},
		"one is under way":           {HoldWithin, "", copied, Requests{Serves: true, Held: true, Busy: 2}, store.MoveCopy, true, true},
		"one takes long":             {EndWithin, "", copied, Requests{Serves: true, Held: true, Busy: 2}, store.MoveLast, false, false},
		"it does not serve any more": {1, "", copied, Requests{}, store.MoveLast, false, false},
		"more to copy for now":       {1, "", more, Requests{Serves: true}, store.MoveCopy, true, true},
		"there is more to copy":      {EndWithin, "", more, Requests{Serves: true}, store.MoveCopy, false, false},
		"given up":                   {1, "cancelled", copied, Requests{Serves: true, Held: true}, "", false, false},
		"a clock was set":            {-time.Hour, "", copied, Requests{Serves: true, Busy: 2}, store.MoveLast, false, false},
	} {
		n := on(store.MoveCopy, c.why)
		if c.held != -1 {
			n.Moving.Held = now.Add(-c.held)
		}
		got, why := Next(n, Host{Known: true, Said: &move.State{Phase: move.Copy}}, c.to, c.r, now)
		step, held := store.MoveStep(""), false
		if got.Moving != nil {
			step, held = got.Moving.Step, !got.Moving.Held.IsZero()
		}
		if step != c.step || held != c.stays || (why == "") != c.silent {
			t.Errorf("%s: step %q, held %t, why %q; want %q, %t", name, step, held, why, c.step, c.stays)
		}
	}
}

// While the other host may run it there is no way back: that host has said before, after it was told so, that it does not come any more.
func TestNoWayBack(t *testing.T) {
	for _, step := range []store.MoveStep{store.MoveCopy, store.MoveLast, store.MoveRecall, store.MoveBack, store.MoveClean} {
		for _, said := range []*move.State{nil, {Phase: move.Copy}, {Phase: move.Copy, Ready: true}, {Phase: move.Last},
			{Phase: move.Last, Error: "full"}, {Phase: move.Last, Arrived: true}, {Phase: move.Last, Arrived: true, Error: "x"}} {
			next, _ := Next(on(step, "x"), Host{Known: true}, Host{Known: true, Said: said}, Requests{}, now)
			n := on(step, "x")
			part, has := n.Part("h-2")
			mayRun := has && !part.Still(true)
			back := next.Host == "h-1" && (next.Moving == nil || next.Moving.Step == store.MoveBack)
			if step != store.MoveBack && mayRun && back {
				t.Errorf("%s, %+v: it goes back, and the other host may run it", step, said)
			}
			if said != nil && said.Arrived && (step == store.MoveLast || step == store.MoveRecall) && next.Host != "h-2" {
				t.Errorf("%s, %+v: it has arrived, and is on host %s", step, said, next.Host)
			}
		}
	}
}

// Whatever of two Works each of the hosts has, from before a step or after it, no two of them are told to run the node.
func TestNeverTwo(t *testing.T) {
	runs := func(n store.Node, host string) bool {
		p, has := n.Part("h-1")
		if host == "h-2" {
			p, has = n.Part("h-2")
		}
		return has && !p.Still(true)
	}
	arrived, stopped := on(store.MoveClean, ""), on(store.MoveLast, "")
	arrived.Host, arrived.Moving.Other = "h-2", "h-1"
	recalled := on(store.MoveRecall, "x")
	none := store.Node{CTID: 101, Host: "h-1"}
	for _, step := range [][2]store.Node{{none, on(store.MoveCopy, "")}, {on(store.MoveCopy, ""), none}, {on(store.MoveCopy, ""), stopped},
		{stopped, arrived}, {stopped, recalled}, {recalled, arrived}, {recalled, on(store.MoveBack, "")},
		{on(store.MoveBack, ""), none}} {
		for i := range 4 {
			a, b := step[i&1], step[i>>1]
			if step[0].Moving != nil && step[0].Moving.Step == store.MoveCopy && runs(b, "h-2") && runs(a, "h-1") {
				continue // the other host has not arrived before it could pull a last state, which the first one makes once it is stopped
			}
			if runs(a, "h-1") && runs(b, "h-2") {
				t.Errorf("%+v %+v: both run it", a.Moving, b.Moving)
			}
		}
	}
}

func TestStays(t *testing.T) {
	for want, n := range map[operator.Code]store.Node{
		operator.NotFound: {CTID: 101, Env: "hello", Gone: true},
		operator.Denied:   {CTID: 1, Env: env.System},
		operator.Conflict: on(store.MoveClean, ""),
	} {
		if p := Stays(n); p == nil || p.Code != want {
			t.Errorf("%+v: %v, want %s", n, p, want)
		}
	}
	if p := Stays(store.Node{CTID: 101, Env: "hello", Replaces: 100}); p == nil || p.Code != operator.Conflict {
		t.Errorf("one that takes another's place: %v", p)
	}
	if p := Stays(store.Node{CTID: 101, Env: "hello"}); p != nil {
		t.Error(p)
	}
}
