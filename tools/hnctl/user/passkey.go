package user

import (
	"cmp"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/user"
	"hardnode.dev/tools/hnctl/app"
)

// Passkeys is the commands on what users sign in with at the panel in place of their password and code.
func Passkeys(a *app.App) *cobra.Command {
	return app.Group("passkey", "Passkeys: sign-in at the panel without a password; a user adds theirs there", passkeyList(a),
		passkeyRename(a), passkeyRemove(a), passkeyReset(a))
}

func passkeyPath(id string) string { return "/user/passkeys/" + url.PathEscape(id) }

func passkeyList(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "One's own passkeys, by name", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			items, err := app.Items[user.Passkey](cmd.Context(), a, "/user/passkeys")
			if err != nil {
				return err
			}
			return a.Show(items, app.Joined(items, func(p user.Passkey) string { return p.ID }), func(t *app.Table) {
				t.Head("PASSKEY", "NAME", "FOR", "SYNCED", "MODEL", "ADDED", "LAST SIGN-IN")
				for _, p := range items {
					t.Row(p.ID, p.Name, p.Domain, yes(p.Synced), cmp.Or(p.Model, "–"), app.Stamp(p.Made), app.Stamp(p.Last))
				}
			})
		},
	}
}

func passkeyRename(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "rename PASSKEY NAME", Short: "Give one of one's own passkeys another name", Args: cobra.ExactArgs(2),
		Example: "  hnctl passkey rename pk-1f2e3d4c 'old laptop'",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.Call(cmd.Context(), http.MethodPatch, passkeyPath(args[0]), user.RenamePasskey{Name: args[1]}, nil); err != nil {
				return err
			}
			a.Say("passkey %s is called %q", args[0], args[1])
			return nil
		},
	}
}

func passkeyRemove(a *app.App) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "remove PASSKEY", Short: "Sign in with one of one's own passkeys no more", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			got, err := secrets(cmd.Context(), cmd, a, file, password, maybe)
			if err != nil {
				return err
			}
			if err := a.Call(cmd.Context(), http.MethodPost, passkeyPath(args[0])+"/remove",
				user.RemovePasskey{Password: got[0], Code: got[1]}, nil); err != nil {
				return err
			}
			a.Say("passkey %s signs you in no more", args[0])
			return nil
		},
	}
	secretsFlag(c, &file, "the password, and the code if there is a second factor")
	return c
}

func passkeyReset(a *app.App) *cobra.Command {
	c := &cobra.Command{
		Use: "reset USER", Args: cobra.ExactArgs(1),
		Short: "Take away all passkeys of a user who lost them, and end their sessions; for those who run the cluster",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.Confirm("take away all passkeys of " + args[0]); err != nil {
				return err
			}
			if err := a.Call(cmd.Context(), http.MethodDelete, path(args[0])+"/passkeys", nil, nil); err != nil {
				return err
			}
			a.Say("%s has no passkeys any more; their sessions have ended", args[0])
			return nil
		},
	}
	c.Flags().BoolVarP(&a.Yes, "yes", "y", false, "don't ask")
	return c
}
