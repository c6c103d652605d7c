package node

import (
	"errors"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/backup"
	"hardnode.dev/internal/wire"
	wirebackup "hardnode.dev/internal/wire/backup"
	"hardnode.dev/internal/wire/snapshot"
	"hardnode.dev/tools/hnctl/app"
)

// placeAndNode opens the place and takes the node's number that two arguments give; done closes the place.
func placeAndNode(a *app.App, args []string, change bool) (p backup.Place, node wire.CTID, done func(), err error) {
	if node, err = wire.ParseCTID(args[1]); err != nil {
		return nil, 0, nil, app.WithCode(app.ExitUsage, err)
	}
	p, done, err = openPlace(a, args[0], change)
	return p, node, done, err
}

func backupDelete(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "delete PLACE NODE BACKUP", Short: "Delete a backup of a node", Args: cobra.ExactArgs(3),
		Long: "Deletes a backup from PLACE, or what is left of one that was cut. One that another one goes on from stays: delete that\n" +
			"first. It asks PLACE and nobody else.\n" + places,
		Example: "  hnctl node backup delete /mnt/backups 101 20261127-101502",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, node, done, err := placeAndNode(a, args, true)
			if err != nil {
				return err
			}
			defer done()
			id := wirebackup.ID(args[2])
			if err := id.Validate(); err != nil {
				return app.WithCode(app.ExitUsage, err)
			}
			switch err := backup.Delete(cmd.Context(), p, node, id); {
			case errors.Is(err, backup.ErrNone):
				return app.WithCode(app.ExitNotFound, err)
			case errors.Is(err, backup.ErrNeeded):
				return app.WithCode(app.ExitConflict, err)
			case err != nil:
				return err
			}
			a.Say("backup %s of node %s is deleted", id, node)
			return nil
		},
	}
}

func backupPrune(a *app.App) *cobra.Command {
	var rule snapshot.Rule
	var dry bool
	c := &cobra.Command{
		Use: "prune PLACE NODE", Short: "Delete a node's backups but those that a rule keeps", Args: cobra.ExactArgs(2),
		Long: "Keeps, of the newest hours, days and weeks that have backups, the newest one of each, and all that those go on from; the\n" +
			"others are deleted. Hours, days and weeks are UTC's; weeks begin on Monday. A chain of backups that go on from each other\n" +
			"goes as soon as none of it is kept: create begins a new one every --chain backups. It asks PLACE and nobody else.\n" + places,
		Example: "  hnctl node backup prune /mnt/backups 101 --daily 7 --weekly 4 --dry-run",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := rule.Validate(); err != nil {
				return app.Usage(cmd, "%v", err)
			}
			p, node, done, err := placeAndNode(a, args, !dry)
			if err != nil {
				return err
			}
			defer done()
			out, err := backup.Prune(cmd.Context(), p, node, rule, dry)
			verb := "deleted"
			if dry {
				verb = "would be deleted"
			}
			for _, m := range out.Gone {
				a.Say("backup %s: %s", m.ID, verb)
			}
			if err != nil {
				return err
			}
			for _, m := range out.Needed {
				a.Say("backup %s: the rule does not keep it; it stays, since one that is kept goes on from it", m.ID)
			}
			return a.Show(out, app.Joined(out.Gone, func(m backup.Manifest) string { return string(m.ID) }), func(t *app.Table) {
				backupTable(t, out.Stays)
			})
		},
	}
	c.Flags().IntVar(&rule.Hourly, "hourly", 0, "how many of the newest hours keep one")
	c.Flags().IntVar(&rule.Daily, "daily", 0, "how many of the newest days keep one")
	c.Flags().IntVar(&rule.Weekly, "weekly", 0, "how many of the newest weeks keep one")
	c.Flags().BoolVar(&dry, "dry-run", false, "say which would go, delete nothing")
	return c
}
