package env

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

func envRestart(a *app.App) *cobra.Command {
	var all, oneByOne, noWait bool
	var delay time.Duration
	c := &cobra.Command{
		Use: "restart ENV [PART]", Short: "Start an environment's nodes anew, or those of a layer, or one; one after the other",
		Args: cobra.RangeArgs(1, 2),
		Long: "PART is the name of a layer, or the number of a node. Nodes keep their files and addresses. Each is started once those\n" +
			"before it run; a node that does not come to run ends it, and those behind it stay as they are.",
		Example: "  hnctl env restart hello cp --delay 5s\n  hnctl env restart hello --all",
		RunE: func(cmd *cobra.Command, args []string) error {
			if delay < 0 || delay%time.Second != 0 || delay > operator.MostDelay*time.Second {
				return app.WithCode(app.ExitUsage, fmt.Errorf("--delay %s: want whole seconds, 1h at most", delay))
			}
			if all && oneByOne {
				return app.WithCode(app.ExitUsage, errors.New("--all and --one-by-one exclude each other: give one of them"))
			}
			if all && delay > 0 {
				return app.WithCode(app.ExitUsage, errors.New("--all starts nodes at the same time: it has no --delay"))
			}
			in := operator.RestartEnvironment{Together: all, DelaySeconds: int(delay / time.Second)}
			if len(args) == 2 {
				if id, err := wire.ParseCTID(args[1]); err == nil {
					in.CTID = id
				} else {
					in.Layer = wire.LayerName(args[1])
				}
			}
			return envDo(cmd.Context(), a, http.MethodPost, envPath(args[0])+"/restart", args[0], in, noWait, true)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "all at the same time")
	c.Flags().BoolVar(&oneByOne, "one-by-one", false, "one after the other, as it is done anyhow")
	c.Flags().DurationVar(&delay, "delay", 0, "the least time from one node's start to the next one's, up to 1h")
	app.NoWaitFlag(c, &noWait)
	return c
}
