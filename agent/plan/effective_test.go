package plan

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
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
	soon := due(now.Add(time.Minute))
	confirmed := Confirmed(nil, &host.Work{Containers: []host.Container{want(3, 1, jelastic), want(101, 1)}})
	if len(confirmed) != 1 {
		t.Fatalf("confirmed: got %d, want the component only", len(confirmed))
	}
	tests := []struct {
		name    string
		c       host.Container
		history History
		back    int64 // the generation that was gone back from before
		gen     int64
		why     string // "": it is not gone back
		wake    bool
	}{
		{"confirmed", want(3, 2, jelastic), History{}, 0, 2, "", false},
		{"confirmed after it was gone back from", want(3, 2, jelastic), History{}, 2, 2, "", false},
		{"in time", want(3, 2, jelastic, soon), History{}, 0, 2, "", true},
		{"late: the last version is back", want(3, 2, jelastic, due(now)), History{}, 0, 1,
			"was not confirmed by 2026-11-22T12:00:00Z", false},
		{"late, nothing to go back to", want(4, 2, jelastic, due(now)), History{}, 0, 2, "", false},
		{"it ends again and again", want(3, 2, jelastic, soon), History{Generation: 2, Short: 4}, 0, 1, "ended 4 times in a row", false},
		{"it ended sometimes", want(3, 2, jelastic, soon), History{Generation: 2, Short: 3}, 0, 2, "", true},
		{"the one before did", want(3, 2, jelastic, soon), History{Generation: 1, Short: 9, StartErr: "x"}, 0, 2, "", true},
		{"it does not start", want(3, 2, jelastic, soon), History{Generation: 2, Short: 4, StartErr: "no room"}, 0, 1,
			"did not start 4 times in a row: no room", false},
		{"it never will", want(3, 2, jelastic, soon), History{Generation: 2, StartErr: "no such user", Permanent: true}, 0, 1,
			"can't be started: no such user", false},
		{"gone back from, and the clock was set back", want(3, 2, jelastic, soon), History{}, 2, 1, "before", false},
		{"another was gone back from", want(3, 2, jelastic, soon), History{}, 7, 2, "", true},
		{"it shall go", want(3, 2, jelastic, due(now), removed), History{}, 0, 2, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := &host.Work{Containers: []host.Container{tt.c}}
			trial := Trial{Confirmed: Confirmed(confirmed, w), History: map[wire.CTID]History{tt.c.CTID: tt.history},
				Back: Back(map[wire.CTID]host.WentBack{tt.c.CTID: {Generation: tt.back, Reason: "before"}}, w),
				Here: func(wire.CTID) bool { return false }}
			eff, back, wake := Effective(w, trial, now)
			if g := eff.Containers[0].Generation; g != tt.gen {
				t.Errorf("generation: got %d, want %d", g, tt.gen)
			}
			if wake.IsZero() == tt.wake {
				t.Errorf("wake: got %v", wake)
			}
			b, gone := back[tt.c.CTID]
			if gone != (tt.why != "") || !strings.Contains(b.Reason, tt.why) || gone && b.Generation != tt.c.Generation {
				t.Errorf("gone back: got %+v, want %q", b, tt.why)
			}
		})
	}
}
