package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"hardnode.dev/agent/facts"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
)

// rescueNext is what a person can do at a host that runs its rescue system.
const rescueNext = "write this system into one (slots copy a), boot one once more (slots try a), or install again from a medium"

// serveRescue is all that the agent does in the rescue system: it serves who is at the host's terminals, and the owner of the machine. It
// joins nothing, starts nothing, and reads of the disk only what its boot loader reads.
func serveRescue(ctx context.Context, log *slog.Logger, state, data string) error {
	a := &agent{log: log, config: boot.ConfigFile, facts: facts.Source{Data: data}, links: &facts.Links{}}
	var err error
	if a.boot, err = a.facts.BootID(); err != nil {
		return err
	}
	a.read()
	a.slots, a.install = a.keeper(state), a.installer("")
	lock, err := locked()
	if err != nil {
		return err
	}
	what, next, why := "RESCUE SYSTEM", rescueNext, ""
	if lock != nil {
		what, next, why = "STATE IS LOCKED", unlockNext, lock.Reason
	} else {
		why = a.slots.Rescued()
	}
	fmt.Fprintf(os.Stderr, "%s: %s. What to do: %s\n", what, why, next) // init shows it to who stands there
	status := func(ctx context.Context) boot.AgentStatus {
		s := a.unconfigured(ctx)
		s.Stage, s.State, s.Link = boot.StageRescue, what, "not asked: "+strings.ToLower(what)
		if c, _, found, err := a.configInForce(); found && err == nil {
			s.Name, s.Role = c.Name, c.Role
		}
		s.Problems = []host.Problem{{Code: "unavailable", Object: strings.ToLower(what), Reason: why, Next: next}}
		return s
	}
	terminal := a.bare(errors.New("this is the rescue system; it runs no containers"), status)
	if lock != nil {
		terminal.Unlock = unlocker(*lock, leaveMachine)
	}
	listening, err := sockets(a.bareAPI(terminal), terminal)
	if err != nil {
		return err
	}
	newNotify(log).say("READY=1")
	return run.Group(ctx, log, append(listening,
		run.Task{Name: "links", Run: a.links.Keep},
		run.Task{Name: "BMC", Run: a.askBMC},
		run.Task{Name: "figures", Run: a.readOn})...)
}
