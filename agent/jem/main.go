// JEM carries out life-cycle actions inside a container, in the container's own confinement: `jem <module> <action> [args]`.
//
// Owns: the table of actions and the document they print (internal/wire/jem).
// In: arguments from an exec session.
// Out: one JSON document on stdout; status 0, 1 when the action failed, 2 when the call was wrong.
// Never: stays resident, or needs more rights than the container has.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"hardnode.dev/agent/jem/reach"
	"hardnode.dev/agent/jem/service"
	"hardnode.dev/internal/wire/jem"
)

// actions are all that can be asked for. A template's own life-cycle actions join this table with their module.
var actions = []struct {
	module, action, args, help string
	run                        func(ctx context.Context, args []string) (jem.Reply, error)
}{
	{"service", "status", "[unit]", "units of a full OS, processes of an app container", service.Status},
	{"host", "reach", "", "whether the host answers at the container's gateway", reach.Host},
	{"service", "logs", "[unit] [--tail N]", "journal of a unit, or of all", service.Logs},
}

// timeout ends an action that hangs; the caller's session ends it earlier when it likes.
const timeout = time.Minute

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	os.Exit(answer(ctx, os.Args[1:]))
}

func answer(ctx context.Context, args []string) int {
	status := 0
	reply, err := dispatch(ctx, args)
	reply.Version, reply.Init = jem.Version, service.InitOf("/")
	if err != nil {
		status = 1
		if !errors.As(err, &reply.Error) {
			reply.Error = &jem.Error{Code: "internal", Reason: err.Error()}
		}
		if reply.Error.Code == "invalid" {
			status = 2
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(reply); err != nil {
		fmt.Fprintln(os.Stderr, "jem: print reply:", err)
		return 1
	}
	return status
}

func dispatch(ctx context.Context, args []string) (jem.Reply, error) {
	if len(args) >= 2 {
		for _, a := range actions {
			if a.module == args[0] && a.action == args[1] {
				return a.run(ctx, args[2:])
			}
		}
	}
	help := "use one of:"
	for _, a := range actions {
		help += fmt.Sprintf(" jem %s %s %s (%s);", a.module, a.action, a.args, a.help)
	}
	return jem.Reply{}, &jem.Error{Code: "invalid", Reason: fmt.Sprintf("jem has no action %q", args), Next: help}
}
