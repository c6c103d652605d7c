package host

import (
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
	"hardnode.dev/tools/hnctl/node"
	"hardnode.dev/tools/hnctl/session"
)

func hostLogs(a *app.App) *cobra.Command {
	var unit, since string
	var tail int
	var follow bool
	c := &cobra.Command{
		Use: "logs HOST", Short: "A host's own logs: of its agent, of init, of the kernel; needs a token with scope platform",
		Args: cobra.ExactArgs(1),
		Long: "Writes one of a host's own logs: of the agent, of init (PID 1), of the kernel, of the spawner, netd or the console's " +
			"program. They lie in\nthe host's memory, the last half MiB of each, and begin anew when it boots. A host that answers " +
			"nobody has them on its console only.",
		Example: "  hnctl host logs host-1 --tail 50\n  hnctl host logs host-1 --unit kernel --since 10m --follow",
		RunE: func(cmd *cobra.Command, args []string) error {
			if tail < 0 {
				return app.Usage(cmd, "--tail %d: want 0, which is all that is kept, or more", tail)
			}
			var units []string
			for _, u := range host.Units {
				units = append(units, string(u))
			}
			if !slices.Contains(units, unit) {
				return app.Usage(cmd, "--unit: there is no unit %q%s; want one of %v", unit, app.Nearest(unit, units), units)
			}
			q := url.Values{"unit": {unit}, "tail": {strconv.Itoa(tail)}}
			if follow {
				q.Set("follow", "true")
			}
			if cmd.Flags().Changed("since") {
				if _, err := operator.ParseSince(since, time.Now()); err != nil {
					return app.Usage(cmd, "--since %v", err)
				}
				q.Set("since", since)
			}
			return node.OpenSession(cmd.Context(), a, "/hosts/"+url.PathEscape(args[0])+"/logs", "log of "+unit+" on host "+args[0], q,
				session.IO{Out: a.Out, Err: a.Talk})
		},
	}
	c.Flags().StringVar(&unit, "unit", string(host.UnitAgent), "agent, init, kernel, spawner, netd or console")
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on until Ctrl-C")
	c.Flags().IntVar(&tail, "tail", 0, "lines from the end; 0 is all that is kept")
	c.Flags().StringVar(&since, "since", "", "only what was written since: how long ago (90s, 15m, 2h, 7d), or a time (RFC 3339)")
	return c
}
