package plan

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire/host"
)

func TestCarry(t *testing.T) {
	old := &host.Work{Revision: 1, Containers: []host.Container{want(1, 1, jelastic), want(2, 1, jelastic), want(101, 1)}}
	next := &host.Work{Revision: 2, Containers: []host.Container{want(2, 3, jelastic), want(102, 1)}}
	got := Carry(old, next)
	var ids []string
	for _, c := range got.Containers {
		ids = append(ids, fmt.Sprintf("%d/%d", c.CTID, c.Generation))
	}
	if s := strings.Join(ids, " "); s != "2/3 102/1 1/1" || got.Revision != 2 {
		t.Errorf("got %s at revision %d, want 2/3 102/1 1/1 at 2", s, got.Revision)
	}
	if len(next.Containers) != 2 {
		t.Error("the new work was changed in place")
	}
	gone := &host.Work{Revision: 3, Containers: []host.Container{want(1, 1, jelastic, removed), want(2, 3, jelastic)}}
	if got := Carry(Carry(old, gone), &host.Work{Revision: 4}); len(got.Containers) != 1 || got.Containers[0].CTID != 2 {
		t.Errorf("after remove: got %+v, want container 2 only", got.Containers)
	}
}

// TestCarrySeed: the orchestrator keeps the seed that came with the bundle, whatever work comes after it, of a new generation too; a seed
// that comes with the work is taken, and nobody else gets it.
func TestCarrySeed(t *testing.T) {
	files := func(paths ...string) func(*host.Container) {
		return func(c *host.Container) {
			for _, p := range paths {
				path, data, _ := strings.Cut(p, "=")
				c.Files = append(c.Files, host.File{Path: path, Mode: 0o400, Data: []byte(data)})
			}
		}
	}
	const seed = "/run/hardnode/seed.json"
	old := &host.Work{Revision: 1, Containers: []host.Container{want(3, 1, jelastic, files("/run/hardnode/a=1", seed+"=s")),
		want(4, 1, jelastic)}}
	for generation := range int64(3) {
		next := &host.Work{Revision: 2, Containers: []host.Container{want(4, 1, jelastic),
			want(3, generation+1, jelastic, files("/run/hardnode/b"))}}
		got := Carry(old, next).Containers
		if len(got[0].Files) != 0 || len(got[1].Files) != 2 || got[1].Files[1].Path != seed ||
			string(got[1].Files[1].Data.Reveal()) != "s" {
			t.Errorf("generation %d: %+v", generation+1, got)
		}
		if len(next.Containers[1].Files) != 1 {
			t.Error("the new work was changed in place")
		}
	}
	next := &host.Work{Revision: 2, Containers: []host.Container{want(3, 2, jelastic, files(seed+"=new"))}}
	if got := Carry(old, next).Containers[0]; len(got.Files) != 1 || string(got.Files[0].Data.Reveal()) != "new" {
		t.Errorf("a seed that came: %+v", got.Files)
	}
}

func TestEffective(t *testing.T) {
	due := func(at time.Time) func(*host.Container) { return func(c *host.Container) { c.ConfirmBy = at } }
	confirmed := Confirmed(nil, &host.Work{Containers: []host.Container{want(3, 1, jelastic), want(101, 1)}})
	if len(confirmed) != 1 {
		t.Fatalf("confirmed: got %d, want the component only", len(confirmed))
	}
	tests := []struct {
		name string
		c    host.Container
		gen  int64
		wake bool
	}{
		{"confirmed", want(3, 2, jelastic), 2, false},
		{"in time", want(3, 2, jelastic, due(now.Add(time.Minute))), 2, true},
		{"late: the last version is back", want(3, 2, jelastic, due(now)), 1, false},
		{"late, nothing to go back to", want(4, 2, jelastic, due(now)), 2, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := &host.Work{Containers: []host.Container{tt.c}}
			eff, reverted, wake := Effective(w, Confirmed(confirmed, w), now)
			if g := eff.Containers[0].Generation; tt.name != "confirmed" && g != tt.gen {
				t.Errorf("generation: got %d, want %d", g, tt.gen)
			}
			if wake.IsZero() == tt.wake {
				t.Errorf("wake: got %v", wake)
			}
			if (len(reverted) > 0) != (eff.Containers[0].Generation != tt.c.Generation) {
				t.Errorf("reverted: got %v", reverted)
			}
		})
	}
}
