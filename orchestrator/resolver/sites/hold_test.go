package sites

import (
	"testing"
	"time"
)

// A hold ends when the routes say so, or by itself; what is held comes behind what is up, and before what is down.
func TestHold(t *testing.T) {
	var b Book
	r := routes(1, "a.test", "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")
	r.Sites[0].Backends[0].Held = true
	s := b.Replace(r).Lookup("a.test")
	held := s.Backends[0]
	over, left, is := held.Held(time.Now())
	if !is || left <= 0 || left > HoldFor {
		t.Fatalf("held %v, %v left", is, left)
	}
	for range 10 {
		if s.Next(nil) == held {
			t.Fatal("one that is held had a turn before those that are up")
		}
	}
	s.Backends[1].SetUp(false)
	s.Backends[2].SetUp(false)
	for range 10 {
		if s.Next(nil) != held {
			t.Fatal("one that is down had a turn before the one that is held")
		}
	}
	r.Revision = 2
	b.Replace(r)
	if _, again, _ := held.Held(time.Now()); again > left {
		t.Error("other routes made it longer")
	}
	if _, _, is := held.Held(time.Now().Add(HoldFor)); is {
		t.Error("it has no end of its own")
	}
	r.Sites[0].Backends[0].Held = false
	b.Replace(r)
	select {
	case <-over:
	default:
		t.Error("who waits was not told that it is over")
	}
	if _, _, is := held.Held(time.Now()); is {
		t.Error("it goes on")
	}
	r.Sites[0].Backends[0].Held = true
	b.Replace(r)
	over, _, _ = held.Held(time.Now())
	r.Sites[0].Backends = r.Sites[0].Backends[1:]
	b.Replace(r)
	select {
	case <-over:
	default:
		t.Error("who waits for one that is gone was not told")
	}
}
