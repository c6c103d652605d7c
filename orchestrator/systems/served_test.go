package systems

import (
	"context"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/slots"
	"hardnode.dev/orchestrator/store"
)

// TestServedFollow: what netboot serves a host of an order: the wanted release while it is tried and when it is good, the one before when
// it did not come up.
func TestServedFollow(t *testing.T) {
	begun := time.Unix(1800000000, 0)
	was := store.System{System: host.System{Version: 1, Release: "1.2.0", Step: host.Switch, Order: "o1", Boot: "b1"}, At: begun,
		Was: "1.1.0"}
	installed := was
	installed.Was = ""
	long := was
	long.WithinSec = 3600
	for _, c := range []struct {
		name    string
		s       store.System
		status  *host.SystemStatus
		after   time.Duration
		ended   host.SystemState
		serves  string
		tried   bool
		why     string
		another bool
	}{
		{"it came up with another image", was, &host.SystemStatus{Release: "1.2.0", Root: "sha256:1"}, time.Minute,
			host.SystemFailed, "1.1.0", false, "another image than the one of release 1.2.0", true},
		{"ordered", was, nil, time.Minute, "", "1.2.0", true, "", false},
		{"it runs the old one still", was, &host.SystemStatus{Release: "1.1.0", Order: "o1", State: host.SystemSwitching}, time.Minute, "",
			"1.2.0", true, "", false},
		{"it came up", was, &host.SystemStatus{Release: "1.2.0"}, time.Minute, host.SystemDone, "1.2.0", false, "", false},
		{"it came up late", was, &host.SystemStatus{Release: "1.2.0"}, time.Hour, host.SystemDone, "1.2.0", false, "", false},
		{"it came up with the old one", was, &host.SystemStatus{Release: "1.1.0", Order: "o1", State: host.SystemFailed, Reason: "x"},
			time.Minute, host.SystemFailed, "1.1.0", false, "x", false},
		{"what it said of another order", was, &host.SystemStatus{Release: "1.1.0", Order: "o0", State: host.SystemFailed, Reason: "x"},
			time.Minute, "", "1.2.0", true, "", false},
		{"it was not heard of", was, nil, time.Hour, host.SystemFailed, "1.1.0", false, "did not report within 10m0s", false},
		{"it has longer", long, nil, time.Hour, "", "1.2.0", true, "", false},
		{"an installed host", installed, &host.SystemStatus{Release: "1.1.0", Slot: slots.A}, time.Hour, "", "1.2.0", false, "", false},
	} {
		another := func() bool { return c.another }
		got := follow(c.s, c.status, another, begun.Add(c.after))
		serves, tried := Served(got)
		if got.Ended != c.ended || serves != c.serves || tried != c.tried || !strings.Contains(got.Failed, c.why) {
			t.Errorf("%s: %+v, serves %s, %v", c.name, got, serves, tried)
		}
		if again := follow(got, &host.SystemStatus{Release: "1.0.0"}, another, begun.Add(100*time.Hour)); c.ended != "" && again != got {
			t.Errorf("%s: what ended goes on: %+v", c.name, again)
		}
		shown := Shown(got, c.status)
		switch {
		case c.ended == host.SystemFailed && (shown == nil || shown.State != host.SystemFailed || shown.Target != "1.2.0" ||
			shown.Reason != got.Failed):
			t.Errorf("%s: shown as %+v", c.name, shown)
		case c.ended != host.SystemFailed && shown != c.status:
			t.Errorf("%s: shown as %+v", c.name, shown)
		}
	}
}

// TestOrderFromNetwork: a host that boots from the network is ordered a release that netboot serves, as the one that it could go back to;
// what became of it is kept.
func TestOrderFromNetwork(t *testing.T) {
	m, why := store.NewMemory(), map[string]string{"1.1.0": "release 1.1.0 was not imported"}
	d := &Desk{Store: m, Now: time.Now, Serves: func(release string) string { return why[release] },
		Carries:  func(string, wire.Digest) (bool, bool) { return false, false },
		Releases: func() operator.Releases { return operator.Releases{Releases: imported("1.2.0")} }}
	if _, err := m.Update(t.Context(), func(tx *store.Tx) error {
		store.Hosts.Put(tx, "h-1", store.Host{ID: "h-1", Name: "host-1"})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	order := func(step string) error {
		return d.Order(t.Context(), "h-1", "host-1", "boot-1", &host.SystemStatus{Release: "1.1.0", Net: true},
			operator.OrderSystem{Release: "1.2.0", Step: step}, "admin")
	}
	if err := order("stage"); err == nil || !strings.Contains(err.Error(), "nothing is written to it beforehand") {
		t.Errorf("staged: %v", err)
	}
	if err := order("switch"); err == nil || !strings.Contains(err.Error(), "boots from the network: release 1.1.0 was not imported") {
		t.Errorf("with nothing to go back to: %v", err)
	}
	delete(why, "1.1.0")
	if err := order("switch"); err != nil {
		t.Fatal(err)
	}
	rec := func() store.System { return *store.Systems.Find(m.View(), "h-1") }
	if r := rec(); r.Boot != "boot-1" || r.Was != "1.1.0" || r.Ended != "" {
		t.Errorf("recorded as %+v", r)
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- d.Follow(ctx, m.View, func() func(wire.HostID) *host.SystemStatus {
			return func(wire.HostID) *host.SystemStatus { return &host.SystemStatus{Release: "1.2.0", Net: true} }
		})
	}()
	for (rec().Ended != host.SystemDone || rec().Good == "") && ctx.Err() == nil {
		time.Sleep(20 * time.Millisecond)
	}
	stop()
	if err := <-ended; err != nil || rec().Ended != host.SystemDone || rec().Good != "1.2.0" {
		t.Errorf("at the end %+v, %v", rec(), err)
	}
	if err := d.TakeBack(t.Context(), "h-1"); err != nil || rec().Release != "" || rec().Good != "1.2.0" {
		t.Errorf("taken back: %+v, %v", rec(), err)
	}
}

// TestGood: what a host that boots from the network came up with is kept, while nothing else is under way.
func TestGood(t *testing.T) {
	order := host.System{Version: 1, Release: "1.2.0", Step: host.Switch, Order: "o1"}
	for _, c := range []struct {
		name    string
		s       store.System
		status  *host.SystemStatus
		another bool
		good    string
	}{
		{"it came up the first time", store.System{}, &host.SystemStatus{Release: "1.1.0", Net: true}, false, "1.1.0"},
		{"it says nothing", store.System{Good: "1.1.0"}, nil, false, "1.1.0"},
		{"from a medium", store.System{}, &host.SystemStatus{Release: "1.1.0"}, false, ""},
		{"with another image", store.System{Good: "1.0.0"}, &host.SystemStatus{Release: "1.1.0", Net: true}, true, "1.0.0"},
		{"another release is tried", store.System{System: order, Was: "1.1.0", Good: "1.1.0"},
			&host.SystemStatus{Release: "1.1.0", Net: true}, false, "1.1.0"},
		{"it is good", store.System{System: order, Was: "1.1.0", Good: "1.1.0"}, &host.SystemStatus{Release: "1.2.0", Net: true}, false,
			"1.2.0"},
		{"it was installed", store.System{Good: "1.1.0"}, &host.SystemStatus{Release: "1.1.0", Slot: slots.A}, false, ""},
	} {
		got := follow(c.s, c.status, func() bool { return c.another }, time.Unix(1800000000, 0))
		if got.Good != c.good || got.Good != c.s.Good && got.Good != "" && got.Version != host.SystemVersion {
			t.Errorf("%s: %+v, want %q", c.name, got, c.good)
		}
	}
}

func TestImage(t *testing.T) {
	const one, two = wire.Digest("sha256:1"), wire.Digest("sha256:2")
	d := &Desk{Carries: func(version string, root wire.Digest) (it, said bool) { return root == one, version == "1.2.0" }}
	for _, c := range []struct {
		status  *host.SystemStatus
		want    string
		another bool
	}{
		{nil, "", false},
		{&host.SystemStatus{Release: "1.2.0", Slot: slots.A}, "", false},
		{&host.SystemStatus{Release: "1.2.0", Root: one}, "that of release 1.2.0", false},
		{&host.SystemStatus{Release: "1.2.0", Root: two}, "ANOTHER than that of release 1.2.0", true},
		{&host.SystemStatus{Release: "1.3.0", Root: two}, "of no release", false},
	} {
		if got := d.Image(c.status); !strings.HasPrefix(got, c.want) || (c.want == "") != (got == "") || d.another(c.status) != c.another {
			t.Errorf("%+v: %q, %v", c.status, got, d.another(c.status))
		}
	}
}
