package container

import (
	"testing"
	"time"

	"hardnode.dev/internal/wire"
)

// What happened to a container makes it be looked at as a whole; nothing does not.
func TestSigns(t *testing.T) {
	start := time.Unix(1000, 0)
	was := signs{pid: 7, started: start, folder: start, cpu: 5000}
	for name, c := range map[string]struct {
		is   signs
		want bool
	}{
		"nothing":             {was, true},
		"a timer went off":    {signs{7, start, start, 5000 + idleMicros}, true},
		"it worked":           {signs{7, start, start, 5001 + idleMicros}, false},
		"its counter is less": {signs{7, start, start, 4999}, false},
		"another process":     {signs{8, start, start, 5000}, false},
		"started again":       {signs{7, start.Add(1), start, 5000}, false},
		"something on disk":   {signs{7, start, start.Add(1), 5000}, false},
		"not known":           {signs{}, false},
	} {
		if got := c.is.same(was); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if (signs{}).same(signs{}) {
		t.Error("what is not known twice is taken for quiet")
	}
}

// A container is taken for quiet once a whole look has found it quiet for a while, and for some minutes; not all are due at once.
func TestQuiet(t *testing.T) {
	const id = wire.CTID(128)
	r := &Runtime{}
	r.mu.seen = map[wire.CTID]seen{}
	now := time.Unix(1000, 0)
	is := signs{pid: 7, started: now, folder: now, cpu: 5000}
	running := Observed{CTID: id, State: StateRunning, PID: 7}
	holds := func(is signs, id wire.CTID) bool { return r.mu.seen[id].holds(id, is, now) }
	r.keep(id, is, running, nil, now, 0)
	if holds(is, id) {
		t.Error("the first look is taken for quiet")
	}
	now = now.Add(quietAfter)
	if holds(is, id) {
		t.Error("no look has found it quiet for long enough")
	}
	r.keep(id, is, running, nil, now, 0)
	if !holds(is, id) {
		t.Error("it is not taken for quiet")
	}
	if now = now.Add(quietFor - 1); !holds(is, id) {
		t.Error("it is looked at too soon")
	}
	if now = now.Add(1); holds(is, id) {
		t.Error("it is never looked at again")
	}
	slow := is
	slow.cpu += idleMicros
	r.keep(id, slow, running, nil, now, 0)
	if !holds(slow, id) {
		t.Error("a timer is taken for work")
	}
	if slow.cpu++; holds(slow, id) {
		t.Error("what many timers used is never taken for work")
	}
	r.keep(id, slow, running, nil, now, 0)
	if holds(slow, id) {
		t.Error("it has just worked")
	}
	r.mu.seen[id+63] = seen{signs: is, when: now, since: now.Add(-quietAfter)}
	if now = now.Add(quietFor); !holds(is, id+63) {
		t.Error("all are due at once")
	}
	for name, c := range map[string]struct {
		o       Observed
		changes uint64
	}{"changed meanwhile": {running, 1}, "not running": {Observed{CTID: id, State: StateExited}, 0},
		"not all of it was seen": {Observed{CTID: id, State: StateRunning, Trouble: "quota"}, 0}} {
		r.mu.seen[id] = seen{signs: is}
		r.keep(id, is, c.o, nil, now, c.changes)
		if _, kept := r.mu.seen[id]; kept {
			t.Errorf("%s: kept", name)
		}
	}
}
