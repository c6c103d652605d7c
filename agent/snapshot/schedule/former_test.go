package schedule

import (
	"context"
	"errors"
	"slices"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// What a container was before is let go of once whenever something else is said of it, and again until that is done.
func TestLetGo(t *testing.T) {
	var asked []wire.CTID
	fails := map[wire.CTID]error{101: ErrNotNow, 102: errors.New("busy")}
	work := &host.Work{Containers: []host.Container{{CTID: 100, Generation: 1}, {CTID: 101, Generation: 2}, {CTID: 102, Generation: 1},
		{CTID: 103, Generation: 1, Remove: true}}}
	k := New(Options{Work: func() *host.Work { return work }, LetGo: func(_ context.Context, c host.Container) error {
		asked = append(asked, c.CTID)
		return fails[c.CTID]
	}})
	expect := func(when string, want ...wire.CTID) {
		t.Helper()
		asked = nil
		if k.letGo(t.Context(), work); !slices.Equal(asked, want) {
			t.Errorf("%s: asked of %v, want %v", when, asked, want)
		}
	}
	expect("at first", 100, 101, 102)
	expect("again", 101, 102)
	clear(fails)
	expect("when it can be", 101, 102)
	expect("it is done")
	work.Containers[0].Generation, work.Containers[0].Formers = 2, []host.Former{{Generation: 1}}
	expect("another generation", 100)
	work.Containers[0].Formers = nil
	expect("nothing comes back any more", 100)
	expect("it is done")
	work.Containers = nil
	expect("it is gone")
	if len(k.gone) != 0 {
		t.Errorf("it remembers %v", k.gone)
	}
}
