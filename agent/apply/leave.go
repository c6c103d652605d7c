package apply

import (
	"context"
	"time"

	"hardnode.dev/agent/plan"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// leaving is the end of the machine: what runs is stopped.
type leaving struct {
	reason string
	until  time.Time // then what still runs is killed
	left   chan []wire.CTID
	over   bool // left is closed; the loop's own
}

// Leave stops every container as its template says, all at once; nothing is started any more. Those that have not ended at until are
// killed. The channel delivers the containers that still run, the newest list only, and is closed when none does. Leave is called once,
// before Run or while it runs.
func (a *Applier) Leave(reason string, until time.Time) <-chan []wire.CTID {
	l := &leaving{reason: reason, until: until, left: make(chan []wire.CTID, 1)}
	a.leaving.Store(l)
	close(a.leave)
	a.hint()
	return l.left
}

// staying is the context of steps that make no sense any more once the machine is left: it ends then, and with ctx.
func (a *Applier) staying(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-a.leave:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(); <-done }
}

// afterKill is how long the steps that stop a container have when its time is over: for the kill and what it leaves.
const afterKill = 10 * time.Second

// tell delivers which containers have not ended yet, those with a step in flight among them. Only the loop calls it.
func (l *leaving) tell(statuses []host.ContainerStatus, busy map[wire.CTID]plan.Kind) {
	if l == nil || l.over {
		return
	}
	var left []wire.CTID
	for _, s := range statuses {
		if _, flying := busy[s.CTID]; flying || s.State == host.CtStopping {
			left = append(left, s.CTID)
		}
	}
	if l.over = len(left) == 0; l.over {
		close(l.left)
		return
	}
	select {
	case <-l.left: // nobody has read the last one
	default:
	}
	l.left <- left
}
