// JEM carries out life-cycle actions inside a container, in the container's own confinement: `jem <module> <action> [args]`.
//
// Owns: the table of modules, and printing the one document that a call answers with (internal/wire/jem).
// In: arguments from an exec session, stdin where an action takes a file, what the host tells in HARDNODE_JEM.
// Out: one JSON document on stdout; status 0, 1 when the action failed, 2 when the call was wrong.
// Never: stays resident, or needs more rights than the container has.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"hardnode.dev/agent/jem/backup"
	"hardnode.dev/agent/jem/config"
	"hardnode.dev/agent/jem/contract"
	"hardnode.dev/agent/jem/copying"
	"hardnode.dev/agent/jem/cron"
	"hardnode.dev/agent/jem/deploy"
	"hardnode.dev/agent/jem/env"
	"hardnode.dev/agent/jem/health"
	"hardnode.dev/agent/jem/keys"
	"hardnode.dev/agent/jem/logs"
	"hardnode.dev/agent/jem/mount"
	"hardnode.dev/agent/jem/passwd"
	"hardnode.dev/agent/jem/reach"
	"hardnode.dev/agent/jem/redeploy"
	"hardnode.dev/agent/jem/service"
	"hardnode.dev/agent/jem/setmem"
	"hardnode.dev/agent/jem/ssl"
	"hardnode.dev/agent/jem/unpack"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/jem"
)

// modules are all that can be asked for.
var modules = []contract.Module{
	service.Module,
	reach.Module,
	health.Module,
	config.Module,
	logs.Module,
	unpack.Module,
	deploy.Module,
	env.Module,
	cron.Module,
	passwd.Module,
	keys.Module,
	ssl.Module,
	backup.Module,
	mount.Module,
	setmem.Module,
	redeploy.Module,
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == copying.Module { // a stream, not a document; it takes as long as it takes
		os.Exit(copying.Run(os.Args[2:], os.Stdin, os.Stdout, os.Stderr))
	}
	ctx, stop := run.UntilSignal(context.Background())
	defer stop()
	os.Exit(answer(ctx, os.Args[1:]))
}

func answer(ctx context.Context, args []string) int {
	c := &contract.Call{Root: "/", In: os.Stdin, Now: time.Now}
	told, err := jem.ToldNow()
	if err != nil {
		fmt.Fprintln(os.Stderr, "jem:", err)
		return 2
	}
	c.Told = told
	status := contract.Serve(ctx, modules, args, c)
	c.Reply.Init = service.InitOf("/")
	if err := json.NewEncoder(os.Stdout).Encode(c.Reply); err != nil {
		fmt.Fprintln(os.Stderr, "jem: print reply:", err)
		return 1
	}
	if c.After != nil {
		c.After()
	}
	return status
}
