package user

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/tools/hnctl/app"
	"hardnode.dev/tools/hnctl/client"
	"hardnode.dev/tools/hnctl/config"
)

// signInAs is the command by which support acts as a user.
func signInAs(a *app.App) *cobra.Command {
	var in user.SignInAs
	var account, name string
	c := &cobra.Command{
		Use: "sign-in-as USER", Short: "Act as a user for an hour at most, for a reason that their account is told",
		Args: cobra.ExactArgs(1),
		Long: "Act as a user, for those who run the cluster: to see what they see, and do what they could, when they ask for help. It\n" +
			"is a context of its own, which ends after an hour, with hnctl logout, or with the token or session that began it. Each\n" +
			"record of what is done has both names, the account's owners and the user get a mail where the cluster sends any, and\n" +
			"the user (hnctl session end) and the owners (hnctl user end-acting) may end it. Nobody acts as one of those who run the\n" +
			"cluster, or changes a user's password, second factor or sessions, shares anything, or makes tokens or members.",
		Example: "  hnctl user sign-in-as ada@acme.example --reason 'ticket 4711'\n  hnctl --context acting env list\n" +
			"  hnctl --context acting logout",
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := a.Contexts()
			if err != nil {
				return err
			}
			at, err := f.Context(a.InForce())
			if err != nil {
				return app.ContextError(err)
			}
			if _, err := f.Context(name); err == nil {
				return app.WithCode(app.ExitConflict, fmt.Errorf("context %q is there already: end it (hnctl --context %s logout && "+
					"hnctl context delete %s), or give another --name", name, name, name))
			}
			in.Account = wire.Account(account)
			var got user.SignedIn
			if err := a.Call(cmd.Context(), http.MethodPost, path(args[0])+"/sign-in-as", in, &got); err != nil {
				return err
			}
			err = f.Make(config.Config{Name: name, Servers: at.Servers, CAPin: at.CAPin, Cluster: at.Cluster})
			if err == nil {
				err = f.SetSession(name, got.Token)
			}
			if err != nil {
				client.Orchestrator(at.Servers, identity.Trust{Pin: at.CAPin, Cluster: at.Cluster}, got.Token).Call(cmd.Context(),
					http.MethodDelete, operator.Prefix+"/sessions/current", nil, nil)
				return app.Unwritten(err)
			}
			a.Say("acting as %s, %s of account %s, in context %s until %s; their account's record says so", got.Mail, got.Role, got.Account,
				name, app.Stamp(got.Ends))
			a.Next("hnctl --context %s env list", name)
			return nil
		},
	}
	c.Flags().StringVar(&in.Reason, "reason", "", "why: the account's record and its owners' mail say it")
	c.Flags().StringVar(&account, "account", "", "the one of their accounts to act in; left out: the first")
	c.Flags().IntVar(&in.Minutes, "minutes", 0, "for how long, 1 to 60; 0 is an hour")
	c.Flags().StringVar(&name, "name", "acting", "name of the context that is made for it")
	c.MarkFlagRequired("reason")
	return c
}

// endActing is the command by which an owner ends that.
func endActing(a *app.App) *cobra.Command {
	var account string
	c := &cobra.Command{
		Use: "end-acting USER --account ACCOUNT", Short: "End what those who run the cluster do as a user in an account",
		Args: cobra.ExactArgs(1),
		Long: "For owners of the account; the user does it with hnctl session end. Whoever acts as the user is refused from then on;\n" +
			"what they began goes on (hnctl op list).",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.Call(cmd.Context(), http.MethodDelete, member(account, args[0])+"/acting", nil, nil); err != nil {
				return err
			}
			a.Say("nobody acts as %s in account %s any more", args[0], account)
			return nil
		},
	}
	accountFlag(c, &account)
	return c
}
