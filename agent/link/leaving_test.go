package link

import (
	"testing"
	"time"

	"hardnode.dev/internal/wire/upkeep"
)

// Who asks is told of an answer to a report that was made since.
func TestTold(t *testing.T) {
	o := newOrchestrator(t)
	l, _, _ := start(t, t.TempDir(), o.join())
	eventually(t, "linked", func() bool { return l.Status().Linked })
	n := o.count()
	first, second := l.Told(), l.Told()
	for _, told := range []<-chan struct{}{first, second} {
		select {
		case <-told:
		case <-time.After(time.Minute):
			t.Fatal("nobody is told")
		}
	}
	if o.count() <= n {
		t.Error("told of a report that was made before")
	}
}

// Who asks while a report is made is not told of that one.
func TestToldLate(t *testing.T) {
	l := &Link{}
	early, waiting := l.Told(), l.waiting()
	late := l.Told()
	l.answered(waiting)
	select {
	case <-early:
	default:
		t.Error("who asked before the report was made is not told")
	}
	select {
	case <-late:
		t.Error("who asked while it was made is told")
	default:
	}
	l.answered(l.waiting())
	<-late
}

// The reports say that the machine is being left, and it is known when the orchestrator has answered one that does.
func TestLeaving(t *testing.T) {
	o := newOrchestrator(t)
	l, _, _ := start(t, t.TempDir(), o.join())
	eventually(t, "linked", func() bool { return l.Status().Linked })
	order := upkeep.Leave{By: "admin", Reason: "release 1.1.0"}
	told := l.Leaving(order)
	select {
	case <-told:
	case <-time.After(time.Minute):
		t.Fatal("the orchestrator is not told")
	}
	n := o.count()
	eventually(t, "another report", func() bool { return o.count() > n })
	o.mu.Lock()
	defer o.mu.Unlock()
	if first, last := o.reports[0].Leaving, o.reports[len(o.reports)-1].Leaving; first != nil || last == nil || *last != order {
		t.Errorf("the first report says %+v, the last %+v", first, last)
	}
}
