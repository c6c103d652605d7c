package node

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

func snapshotSchedule(a *app.App) *cobra.Command {
	var want operator.SnapshotSchedule
	off := false
	c := &cobra.Command{
		Use: "schedule NODE", Short: "Show when a node's host takes snapshots of it by itself, or change that", Args: cobra.ExactArgs(1),
		Long: "Has the host of a node take a snapshot of it in each hour (or, with --hourly 0, in each day or week) in which it runs,\n" +
			"from now on, and keep of those the newest one of so many hours, days and weeks, 48 in all at most. Snapshots that were\n" +
			"taken by hand stay. Hours, days and weeks are UTC's; weeks begin on Monday. --off ends it; what there is stays.",
		Example: "  hnctl node snapshot schedule 101 --hourly 24 --daily 7 --weekly 4\n  hnctl node snapshot schedule 101\n" +
			"  hnctl node snapshot schedule 101 --off",
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := snapshotsPath(cmd.Context(), a, args[0])
			if err != nil {
				return err
			}
			path += "/schedule"
			set := false
			for _, name := range []string{"hourly", "daily", "weekly", "no-hook"} {
				set = set || cmd.Flags().Changed(name)
			}
			switch {
			case set && off:
				return app.Usage(cmd, "--off goes with no other flag")
			case set && want.Hourly == 0 && want.Daily == 0 && want.Weekly == 0:
				return app.Usage(cmd, "say how many are kept, with --hourly, --daily or --weekly")
			case !set && !off:
				now, err := app.Get[operator.NodeSchedule](cmd.Context(), a, path)
				if err != nil {
					return err
				}
				return showSchedule(a, now)
			}
			var now operator.NodeSchedule
			if err := a.Call(cmd.Context(), http.MethodPut, path, want, &now); err != nil {
				return err
			}
			return showSchedule(a, now)
		},
	}
	c.Flags().IntVar(&want.Hourly, "hourly", 0, "how many of the newest hours keep one")
	c.Flags().IntVar(&want.Daily, "daily", 0, "how many of the newest days keep one")
	c.Flags().IntVar(&want.Weekly, "weekly", 0, "how many of the newest weeks keep one")
	c.Flags().BoolVar(&want.NoHook, "no-hook", false, "leave out what JEM does in the node: jem backup before, jem backup after")
	c.Flags().BoolVar(&off, "off", false, "take none by itself from now on")
	return c
}

func showSchedule(a *app.App, s operator.NodeSchedule) error {
	return a.Show(s, s.CTID.String(), func(t *app.Table) {
		takes, note := "none by itself", s.Problem
		var keeps []string
		for _, p := range []struct {
			n    int
			name string
		}{{s.Weekly, "week"}, {s.Daily, "day"}, {s.Hourly, "hour"}} {
			if p.n > 0 {
				takes = "one each " + p.name
				keeps = append([]string{fmt.Sprintf("%d %ss", p.n, p.name)}, keeps...)
			}
		}
		if note != "" {
			note = "the last one was not taken: " + note
		} else if s.NoHook {
			note = "without hooks"
		}
		t.Head("NODE", "TAKES", "KEEPS", "NOTE")
		t.Row(s.CTID, takes, strings.Join(keeps, ", "), note)
	})
}
