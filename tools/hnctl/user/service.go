package user

import (
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/tools/hnctl/app"
)

// services is the commands on services.
func services(a *app.App) *cobra.Command {
	return app.Group("service", "Services: users of an account that are no people, and have tokens alone", serviceList(a), serviceAdd(a),
		serviceRemove(a))
}

func serviceList(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "The services of one's account; of all accounts for those who run the cluster", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := app.Items[user.Service](cmd.Context(), a, "/services")
			if err != nil {
				return err
			}
			return a.Show(list, app.Joined(list, func(s user.Service) string { return s.Name }), func(t *app.Table) {
				shownServices(t, list...)
			})
		},
	}
}

func shownServices(t *app.Table, list ...user.Service) {
	t.Head("NAME", "ACCOUNT", "ROLE", "TOKENS", "CREATED", "BY", "ID")
	for _, s := range list {
		t.Row(s.Name, s.Account, s.Role, s.Tokens, app.Stamp(s.Created), s.By, s.ID)
	}
}

func serviceAdd(a *app.App) *cobra.Command {
	var account string
	c := &cobra.Command{
		Use: "add NAME ROLE", Args: cobra.ExactArgs(2),
		Short: "Add a service to an account, as owner, developer or viewer",
		Long: "Add a service to an account, as owner, developer or viewer. It is no person: it has no password and no sessions, and its\n" +
			"tokens end with it, not with who made them: hnctl token create NAME --service SERVICE.",
		Example: "  hnctl user service add ci developer && hnctl token create deploy --service ci --scope write > ci.token",
		RunE: func(cmd *cobra.Command, args []string) error {
			var made user.Service
			if err := a.Call(cmd.Context(), http.MethodPost, "/services", user.NewService{Name: args[0], Role: user.Role(args[1]),
				Account: wire.Account(account)}, &made); err != nil {
				return err
			}
			a.Say("service %s is %s of account %s", made.Name, made.Role, made.Account)
			return a.Show(made, made.Name, func(t *app.Table) { shownServices(t, made) })
		},
	}
	c.Flags().StringVar(&account, "account", "", "the account; left out: one's own")
	return c
}

func serviceRemove(a *app.App) *cobra.Command {
	c := &cobra.Command{
		Use: "remove SERVICE", Short: "Remove a service, by name, or by id one of another account; its tokens end at once",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.Confirm("remove service " + args[0] + " with all its tokens"); err != nil {
				return err
			}
			if err := a.Call(cmd.Context(), http.MethodDelete, "/services/"+url.PathEscape(args[0]), nil, nil); err != nil {
				return err
			}
			a.Say("service %s is removed", args[0])
			return nil
		},
	}
	c.Flags().BoolVarP(&a.Yes, "yes", "y", false, "don't ask")
	return c
}
