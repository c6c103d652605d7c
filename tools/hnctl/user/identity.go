package user

import (
	"net/http"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/user"
	"hardnode.dev/tools/hnctl/app"
)

// Identities is the commands on whom the identity provider knows users as.
func Identities(a *app.App) *cobra.Command {
	return app.Group("identity", "Identities: sign-in with the identity provider; a user binds theirs at the panel", identityRemove(a),
		identityReset(a))
}

func identityRemove(a *app.App) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "remove", Short: "Sign in with the identity provider no more", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			got, err := secrets(cmd.Context(), cmd, a, file, password, maybe)
			if err != nil {
				return err
			}
			if err := a.Call(cmd.Context(), http.MethodPost, "/user/identity/remove", user.EndIdentity{Password: got[0], Code: got[1]},
				nil); err != nil {
				return err
			}
			a.Say("you sign in with your password alone")
			return nil
		},
	}
	secretsFlag(c, &file, "the password, and the code if there is a second factor")
	return c
}

func identityReset(a *app.App) *cobra.Command {
	c := &cobra.Command{
		Use: "reset USER", Args: cobra.ExactArgs(1),
		Short: "Have a user sign in with the identity provider no more, and end their sessions; for those who run the cluster",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.Confirm("have " + args[0] + " sign in with the identity provider no more"); err != nil {
				return err
			}
			if err := a.Call(cmd.Context(), http.MethodDelete, path(args[0])+"/identity", nil, nil); err != nil {
				return err
			}
			a.Say("%s signs in with their password; their sessions have ended", args[0])
			return nil
		},
	}
	c.Flags().BoolVarP(&a.Yes, "yes", "y", false, "don't ask")
	return c
}
