package env

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

func envDelete(a *app.App) *cobra.Command {
	var now, noWait bool
	c := &cobra.Command{
		Use: "delete ENV", Short: "Put an environment into the trash; with --now delete it with all its data",
		Args: cobra.ExactArgs(1),
		Long: "Its nodes are stopped. Its data, addresses and names are kept for it, for 7 days or as long as its account's group says,\n" +
			"and then erased. Meanwhile it counts for limits of disk, addresses and domains alone, and nobody else can have its name.",
		Example: "  hnctl env delete hello\n  hnctl env trash list\n  hnctl env trash restore hello",
		RunE: func(cmd *cobra.Command, args []string) error {
			if now {
				return erase(cmd, a, args[0], noWait)
			}
			if err := a.Confirm("stop environment " + args[0] + " and put it into the trash"); err != nil {
				return err
			}
			err := envDo(cmd.Context(), a, http.MethodPost, envPath(args[0])+"/trash", args[0], nil, noWait, false)
			if err != nil || noWait {
				return err
			}
			a.Next("hnctl env trash restore %s", args[0])
			return nil
		},
	}
	c.Flags().BoolVar(&now, "now", false, "delete it at once, with all its data: nothing brings it back")
	app.NoWaitFlag(c, &noWait)
	c.Flags().BoolVarP(&a.Yes, "yes", "y", false, "don't ask")
	return c
}

// erase deletes an environment with all its data.
func erase(cmd *cobra.Command, a *app.App, name string, noWait bool) error {
	if err := a.ConfirmName(fmt.Sprintf("delete environment %s with all its data", name), name); err != nil {
		return err
	}
	return envDo(cmd.Context(), a, http.MethodDelete, envPath(name), name, nil, noWait, false)
}

func envTrash(a *app.App) *cobra.Command {
	return app.Group("trash", "Environments that were deleted and can be brought back", trashList(a), trashRestore(a), trashEmpty(a))
}

func inTrash(cmd *cobra.Command, a *app.App) ([]operator.Environment, error) {
	return app.Items[operator.Environment](cmd.Context(), a, "/environments?trash=true")
}

func names(list []operator.Environment) string {
	return app.Joined(list, func(e operator.Environment) string { return string(e.Spec.Name) })
}

func trashList(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "The environments in the trash, and when each is erased", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := inTrash(cmd, a)
			if err != nil {
				return err
			}
			return a.Show(list, names(list), func(t *app.Table) {
				t.Head("NAME", "DELETED", "BY", "ERASED", "NODES", "STATE")
				for _, e := range list {
					if e.Trash != nil {
						t.Row(e.Spec.Name, app.Ago(e.Trash.At, time.Now())+" ago", e.Trash.By, app.Stamp(e.Trash.Until), len(e.Nodes),
							e.State)
					}
				}
			})
		},
	}
}

func trashRestore(a *app.App) *cobra.Command {
	var noWait bool
	c := &cobra.Command{
		Use: "restore TRASHED", Short: "Bring an environment back as it was, if its account has room for it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return envDo(cmd.Context(), a, http.MethodPost, envPath(args[0])+"/restore", args[0], nil, noWait, true)
		},
	}
	app.NoWaitFlag(c, &noWait)
	return c
}

func trashEmpty(a *app.App) *cobra.Command {
	var noWait bool
	c := &cobra.Command{
		Use: "empty [TRASHED]", Short: "Erase what is in the trash now, or one environment of it, with all data",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := inTrash(cmd, a)
			if err != nil {
				return err
			}
			if len(args) == 1 {
				for _, e := range list {
					if string(e.Spec.Name) == args[0] {
						return erase(cmd, a, args[0], noWait)
					}
				}
				return operator.NewProblem(operator.NotFound, "environments/"+args[0], "it is not in the trash", "see hnctl env trash list")
			}
			if len(list) == 0 {
				a.Say("the trash is empty")
				return nil
			}
			if err := a.Confirm("delete with all their data: " + strings.ReplaceAll(names(list), "\n", ", ")); err != nil {
				return err
			}
			for _, e := range list {
				name := string(e.Spec.Name)
				if err := envDo(cmd.Context(), a, http.MethodDelete, envPath(name), name, nil, noWait, false); err != nil {
					return err
				}
			}
			return nil
		},
	}
	app.NoWaitFlag(c, &noWait)
	c.Flags().BoolVarP(&a.Yes, "yes", "y", false, "don't ask")
	return c
}
