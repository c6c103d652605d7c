package node

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/snapshot"
	"hardnode.dev/tools/hnctl/app"
)

func snapshotGroup(a *app.App) *cobra.Command {
	return app.Group("snapshot", "Snapshots of nodes: own files and volumes together, from one moment", snapshotTake(a), snapshotList(a),
		snapshotRestore(a), snapshotDelete(a), snapshotPrune(a), snapshotSchedule(a))
}

// snapshotsPath is that of a node's snapshots.
func snapshotsPath(ctx context.Context, a *app.App, node string) (string, error) {
	id, err := nodeID(ctx, a, node)
	if err != nil {
		return "", err
	}
	return "/nodes/" + id.String() + "/snapshots", nil
}

// changeSnapshots asks for a change of a node's snapshots and says what is worth knowing besides.
func changeSnapshots(ctx context.Context, a *app.App, method, node, below string, in any) (out operator.NodeSnapshots, err error) {
	path, err := snapshotsPath(ctx, a, node)
	if err != nil {
		return out, err
	}
	err = a.Call(ctx, method, path+below, in, &out)
	for _, n := range out.Notes {
		a.Say("note: %s", n)
	}
	return out, err
}

func snapshotTake(a *app.App) *cobra.Command {
	var want operator.NewSnapshot
	c := &cobra.Command{
		Use: "take NODE", Short: "Take a snapshot of a node's own files and all its volumes", Args: cobra.ExactArgs(1),
		Long: "Takes a snapshot of a node's own files and all its volumes, from one moment: its processes stand still for it. It takes\n" +
			"no room at first; what is overwritten or deleted later goes on counting towards the size of the node's disk or volume as\n" +
			"long as a snapshot holds it. Snapshots lie on the node's host, and go with the node: they are no backup.\n" +
			"Before it, JEM has databases write what they hold back and runs the node's hooks, for a minute at most. What fails there\n" +
			"is said; the snapshot is taken all the same, and is then as after a crash.",
		Example: "  hnctl node snapshot take 101 --note 'before the update'",
		RunE: func(cmd *cobra.Command, args []string) error {
			out, err := changeSnapshots(cmd.Context(), a, http.MethodPost, args[0], "", want)
			if err != nil {
				return err
			}
			for _, s := range out.Snapshots {
				if s.ID == out.Done {
					a.Say("snapshot %s of node %s is taken; its processes stood still for %s", s.ID, args[0], paused(s))
					return a.Show(s, string(s.ID), func(t *app.Table) { snapshotTable(t, []snapshot.Snapshot{s}) })
				}
			}
			return fmt.Errorf("the host names no new snapshot; see hnctl node snapshot list %s", args[0])
		},
	}
	c.Flags().StringVar(&want.Note, "note", "", "what it is for")
	c.Flags().BoolVar(&want.NoHook, "no-hook", false, "leave out what JEM does in the node: jem backup before, jem backup after")
	return c
}

func paused(s snapshot.Snapshot) string {
	if !s.Running {
		return "no time (none ran)"
	}
	return (time.Duration(s.Pause) * time.Microsecond).Round(100 * time.Microsecond).String()
}

func snapshotList(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "list NODE", Short: "The snapshots of a node, the newest first", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := snapshotsPath(cmd.Context(), a, args[0])
			if err != nil {
				return err
			}
			out, err := app.Get[operator.NodeSnapshots](cmd.Context(), a, path)
			if err != nil {
				return err
			}
			for _, n := range out.Notes {
				a.Say("note: %s", n)
			}
			return showSnapshots(a, out.Snapshots)
		},
	}
}

func showSnapshots(a *app.App, list []snapshot.Snapshot) error {
	return a.Show(list, app.Joined(list, func(s snapshot.Snapshot) string { return string(s.ID) }), func(t *app.Table) {
		snapshotTable(t, list)
	})
}

func snapshotTable(t *app.Table, list []snapshot.Snapshot) {
	t.Head("SNAPSHOT", "TAKEN", "GENERATION", "IMAGE", "HELD", "PARTS", "PAUSE", "NOTE")
	for _, s := range list {
		var parts []string
		for _, p := range s.Parts {
			if p.Volume == "" {
				parts = append(parts, "own files")
			} else {
				parts = append(parts, p.Volume)
			}
		}
		note := s.Note
		if s.Scheduled {
			note = "by schedule"
		}
		t.Row(string(s.ID), app.Stamp(s.Taken), s.Generation, app.Short(strings.TrimPrefix(string(s.Image), "sha256:")),
			fmt.Sprintf("%d MiB", s.Bytes()>>20), strings.Join(parts, ", "), paused(s), note)
	}
}

func snapshotRestore(a *app.App) *cobra.Command {
	var want operator.RestoreSnapshot
	var from string
	c := &cobra.Command{
		Use: "restore NODE SNAPSHOT", Short: "Have a node be as it was when a snapshot was taken", Args: cobra.ExactArgs(2),
		Long: "Stops a node, keeps what is there as another snapshot, puts the snapshot in its place, and has the node start again.\n" +
			"Whatever happens meanwhile, the node has either all of the former state or all of the snapshot's.\n" +
			"With --from it becomes what another node of its host was: of the same image, or with --volumes of those that both have.",
		Example: "  hnctl node snapshot restore 101 20261127-101502\n  hnctl node snapshot restore 101 20261127-101502 --volumes\n" +
			"  hnctl node snapshot restore 102 20261127-101502 --from 101",
		RunE: func(cmd *cobra.Command, args []string) error {
			if from != "" {
				var err error
				if want.From, err = nodeID(cmd.Context(), a, from); err != nil {
					return err
				}
			}
			out, err := changeSnapshots(cmd.Context(), a, http.MethodPost, args[0], "/"+url.PathEscape(args[1])+"/restore", want)
			if err != nil {
				return err
			}
			a.Say("node %s is as in snapshot %s; what was there before is kept as snapshot %s", args[0], out.Done, out.Kept)
			return showSnapshots(a, out.Snapshots)
		},
	}
	c.Flags().BoolVar(&want.Volumes, "volumes", false, "the volumes alone: the node's own files stay as they are")
	c.Flags().StringVar(&from, "from", "", "the node whose snapshot it is")
	return c
}

func snapshotDelete(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "delete NODE SNAPSHOT", Short: "Delete a snapshot of a node", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			out, err := changeSnapshots(cmd.Context(), a, http.MethodDelete, args[0], "/"+url.PathEscape(args[1]), nil)
			if err != nil {
				return err
			}
			a.Say("snapshot %s of node %s is deleted", args[1], args[0])
			return showSnapshots(a, out.Snapshots)
		},
	}
}

func snapshotPrune(a *app.App) *cobra.Command {
	var want operator.PruneSnapshots
	c := &cobra.Command{
		Use: "prune NODE", Short: "Delete a node's snapshots but those that a rule keeps", Args: cobra.ExactArgs(1),
		Long: "Keeps, of the newest hours, days and weeks that have snapshots, the newest one of each, and the newest one of what was\n" +
			"there before a restore; the others are deleted. Hours, days and weeks are UTC's; weeks begin on Monday.",
		Example: "  hnctl node snapshot prune 101 --hourly 24 --daily 7 --weekly 4 --dry-run",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := want.Validate(); err != nil {
				return app.Usage(cmd, "%v", err)
			}
			out, err := changeSnapshots(cmd.Context(), a, http.MethodPost, args[0], "/prune", want)
			if err != nil {
				return err
			}
			verb := "deleted"
			if want.DryRun {
				verb = "would be deleted"
			}
			for _, g := range out.Gone {
				a.Say("snapshot %s: %s", g, verb)
			}
			return showSnapshots(a, out.Snapshots)
		},
	}
	c.Flags().IntVar(&want.Hourly, "hourly", 0, "how many of the newest hours keep one")
	c.Flags().IntVar(&want.Daily, "daily", 0, "how many of the newest days keep one")
	c.Flags().IntVar(&want.Weekly, "weekly", 0, "how many of the newest weeks keep one")
	c.Flags().BoolVar(&want.DryRun, "dry-run", false, "say which would go, delete nothing")
	return c
}
