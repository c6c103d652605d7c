package pxe

import (
	"testing"
	"time"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// TestServed: a host that boots from the network is led to the release that it was ordered, to try it, and back to the one before when that
// failed; netboot has the files of both. Without an order it is led to what it came up with last.
func TestServed(t *testing.T) {
	s := store.NewMemory()
	const card = "52:54:00:12:34:57"
	ordered := store.System{System: host.System{Version: 1, Release: "1.5.0", Step: host.Switch, Order: "o1", WithinSec: 300}, Was: "1.4.0"}
	all := operator.Releases{Releases: []operator.Release{made("1.3.0", "metal"), made("1.4.0", "metal"), made("1.5.0", "metal"),
		made("1.6.0", "metal")}}
	for _, c := range []struct {
		name   string
		rec    store.System
		ended  host.SystemState
		serves string
		within time.Duration
	}{
		{"it is tried", ordered, "", "1.5.0", 5 * time.Minute},
		{"it is good", ordered, host.SystemDone, "1.5.0", 0},
		{"it failed", ordered, host.SystemFailed, "1.4.0", 0},
		{"nothing was ordered", store.System{Good: "1.3.0"}, "", "1.3.0", 0},
		{"nothing was ordered, and its release is not here any more", store.System{Good: "1.2.0"}, "", "1.6.0", 0},
		{"it never came up with one of its own", store.System{}, "", "1.6.0", 0},
	} {
		rec := c.rec
		rec.Ended = c.ended
		if _, err := s.Update(t.Context(), func(tx *store.Tx) error {
			store.Hosts.Put(tx, "h-2", store.Host{ID: "h-2", Name: "host-2", Hardware: host.Hardware{MACs: []string{card}}})
			store.Systems.Put(tx, "h-2", rec)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		newest, why := choose(all, "", "metal")
		doc := host.Netboot{Version: 1, All: true, Release: newest.Release, Reason: why, Releases: []host.NetbootRelease{newest}}
		here := func(release string) bool { _, why := choose(all, release, "metal"); return why == "" }
		add(&doc, enrolled(s.View(), here), all, "metal")
		if r, within, why := doc.Boots(card); r.Release != c.serves || within != c.within || why != "" {
			t.Errorf("%s: %s within %s, %q", c.name, r.Release, within, why)
		}
	}
}
