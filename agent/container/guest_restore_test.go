//go:build guest

package container_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"hardnode.dev/agent/container"
	wiresnapshot "hardnode.dev/internal/wire/snapshot"
)

// TestSnapshotRestart: where somebody starts a container again, as agent/apply does, a restore answers when it runs, and meanwhile it is
// seen as stopped, not as one that ended itself.
func TestSnapshotRestart(t *testing.T) {
	g := newRig(t)
	g.a.Restarts = true
	s := g.box(519, 1, 64*mib)
	g.start(s)
	one := g.ask(519, wiresnapshot.Ask{Action: wiresnapshot.Take})
	ctx, end := context.WithCancel(deadline(t))
	seen := make(chan []container.State, 1)
	state := func() container.State {
		list, err := g.r.Observe(ctx)
		if i := slices.IndexFunc(list, func(o container.Observed) bool { return o.CTID == 519 }); err == nil && i >= 0 {
			return list[i].State
		}
		return ""
	}
	go func() {
		var all []container.State
		for ctx.Err() == nil {
			now := state()
			if all = append(all, now); now == container.StateStopped {
				g.r.Start(ctx, s)
			}
			time.Sleep(time.Millisecond)
		}
		seen <- all
	}()
	back := g.ask(519, wiresnapshot.Ask{Action: wiresnapshot.Restore, ID: one.Done})
	if now := state(); now != container.StateRunning || len(back.Notes) > 0 {
		t.Errorf("after the answer it is %s; notes %q", now, back.Notes)
	}
	end()
	if all := slices.Compact(<-seen); slices.Contains(all, container.StateExited) || !slices.Contains(all, container.StateStopped) {
		t.Errorf("it was seen as %q", all)
	}
}
