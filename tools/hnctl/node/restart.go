package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
	"hardnode.dev/tools/hnctl/session"
)

func nodeRestart(a *app.App) *cobra.Command {
	var noWait bool
	c := &cobra.Command{
		Use: "restart NODE", Short: "Stop a node in its time, and start it again", Args: cobra.ExactArgs(1),
		Long: "Stops a node as its template has it, and starts it again; its data and addresses stay. It also starts a node that was\n" +
			"powered off from inside. Returns when it runs.",
		Example: "  hnctl node restart 101",
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			id, err := nodeID(ctx, a, args[0])
			if err != nil {
				return err
			}
			var before operator.Node
			if err := a.Call(ctx, "GET", "/nodes/"+id.String(), nil, &before); err != nil {
				return err
			}
			if err := nodeSession(ctx, a, id, "restart", nil, session.IO{Out: a.Out, Err: a.Talk}); err != nil {
				return err
			}
			if noWait {
				return nil
			}
			return runsAgain(ctx, a, id, before.Started)
		},
	}
	app.NoWaitFlag(c, &noWait)
	return c
}

// runsAgain waits until a node runs that was started after before.
func runsAgain(ctx context.Context, a *app.App, id wire.CTID, before time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, a.Timeout)
	defer cancel()
	var n operator.Node
	for {
		if err := a.Call(ctx, "GET", "/nodes/"+id.String(), nil, &n); err != nil {
			return err
		}
		switch {
		case n.State == "running" && n.Started.After(before):
			a.Say("node %s runs again", id)
			return nil
		case n.State == "broken":
			return fmt.Errorf("node %s can't be started: %s", id, n.Note(time.Now()))
		}
		if run.Wait(ctx, time.Second/2) {
			continue
		}
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return ctx.Err()
		}
		return app.WithCode(app.ExitTimeout, fmt.Errorf("node %s does not run after %s: it is %s %s; see hnctl node logs %s", id, a.Timeout,
			n.State, n.Note(time.Now()), id))
	}
}
