package node

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

func nodeMount(a *app.App) *cobra.Command {
	return app.Group("mount", "Volumes of other nodes that a node has mounted", mountList(a), mountAdd(a), mountDelete(a))
}

func readMounts(ctx context.Context, a *app.App, node string) (m operator.NodeMounts, err error) {
	id, err := nodeID(ctx, a, node)
	if err != nil {
		return m, err
	}
	return app.Get[operator.NodeMounts](ctx, a, "/nodes/"+url.PathEscape(id.String())+"/mounts")
}

func showMounts(a *app.App, n operator.NodeMounts) error {
	return a.Show(n, app.Joined(n.Mounts, func(m operator.NodeMount) string { return m.Name }), func(t *app.Table) {
		t.Head("MOUNT", "PATH", "NODE", "VOLUME", "ACCESS", "NOTE")
		for _, m := range n.Mounts {
			access := "read-write"
			if m.ReadOnly {
				access = "read-only"
			}
			note := ""
			if m.Problem != "" {
				note = "out of reach: " + m.Problem
			}
			t.Row(m.Name, m.Path, m.From, m.Volume, access, note)
		}
	})
}

func mountList(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "list NODE", Short: "The volumes of other nodes that a node has mounted", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := readMounts(cmd.Context(), a, args[0])
			if err != nil {
				return err
			}
			return showMounts(a, n)
		},
	}
}

// changeMounts changes the volumes of other nodes that a node has mounted, and shows what is so now.
func changeMounts(ctx context.Context, a *app.App, node string, change func([]operator.NodeMount) ([]operator.NodeMount, error)) error {
	n, err := app.Change(func() (out operator.NodeMounts, err error) {
		n, err := readMounts(ctx, a, node)
		if err != nil {
			return n, err
		}
		list, err := change(n.Mounts)
		if err != nil {
			return n, err
		}
		for i := range list {
			list[i].Problem = ""
		}
		err = a.Call(ctx, http.MethodPut, "/nodes/"+n.CTID.String()+"/mounts", operator.MountedVolumes{Mounts: list}, &out, "If-Match",
			fmt.Sprintf("%q", n.Revision.String()))
		return out, err
	})
	if err != nil {
		return err
	}
	return showMounts(a, n)
}

func mountAdd(a *app.App) *cobra.Command {
	var want operator.NodeMount
	var from string
	c := &cobra.Command{
		Use: "add NODE PATH --from NODE --volume NAME", Short: "Mount a volume of another node of the environment",
		Args: cobra.ExactArgs(2),
		Long: "The volume is mounted at PATH when the node starts the next time (hnctl node restart), from whichever host its\n" +
			"node is on. Files have the same owners in both nodes, a full volume is full for both, and locks count within one\n" +
			"node only. While the other host is away, whoever reads there gets an error within some seconds.",
		Example: "  hnctl node mount add 102 /srv/shared --from 101 --volume data\n" +
			"  hnctl node mount add 102 /srv/shared --from 101 --volume data --read-only --name pages",
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := nodeID(cmd.Context(), a, from)
			if err != nil {
				return err
			}
			want.From, want.Path = id, args[1]
			if want.Name == "" {
				want.Name = want.Volume
			}
			same := func(o operator.NodeMount) bool { return o.Name == want.Name }
			return changeMounts(cmd.Context(), a, args[0], func(was []operator.NodeMount) ([]operator.NodeMount, error) {
				return append(slices.DeleteFunc(slices.Clone(was), same), want), nil
			})
		},
	}
	c.Flags().StringVar(&from, "from", "", "the node whose volume it is")
	c.Flags().StringVar(&want.Volume, "volume", "", "the volume's name there")
	c.Flags().StringVar(&want.Name, "name", "", "the mount's name in the node (the volume's if it is left out)")
	c.Flags().BoolVar(&want.ReadOnly, "read-only", false, "the node may not change anything there")
	c.MarkFlagRequired("from")
	c.MarkFlagRequired("volume")
	return c
}

func mountDelete(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "delete NODE NAME", Short: "Mount a volume of another node no more", Args: cobra.ExactArgs(2),
		Long:    "What the node does there ends with errors at once; the place itself goes when it starts the next time.",
		Example: "  hnctl node mount delete 102 data",
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeMounts(cmd.Context(), a, args[0], func(was []operator.NodeMount) ([]operator.NodeMount, error) {
				left := slices.DeleteFunc(slices.Clone(was), func(o operator.NodeMount) bool { return o.Name == args[1] })
				if len(left) == len(was) {
					return nil, app.WithCode(app.ExitNotFound, fmt.Errorf("node %s has no mount %q; see hnctl node mount list %s", args[0],
						args[1], args[0]))
				}
				return left, nil
			})
		},
	}
}
