package hostapi

import (
	"fmt"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// However often something changes, a host is told once in each turn, and the hosts spread over it.
func TestTurns(t *testing.T) {
	for asking, want := range map[int64]time.Duration{0: 20 * time.Millisecond, 4: 30 * time.Millisecond, 2000: 5020 * time.Millisecond,
		100000: 10 * time.Second} {
		if got := turn(asking); got != want {
			t.Errorf("%d hosts: a turn of %s, want %s", asking, got, want)
		}
	}
	const turn, hosts = 5 * time.Second, 2000
	began := time.Unix(1800000000, 123456789)
	tenths := [10]int{}
	for i := range hosts {
		at := place(wire.HostID(fmt.Sprintf("h-%016x", i)))
		if at < 0 || at >= 1 {
			t.Fatalf("place %v", at)
		}
		first := next(began, turn, at)
		if wait := first.Sub(began); wait <= 0 || wait > turn {
			t.Fatalf("host %d waits %s", i, wait)
		}
		tenths[int(10*first.Sub(began)/(turn+1))]++
		// What changes before its time is told then; what changes at it or after is told a turn later, at the same place.
		if again := next(first.Add(-time.Millisecond), turn, at); again.Sub(first).Abs() > time.Microsecond {
			t.Errorf("host %d: a moment before its time %s, it is told at %s", i, first, again)
		}
		if again := next(first.Add(time.Millisecond), turn, at); again.Sub(first.Add(turn)).Abs() > time.Microsecond {
			t.Errorf("host %d: a moment after its time %s, it is told at %s", i, first, again)
		}
	}
	for i, n := range tenths {
		if n < hosts/10/2 || n > hosts/10*2 {
			t.Errorf("%d of %d hosts are told in tenth %d of a turn", n, hosts, i+1)
		}
	}
}

func TestConcerned(t *testing.T) {
	p := poll{of: &host.Work{Containers: []host.Container{{CTID: 100, Env: "hello"}}}}
	zones := func(from host.Sum, names ...wire.EnvName) *host.NamesChange {
		n := host.AccountNames{Account: "admin", From: from, To: 9}
		for _, e := range names {
			n.Zones = append(n.Zones, host.Zone{Env: e})
		}
		return &host.NamesChange{Accounts: []host.AccountNames{n}}
	}
	gone := &host.NamesChange{Accounts: []host.AccountNames{{Account: "admin", From: 5, To: 9, Gone: []wire.EnvName{"hello"}}}}
	for _, c := range []struct {
		what string
		n    *host.NamesChange
		want bool
	}{
		{"nothing", nil, false},
		{"another environment", zones(5, "other"), false},
		{"its own", zones(5, "other", "hello"), true},
		{"its own is gone", gone, true},
		{"all of the account, changed or not", zones(0, "hello"), false},
	} {
		if got := p.concerned(c.n); got != c.want {
			t.Errorf("%s: told at once %v, want %v", c.what, got, c.want)
		}
		if none := (poll{}); none.concerned(c.n) {
			t.Errorf("%s: a host without Work is told at once", c.what)
		}
	}
}
