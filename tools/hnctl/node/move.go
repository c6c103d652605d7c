package node

import (
	"net/http"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

func nodeMove(a *app.App) *cobra.Command {
	var want operator.MoveNode
	var dry, noWait bool
	c := &cobra.Command{
		Use: "move NODE [HOST]", Short: "Move a node to another host with its data", Args: cobra.RangeArgs(1, 2),
		Long: "Moves a node to a host, or without one to where there is room. Its data is copied while it runs; then it is stopped,\n" +
			"what has changed since is copied, and it starts there. Its number, its addresses, its log and its snapshots\n" +
			"stay. Until it is stopped the move can be cancelled: hnctl op cancel.",
		Example: "  hnctl node move 101 --dry-run\n  hnctl node move 101 host-2 --rate 50",
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			id, err := nodeID(ctx, a, args[0])
			if err != nil {
				return err
			}
			if len(args) > 1 {
				want.Host = args[1]
			}
			path := "/nodes/" + id.String() + "/move"
			if dry {
				var got operator.Accepted
				if err := a.Call(ctx, http.MethodPost, path+"?dry_run=true", want, &got); err != nil {
					return err
				}
				return a.Show(got.Move, "", func(t *app.Table) {
					t.Head("NODE", "TO", "WHY")
					if got.Move != nil {
						t.Row(id, got.Move.HostName, got.Move.Why)
					}
				})
			}
			op, err := a.Long(ctx, http.MethodPost, path, want, noWait)
			if err != nil {
				return err
			}
			return a.Show(op, string(op.ID), func(t *app.Table) { t.Head("OPERATION", "STATE"); t.Row(op.ID, op.State) })
		},
	}
	c.Flags().Int64Var(&want.RateMiB, "rate", 0, "MiB a second that are copied at most while it runs; 0 is no bound")
	c.Flags().BoolVar(&dry, "dry-run", false, "only say where it would go, and why")
	app.NoWaitFlag(c, &noWait)
	return c
}
