package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"hardnode.dev/agent/facts"
	"hardnode.dev/agent/initctl"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/upkeep"
)

// leaveMachine has init end this machine: it then comes back for the containers (see leave).
func leaveMachine(ctx context.Context, order upkeep.Leave) error {
	return initctl.Leave(ctx, boot.InitSocket, order)
}

// sayEvery is how often init hears, while the machine is being left, that this agent is at work and how far it is.
const sayEvery = 5 * time.Second

// tellFor is how long the orchestrator may take to hear that the machine is being left, or its programs replaced, when nothing else is left
// to do.
const tellFor = 3 * time.Second

// leave is the task that waits for the signal that ends this agent, and calls end. When the machine is being left, the containers are
// stopped first, each as its template says, while all the rest of the agent goes on: programs that end write to the network and ask for
// names. An agent that comes up while the machine is being left goes on with what the one before it began, from its first look on.
func (a *agent) leave(signal context.Context, end func(), say func(string)) func(context.Context) error {
	under := a.stopAll(say)
	return func(work context.Context) error {
		defer end()
		if under == nil {
			select {
			case <-signal.Done():
			case <-work.Done():
				return nil
			}
			if under = a.stopAll(say); under == nil {
				return nil
			}
		}
		began := time.Now()
		words := tellLeft(work, under.left, under.until, say)
		a.log.Info("containers stopped", "result", words, logging.Took, time.Since(began))
		a.heard(work, under.told)
		say("STATUS=" + words)
		return nil
	}
}

// heard waits a little until the orchestrator has heard something.
func (a *agent) heard(ctx context.Context, told <-chan struct{}) {
	if !a.link.Status().Linked {
		return // nobody hears of it
	}
	late := time.NewTimer(tellFor)
	defer late.Stop()
	select {
	case <-told:
	case <-late.C:
	case <-ctx.Done():
	}
}

// tell has the orchestrator hear how this host is now, if it can.
func (a *agent) tell(ctx context.Context) {
	told := a.link.Told()
	a.hint()
	a.heard(ctx, told)
}

// leaving is the stop of all containers while it is under way.
type leaving struct {
	left  <-chan []wire.CTID
	until time.Time
	told  <-chan struct{} // closed when the orchestrator knows
}

// stopAll begins to stop all containers if the machine is being left, else it is nil.
func (a *agent) stopAll(say func(string)) *leaving {
	why, err := boot.ReadShutdown(boot.ShutdownFile)
	if err != nil {
		a.log.Warn("containers are left running", logging.Err, err)
	}
	if why == nil {
		return nil
	}
	say(extend())
	// By order: what the machine itself gives up, such as a slot that is not well, has no by. By kexec what comes next is counted already.
	if a.slots != nil && why.By != "" && why.What != (upkeep.Leave{Kexec: true}).What() {
		if err := a.slots.Leaving(); err != nil {
			a.log.Error("a slot that is tried may count as failed", logging.Err, err)
		}
	}
	until := time.Now().Add(why.Left(facts.SinceBoot()))
	told := a.link.Leaving(upkeep.Leave{PowerOff: why.What == (upkeep.Leave{PowerOff: true}).What(), By: why.By, Reason: why.Reason})
	a.hint()
	return &leaving{a.apply.Leave(fmt.Sprintf("its host is being left: %s, %s", why.What, why.Reason), until), until, told}
}

// extend asks init for time until the next word, and some more.
func extend() string { return fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", (4 * sayEvery).Microseconds()) }

// tellLeft tells init of each change, and that this agent is at work, until nothing is left. It gives up a while after until: init ends
// what there is then. It returns how it ended, for people.
func tellLeft(ctx context.Context, left <-chan []wire.CTID, until time.Time, say func(string)) string {
	tick := time.NewTicker(sayEvery)
	defer tick.Stop()
	late := time.NewTimer(time.Until(until) + 2*sayEvery)
	defer late.Stop()
	began := time.Now()
	var last []wire.CTID
	most := 0
	var killed []wire.CTID
	for {
		select {
		case now, ok := <-left:
			switch {
			case !ok && most == 0:
				return "no containers ran"
			case !ok && len(killed) > 0:
				return fmt.Sprintf("%d containers stopped; killed at the end of the time: %s", most-len(killed), numbers(killed))
			case !ok:
				return fmt.Sprintf("%d containers stopped in %s", most, time.Since(began).Round(time.Second/10))
			}
			if last, most = now, max(most, len(now)); !time.Now().Before(until.Add(-time.Second / 2)) {
				killed = now
			}
		case <-tick.C:
		case <-late.C:
			return fmt.Sprintf("containers that don't end are left to init: %s", numbers(last))
		case <-ctx.Done():
			return "interrupted"
		}
		say(fmt.Sprintf("%s\nSTATUS=stopping containers: %d of %d still run (%s); at most %s more", extend(), len(last), most,
			numbers(last), max(0, time.Until(until)).Round(time.Second)))
	}
}

// numbers lists containers for people, the first few of many.
func numbers(ids []wire.CTID) string {
	var b strings.Builder
	for i, id := range ids {
		switch {
		case i == 5:
			fmt.Fprintf(&b, " and %d more", len(ids)-i)
			return b.String()
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(id.String())
	}
	return b.String()
}
