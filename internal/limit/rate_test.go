package limit

import (
	"fmt"
	"testing"
	"time"
)

func TestRates(t *testing.T) {
	now := time.Unix(1e9, 0)
	r := &Rates{Now: func() time.Time { return now }}
	one := Ask{Key: "token one", Of: "a", Rate: Rate{2, 3}}
	two := Ask{Key: "token two", Of: "a", Rate: Rate{2, 3}}
	all := Ask{Key: "account a", Rate: Rate{1, 4}}
	for left := 2; left >= 0; left-- {
		if room, ok := r.Take(one, all); !ok || room.Left != left {
			t.Fatalf("got %+v %v, want %d left", room, ok, left)
		}
	}
	if room, ok := r.Take(one, all); ok || room.Ask != 0 || room.Wait != time.Second/2 {
		t.Errorf("over the token's burst: %+v %v", room, ok)
	}
	// The refused one took nothing of the account's: one is left there, for the other token.
	if room, ok := r.Take(two, all); !ok || room.Ask != 1 || room.Left != 0 {
		t.Errorf("the account's last: %+v %v", room, ok)
	}
	if room, ok := r.Take(two, all); ok || room.Ask != 1 || room.Wait != time.Second {
		t.Errorf("over the account's: %+v %v", room, ok)
	}
	if _, ok := r.Take(Ask{Key: "token b", Of: "b", Rate: Rate{2, 3}}, Ask{Key: "account b", Rate: Rate{1, 4}}); !ok {
		t.Error("another account is refused with it")
	}
	now = now.Add(-time.Hour)
	if _, ok := r.Take(two, all); ok {
		t.Error("a clock that goes back gives room")
	}
	now = now.Add(time.Second)
	if _, ok := r.Take(two, all); !ok {
		t.Error("no room after a second")
	}
}

func TestRatesAreBounded(t *testing.T) {
	now := time.Unix(1e9, 0)
	r := &Rates{Now: func() time.Time { return now }}
	for i := range ratesMax + 10 {
		r.Take(Ask{Key: fmt.Sprint("token ", i), Rate: Rate{1, 2}})
	}
	if len(r.by) > ratesMax+1 {
		t.Errorf("%d buckets are kept", len(r.by))
	}
	now = now.Add(time.Minute)
	if _, ok := r.Take(Ask{Key: "new", Rate: Rate{1, 2}}); !ok || len(r.by) != 1 {
		t.Errorf("after a minute %d are kept", len(r.by))
	}
}

// TestRatesOfOneOwner: who makes more keys than anybody needs shares one bucket for them, and keeps nobody else from having one.
func TestRatesOfOneOwner(t *testing.T) {
	now := time.Unix(1e9, 0)
	r := &Rates{Now: func() time.Time { return now }}
	rate := Rate{1, 3}
	let := 0
	for i := range 10 * ratesOf {
		if _, ok := r.Take(Ask{Key: fmt.Sprint("token ", i), Of: "eve", Rate: rate}); ok {
			let++
		}
	}
	if want := ratesOf + rate.Burst; let != want || len(r.by) != ratesOf+1 || r.of["eve"] != ratesOf {
		t.Errorf("%d are let in, want %d; %d buckets, %d of them the owner's own", let, want, len(r.by), r.of["eve"])
	}
	for i := range ratesOf {
		if _, ok := r.Take(Ask{Key: fmt.Sprint("other ", i), Of: "bob", Rate: rate}); !ok {
			t.Fatalf("token %d of another is refused", i)
		}
	}
	now = now.Add(time.Minute)
	if _, ok := r.Take(Ask{Key: "new", Of: "eve", Rate: rate}); !ok || len(r.by) > ratesOf+2 {
		t.Errorf("after a minute %d are kept", len(r.by))
	}
	now = now.Add(time.Minute)
	r.sweep(now)
	if len(r.by) != 0 || len(r.of) != 0 {
		t.Errorf("of full buckets %d are kept, of %d owners", len(r.by), len(r.of))
	}
}

// TestRatesWhenFull: who comes first has a bucket when all are taken, others share one, and are told so.
func TestRatesWhenFull(t *testing.T) {
	now := time.Unix(1e9, 0)
	r := &Rates{Now: func() time.Time { return now }}
	rate := Rate{1, 2}
	for i := range ratesMax {
		r.Take(Ask{Key: fmt.Sprint("token ", i), Rate: rate})
	}
	for i := range 3 {
		if room, ok := r.Take(Ask{Key: fmt.Sprint("more ", i), Rate: rate}); ok != (i < 2) || !room.Shared {
			t.Errorf("one more of others: %+v %v", room, ok)
		}
		first := Ask{Key: fmt.Sprint("admin ", i), Of: "admin", Rate: rate, First: true}
		if room, ok := r.Take(first); !ok || room.Shared || room.Left != 1 {
			t.Errorf("one of who comes first: %+v %v", room, ok)
		}
	}
	for i := range 2 * ratesFirst {
		r.Take(Ask{Key: fmt.Sprint("first ", i), Rate: rate, First: true})
	}
	if most := ratesMax + ratesFirst + 1; len(r.by) > most {
		t.Errorf("%d buckets are kept, want %d at most", len(r.by), most)
	}
}

// TestRatesSweptMeanwhile: a request that finds no bucket for its second ask has the full ones dropped, and still takes one from its
// first.
func TestRatesSweptMeanwhile(t *testing.T) {
	now := time.Unix(1e9, 0)
	r := &Rates{Now: func() time.Time { return now }}
	rate := Rate{1, 2}
	own, all := Ask{Key: "token", Of: "account", Rate: rate}, Ask{Key: "account", Rate: rate}
	r.Take(own)
	for i := range ratesMax - 1 {
		r.Take(Ask{Key: fmt.Sprint("other ", i), Rate: rate})
	}
	now = now.Add(time.Minute) // all are full again
	for left := 1; left >= 0; left-- {
		if room, ok := r.Take(own, all); !ok || room.Left != left {
			t.Errorf("got %+v %v, want %d left", room, ok, left)
		}
	}
	if room, ok := r.Take(own, all); ok || room.Ask != 0 && room.Ask != 1 {
		t.Errorf("over its burst: %+v", room)
	}
	if room, ok := r.Take(own); ok {
		t.Errorf("the first of the asks was not counted: %+v", room)
	}
}
