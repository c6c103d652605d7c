package waiting

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/waiting"
)

var (
	begin = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	here  = netip.MustParseAddr("192.0.2.1")
)

func mac(s string) waiting.Machine { return waiting.Machine{MACs: []string{s}} }

func says(t *testing.T, err error, code operator.Code, words string) {
	t.Helper()
	if p := operator.AsProblem(err); p == nil || p.Code != code || !strings.Contains(p.Reason, words) || p.Next == "" {
		t.Errorf("got %v, want %s with %q and a next step", err, code, words)
	}
}

// TestOneMachine: a machine waits while it asks, is gone when it does not, and is admitted once.
func TestOneMachine(t *testing.T) {
	var r Room
	ask := func(at time.Duration) error {
		return r.Ask(begin.Add(at), here, "A", nil, "0.1.0", mac("52:54:00:00:00:01"))
	}
	find := func(at time.Duration) error { _, err := r.Find(begin.Add(at), "A"); return err }
	says(t, find(0), operator.NotFound, "no machine waits")
	for _, at := range []time.Duration{0, 3 * time.Second, 6 * time.Second} {
		if err := ask(at); err != nil {
			t.Fatal(err)
		}
	}
	says(t, ask(6500*time.Millisecond), operator.Exhausted, "more often than once a second")
	if l := r.List(begin.Add(7 * time.Second)); len(l) != 1 || l[0].Since != begin || l[0].Asked != begin.Add(6*time.Second) {
		t.Errorf("the list is %+v", l)
	}
	if err := find(7 * time.Second); err != nil {
		t.Error(err)
	}
	says(t, find(time.Minute), operator.NotFound, "waits no more: it asked last 54s ago")
	if l := r.List(begin.Add(time.Minute)); len(l) != 0 {
		t.Errorf("a machine that is gone is listed: %+v", l)
	}
	if err := ask(2 * time.Minute); err != nil {
		t.Fatal(err)
	}
	if l := r.List(begin.Add(2 * time.Minute)); len(l) != 1 || l[0].Since != begin.Add(2*time.Minute) {
		t.Errorf("it came back: the list is %+v", l)
	}
	r.Admitted("A", "host-3")
	says(t, find(2*time.Minute), operator.Conflict, "admitted already, as host-3")
	if l := r.List(begin.Add(2 * time.Minute)); len(l) != 0 {
		t.Errorf("an admitted machine is listed: %+v", l)
	}
}

// TestTwoMachinesOneKey: neither of two machines with the same key is admitted while both ask.
func TestTwoMachinesOneKey(t *testing.T) {
	var r Room
	for i := range 4 {
		at := begin.Add(time.Duration(i) * 3 * time.Second)
		for _, m := range []string{"52:54:00:00:00:01", "52:54:00:00:00:02"} {
			if err := r.Ask(at, here, "A", nil, "", mac(m)); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, err := r.Find(begin.Add(10*time.Second), "A")
	says(t, err, operator.Conflict, "two machines wait with this code")
	for i := range 15 { // one of them is switched off
		at := begin.Add(12*time.Second + time.Duration(i)*3*time.Second)
		if err := r.Ask(at, here, "A", nil, "", mac("52:54:00:00:00:01")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Find(begin.Add(55*time.Second), "A"); err != nil {
		t.Errorf("one of them is left: %v", err)
	}
}

// TestStrangersAreMany: one address gets so many places, all of them together so many, and an address with one machine gets in beside those
// with many.
func TestStrangersAreMany(t *testing.T) {
	var r Room
	n := 0
	ask := func(from string) error {
		n++
		at, code := begin.Add(time.Duration(n)*time.Millisecond), fmt.Sprintf("C%04d", n)
		return r.Ask(at, netip.MustParseAddr(from), code, nil, "", waiting.Machine{})
	}
	for range MostOfOne {
		if err := ask("192.0.2.1"); err != nil {
			t.Fatal(err)
		}
	}
	says(t, ask("192.0.2.1"), operator.Exhausted, "32 machines of address 192.0.2.1 wait already")
	for i := range (Most - MostOfOne) / MostOfOne { // of one /64: they are one client
		for k := range MostOfOne {
			if err := ask(fmt.Sprintf("2001:db8:0:%d::%d", i, k)); err != nil {
				t.Fatal(err)
			}
		}
	}
	says(t, ask("2001:db8:0:1::ffff"), operator.Exhausted, "32 machines of address 2001:db8:0:1:: wait already")
	for i := range 200 { // each gets in, with the place of one of those
		if err := ask(fmt.Sprintf("198.51.100.%d", i)); err != nil {
			t.Fatalf("machine %d of an address of its own: %v", i, err)
		}
	}
	if l := r.List(begin.Add(time.Second)); len(l) != Most {
		t.Errorf("%d wait, want %d", len(l), Most)
	}
	refused := 0
	for i := range 1000 {
		if ask(fmt.Sprintf("203.0.%d.%d", i/250, i%250)) != nil {
			refused++
		}
	}
	if refused == 0 || len(r.byCode) > 2*Most {
		t.Errorf("%d of 1000 more were refused, %d are kept", refused, len(r.byCode))
	}
	if err := r.Ask(begin.Add(time.Hour), here, "LATER", nil, "", waiting.Machine{}); err != nil || len(r.byCode) != 1 {
		t.Errorf("an hour later: %v, %d are kept", err, len(r.byCode))
	}
}
