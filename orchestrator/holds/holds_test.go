package holds

import (
	"testing"
	"time"

	"hardnode.dev/internal/wire/hold"
)

func TestBook(t *testing.T) {
	var b Book
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	want := func(what string, at time.Time, is State) {
		t.Helper()
		if got := b.Of(101, at); got != is {
			t.Errorf("%s: %+v, want %+v", what, got, is)
		}
	}
	want("no resolver", now, State{})
	b.Say(4, nil, now)
	want("one that holds nothing", now, State{There: true})
	over := b.Over()
	b.Say(4, []hold.Node{{CTID: 101, Busy: 2}, {CTID: 102}}, now)
	want("one that holds it", now, State{There: true, Held: true, Busy: 2})
	select {
	case <-over:
	default:
		t.Error("who waits was not told")
	}
	b.Say(9, nil, now)
	want("a second that does not yet", now, State{There: true, Busy: 2})
	b.Say(9, []hold.Node{{CTID: 101, Busy: 1}}, now.Add(time.Second))
	want("both", now.Add(time.Second), State{There: true, Held: true, Busy: 3})
	later := now.Add(Heard + time.Second)
	want("the first is not heard of any more", later, State{There: true, Held: true, Busy: 1})
	b.Say(9, []hold.Node{{CTID: 101}}, later)
	if len(b.mu.said) != 1 {
		t.Errorf("%d resolvers are remembered", len(b.mu.said))
	}
	b.Say(9, nil, later)
	want("it holds nothing any more", later, State{There: true})
}
