package host

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

func hostDrain(a *app.App) *cobra.Command {
	var want operator.DrainHost
	var dry, noMove, noWait bool
	c := &cobra.Command{
		Use: "drain HOST", Short: "Cordon a host and empty it of users' nodes", Args: cobra.ExactArgs(1),
		Long: "Cordons a host and has its nodes leave it. A node without volumes is made anew elsewhere, and goes once the new one " +
			"runs: one of\na layer at a time. One with volumes moves to another host with them (hnctl node move), one after the other. " +
			"When all of them\nhave left, those with volumes that no other host takes are stopped where they are, and are started again " +
			"when the host is\nuncordoned; with --no-move all with volumes are. One without that no other host takes keeps the drain " +
			"from beginning; with\n--stop it is stopped too. See what becomes of each node with --dry-run. The host stays as it is then, " +
			"through reboots, until:\nhnctl host uncordon HOST. " +
			"Cancelling the drain\n(hnctl op cancel) starts what it stopped; what runs elsewhere by then stays there.",
		Example: "  hnctl host drain host-1 --dry-run\n  hnctl host drain host-1 --reason 'memory module fails'",
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "/hosts/" + url.PathEscape(args[0]) + "/drain"
			if dry {
				return drainPlan(cmd, a, path, "?dry_run=true"+also(noMove, "&no_move=true"), want)
			}
			path += also(noMove, "?no_move=true")
			op, err := a.Long(cmd.Context(), http.MethodPost, path, want, noWait)
			if err != nil {
				return err
			}
			if name := strings.TrimPrefix(op.Object, "hosts/"); !noWait {
				a.Say("host %s is empty of users' nodes; let it take them again with: hnctl host uncordon %s", name, name)
			}
			return a.Show(op, string(op.ID), func(t *app.Table) { t.Head("OPERATION", "STATE"); t.Row(op.ID, op.State) })
		},
	}
	c.Flags().StringVar(&want.Reason, "reason", "", "why, in one line: it is recorded, and shown where it keeps a node away")
	c.Flags().BoolVar(&want.Stop, "stop", false, "stop the nodes that no other host takes where they are")
	c.Flags().BoolVar(&noMove, "no-move", false, "stop nodes with volumes where they are, and move none of them")
	c.Flags().BoolVar(&dry, "dry-run", false, "only say how each node would leave")
	app.NoWaitFlag(c, &noWait)
	return c
}

func also(yes bool, what string) string {
	if yes {
		return what
	}
	return ""
}

// drainPlan shows how each node would leave a host, and fails if one can't.
func drainPlan(cmd *cobra.Command, a *app.App, path, query string, want operator.DrainHost) error {
	var got operator.Accepted
	if err := a.Call(cmd.Context(), http.MethodPost, path+query, want, &got); err != nil {
		return err
	}
	err := a.Show(got.Drain, "", func(t *app.Table) {
		if len(got.Drain) == 0 {
			a.Say("no node of a user is on it")
			return
		}
		t.Head("CTID", "ENVIRONMENT", "LAYER", "HOW", "TO", "WHY")
		for _, n := range got.Drain {
			t.Row(n.CTID, n.Env, n.Layer, n.Way, n.HostName, n.Why)
		}
	})
	if err != nil {
		return err
	}
	if p := operator.Stuck(strings.TrimSuffix(strings.TrimPrefix(path, "/hosts/"), "/drain"), got.Drain); p != nil {
		return fmt.Errorf("it can't be drained: %w", p)
	}
	return nil
}
