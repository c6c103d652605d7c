package garbage

import (
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

type store struct {
	low      bool
	kept     map[wire.Digest]bool
	restored int
}

func (s *store) Low() bool { return s.low }
func (s *store) Collect(used map[wire.Digest]bool) ([]wire.Digest, error) {
	s.kept = used
	return nil, nil
}

// TestUsed: nothing that any of the three need is garbage.
func TestUsed(t *testing.T) {
	of := func(d wire.Digest) host.Container { return host.Container{Image: host.Image{Digest: d}} }
	got := Used(&host.Work{Containers: []host.Container{of("a"), of("b"), of("a")}}, map[wire.CTID]host.Container{7: of("c")},
		[]wire.Digest{"d", "b"})
	if want := []wire.Digest{"a", "b", "c", "d"}; !slices.Equal(slices.Sorted(maps.Keys(got)), want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestCollect: once a minute, and only when the disk is nearly full.
func TestCollect(t *testing.T) {
	s := &store{}
	c := Collector{Images: s, Replenish: func() { s.restored++ }, Log: slog.New(slog.DiscardHandler)}
	now, used := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), map[wire.Digest]bool{"a": true}
	if !c.Due(now) || c.Due(now.Add(59*time.Second)) || !c.Due(now.Add(time.Minute)) {
		t.Error("due: want at once, not within a minute, and after a minute")
	}
	if c.Collect(used); s.kept != nil || s.restored != 1 {
		t.Errorf("there is room: collected %v, room held back %d times, want nothing and once", s.kept, s.restored)
	}
	s.low = true
	if c.Collect(used); !maps.Equal(s.kept, used) || s.restored != 2 {
		t.Errorf("nearly full: kept %v, room held back %d times, want %v and twice", s.kept, s.restored, used)
	}
}
