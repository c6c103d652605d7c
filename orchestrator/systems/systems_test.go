package systems

import (
	"errors"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/slots"
	"hardnode.dev/orchestrator/store"
)

func imported(versions ...string) (out []operator.Release) {
	for _, v := range versions {
		v, floors, _ := strings.Cut(v, ">")
		r := operator.Release{Version: v, Files: []operator.ReleaseFile{{Path: v + "/vm-host.efi", Bytes: 9, Arch: "amd64",
			Digest: wire.Digest("sha256:" + strings.Repeat("a", 64))}}}
		if floors != "" {
			r.Floors = strings.Split(floors, ",")
		}
		out = append(out, r)
	}
	return out
}

func TestCheck(t *testing.T) {
	runs := &host.SystemStatus{Release: "1.1.0", Slot: slots.A, State: host.SystemIdle}
	for _, c := range []struct {
		name     string
		release  string
		status   *host.SystemStatus
		imported []operator.Release
		want     string // in the problem; "": none
	}{
		{"the newest", "1.2.0", runs, imported("1.2.0"), ""},
		{"not the newest", "1.2.0", runs, imported("1.2.0", "1.3.0"), ""},
		{"what runs", "1.1.0", runs, imported("1.1.0", "1.2.0"), ""},
		{"by a stop-over", "2.0.0", runs, imported("1.5.0", "2.0.0>1.5.0"), ""},
		{"nothing heard", "1.2.0", nil, imported("1.2.0"), "has not said"},
		{"not installed", "1.2.0", &host.SystemStatus{Release: "1.1.0"}, imported("1.2.0"), "not installed"},
		{"nothing imported", "1.2.0", runs, nil, "no release was imported"},
		{"not imported", "1.4.0", runs, imported("1.2.0", "1.5.0"), "1.4.0"},
		{"older", "1.0.0", runs, imported("1.0.0", "1.2.0"), "older than 1.1.0"},
		{"stop-over missing", "2.0.0", runs, imported("2.0.0>1.5.0"), "without a stop at 1.5.0"},
	} {
		p := Check(operator.OrderSystem{Release: c.release, Step: "switch"}, "hosts/host-1/system", c.status, c.imported)
		switch {
		case c.want == "" && p != nil:
			t.Errorf("%s: %v", c.name, p)
		case c.want != "" && (p == nil || !strings.Contains(p.Error(), c.want) || p.Next == ""):
			t.Errorf("%s: got %v, want a problem with %q and a next step", c.name, p, c.want)
		}
	}
	other := imported("1.2.0")
	other[0].Files[0].Arch = "arm64"
	if p := Check(operator.OrderSystem{Release: "1.2.0"}, "o", runs, other); p == nil || !strings.Contains(p.Error(), "arm64") {
		t.Errorf("a release for another machine: %v", p)
	}
}

// One order is one order, whoever repeats it; another one, or none, has a later revision.
func TestOrder(t *testing.T) {
	m := store.NewMemory()
	now := time.Unix(1800000000, 0)
	d := &Desk{Store: m, Now: func() time.Time { return now },
		Releases: func() operator.Releases { return operator.Releases{Releases: imported("1.2.0")} }}
	runs := &host.SystemStatus{Release: "1.1.0", Slot: slots.A}
	order := func(o operator.OrderSystem) error {
		return d.Order(t.Context(), "h-1", "host-1", "boot-1", runs, o, "admin")
	}
	stage := operator.OrderSystem{Release: "1.2.0", Step: "stage", Reason: "spring"}
	var p *operator.Problem
	if err := order(stage); !errors.As(err, &p) || p.Code != operator.NotFound {
		t.Fatalf("a host that is not there: %v", err)
	}
	if _, err := m.Update(t.Context(), func(tx *store.Tx) error {
		store.Hosts.Put(tx, "h-1", store.Host{ID: "h-1", Name: "host-1"})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	rec := func() store.System { return *store.Systems.Find(m.View(), "h-1") }
	for _, bad := range []operator.OrderSystem{{Release: "1.2.0", Step: "stage", WithinSec: 5}, {Release: "1.2.0", Reason: "two\nlines"}} {
		if err := order(bad); !errors.As(err, &p) || p.Code != operator.Invalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if err := order(stage); err != nil {
		t.Fatal(err)
	}
	first := rec()
	if first.Release != "1.2.0" || first.Order == "" || first.Order == "new" || first.By != "admin" || first.Reason != "spring" ||
		int64(first.Revision) != now.UnixMilli() || first.Validate() != nil {
		t.Errorf("recorded as %+v", first)
	}
	now = now.Add(time.Hour)
	if err := order(stage); err != nil || rec() != first {
		t.Errorf("the same again: %v, %+v", err, rec())
	}
	now = now.Add(-2 * time.Hour) // a clock that goes back
	if err := order(operator.OrderSystem{Release: "1.2.0", Step: "switch"}); err != nil || rec().Revision <= first.Revision ||
		rec().Order == first.Order {
		t.Errorf("another step: %v, %+v", err, rec())
	}
	second := rec()
	for range 2 {
		if err := d.TakeBack(t.Context(), "h-1"); err != nil || rec().Release != "" || rec().Revision != second.Revision+1 {
			t.Errorf("taken back: %v, %+v", err, rec())
		}
	}
	if err := order(stage); err != nil || rec().Order == first.Order {
		t.Errorf("given again: %v, %+v", err, rec())
	}
}
