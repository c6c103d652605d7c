package node

import (
	"cmp"
	"fmt"
	"net/url"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/volume"
	"hardnode.dev/tools/hnctl/app"
)

func volumeGroup(a *app.App) *cobra.Command {
	return app.Group("volume", "Volumes of nodes", volumeList(a))
}

// volumeOf is a volume and whose it is.
type volumeOf struct {
	CTID wire.CTID    `json:"ctid"`
	Env  wire.EnvName `json:"env"`
	volume.Use
}

func volumeList(a *app.App) *cobra.Command {
	var env string
	c := &cobra.Command{
		Use: "list [NODE…]", Short: "What the volumes of nodes take and may take",
		Long: "Lists volumes, as their hosts reported them last. USED is all that was written in a volume and that it, or a snapshot of " +
			"it, still\nholds: that counts towards its size.",
		Example: "  hnctl node volume list\n  hnctl node volume list 101 --output json\n  hnctl node volume list --env hello",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := app.ByEnv.Check(cmd, env); err != nil {
				return err
			}
			if env != "" && len(args) > 0 {
				return app.Misused(cmd, "give nodes or --env")
			}
			var nodes []operator.Node
			var err error
			for _, arg := range args {
				id, ierr := nodeID(cmd.Context(), a, arg)
				if ierr != nil {
					return ierr
				}
				n, nerr := app.Get[operator.Node](cmd.Context(), a, "/nodes/"+id.String())
				if nerr != nil {
					return nerr
				}
				nodes = append(nodes, n)
			}
			if len(args) == 0 {
				path := "/nodes"
				if env != "" {
					path += "?env=" + url.QueryEscape(env)
				}
				if nodes, err = app.Items[operator.Node](cmd.Context(), a, path); err == nil && len(nodes) == 0 {
					err = app.ByEnv.Exists(cmd.Context(), a, env)
				}
				if err != nil {
					return err
				}
			}
			var list []volumeOf
			for _, n := range nodes {
				for _, u := range n.Volumes {
					list = append(list, volumeOf{n.CTID, n.Env, u})
				}
			}
			return a.Show(list, app.Joined(list, func(v volumeOf) string { return v.CTID.String() + "/" + v.Name }), func(t *app.Table) {
				t.Head("CTID", "ENV", "VOLUME", "USED", "SIZE", "FULL", "NOTE")
				for _, v := range list {
					full := "-"
					if v.Limit > 0 {
						full = fmt.Sprintf("%d %%", v.Percent())
					}
					note := v.Note
					if v.NoCOW {
						note = cmp.Or(note, "written in place")
					}
					t.Row(v.CTID, v.Env, v.Name, fmt.Sprintf("%d MiB", v.Bytes>>20), v.Size(), full, note)
				}
			})
		},
	}
	c.Flags().StringVar(&env, "env", "", "of the nodes of this environment only")
	return c
}
