package user

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/tools/hnctl/app"
)

// entry is a user, or somebody who was invited and has not come yet.
type entry struct {
	user.User
	Invited *user.Invite `json:"invited,omitempty"`
}

// entries are the users of one's account and who was invited into it, by mail address.
func entries(cmd *cobra.Command, a *app.App) ([]entry, error) {
	items, err := app.Items[user.User](cmd.Context(), a, "/users")
	if err != nil {
		return nil, err
	}
	open, err := app.Items[user.Invite](cmd.Context(), a, "/invites")
	var p *operator.Problem
	if err != nil && !(errors.As(err, &p) && p.Code == operator.NotFound) { // an orchestrator before 2026-11-28 has none
		return nil, err
	}
	out := make([]entry, 0, len(items)+len(open))
	for _, u := range items {
		out = append(out, entry{User: u})
	}
	for _, i := range open {
		out = append(out, entry{user.User{Mail: i.Mail, Created: i.Created, By: i.By,
			Members: []user.Membership{{Account: i.Account, Role: i.Role}}}, &i})
	}
	slices.SortStableFunc(out, func(a, b entry) int { return strings.Compare(a.Mail, b.Mail) })
	return out, nil
}

// last says when somebody signed in last, or that they were invited.
func (e entry) last() string {
	if e.Invited != nil {
		return "invited by " + e.By + ", until " + app.Stamp(e.Invited.Until)
	}
	return app.Stamp(e.Last)
}

func invite(a *app.App) *cobra.Command {
	var n user.NewInvite
	var role, account string
	c := &cobra.Command{
		Use: "invite MAIL --role ROLE", Args: cobra.ExactArgs(1),
		Short: "Invite a person into an account, by a link that they get by mail",
		Long: "Invite a person into an account. They get a link by mail, which is good once, for 7 days, and ends an earlier one.\n" +
			"Where the cluster sends no mail (hnctl cluster mail show) the link is printed, to be handed over in person.",
		Example: "  hnctl user invite ada@acme.example --role developer",
		RunE: func(cmd *cobra.Command, args []string) error {
			n.Mail, n.Role, n.Account = args[0], user.Role(role), wire.Account(account)
			var made user.MadeInvite
			if err := a.Call(cmd.Context(), http.MethodPost, "/invites", n, &made); err != nil {
				return err
			}
			a.Say("%s is invited into account %s as %s, until %s", made.Mail, made.Account, made.Role, app.Stamp(made.Until))
			return handedOver(a, made, made.Mail, made.Mailed, made.Link)
		},
	}
	c.Flags().StringVar(&role, "role", "", "owner, developer or viewer")
	c.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]string{"owner", "developer", "viewer"},
		cobra.ShellCompDirectiveNoFileComp))
	c.MarkFlagRequired("role")
	c.Flags().StringVar(&account, "account", "", "the account; left out: one's own")
	return c
}

// handedOver says how a person gets a link, and prints it where that is up to who made it.
func handedOver(a *app.App, made any, to string, mailed bool, link secret.Text) error {
	if mailed {
		a.Say("a mail with the link is on its way to them")
		if a.Output == "table" {
			return nil
		}
		return a.Show(made, to, nil)
	}
	c, err := a.Config()
	if err != nil {
		return err
	}
	a.Say("the cluster sends no mail: hand this link over to %s in person, and to nobody else; whoever opens it acts as them. "+
		"It is not shown again", to)
	if a.Output == "table" {
		_, err := a.Out.Write([]byte(strings.TrimSuffix(c.Servers[0], "/") + link.Reveal() + "\n"))
		return err
	}
	return a.Show(made, to, nil)
}

func uninvite(a *app.App) *cobra.Command {
	var account string
	c := &cobra.Command{
		Use: "uninvite MAIL", Short: "End an invite that was not accepted yet: its link is not good any more", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			open, err := app.Items[user.Invite](cmd.Context(), a, "/invites")
			if err != nil {
				return err
			}
			open = slices.DeleteFunc(open, func(i user.Invite) bool {
				return i.Mail != user.Normal(args[0]) || account != "" && string(i.Account) != account
			})
			switch len(open) {
			case 0:
				return app.WithCode(app.ExitNotFound, errors.New("nobody of that mail address is invited; see hnctl user list"))
			case 1:
			default:
				return app.Usage(cmd, "%s is invited into %d accounts: give --account", args[0], len(open))
			}
			if err := a.Call(cmd.Context(), http.MethodDelete, "/invites/"+url.PathEscape(open[0].ID), nil, nil); err != nil {
				return err
			}
			a.Say("%s is not invited into account %s any more", open[0].Mail, open[0].Account)
			return nil
		},
	}
	c.Flags().StringVar(&account, "account", "", "the account, where there are invites into several")
	return c
}

func reset(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "reset USER", Args: cobra.ExactArgs(1),
		Short: "Have a user choose a new password, by a link that they get by mail; theirs is in force until they have",
		Long: "Have a user choose a new password. They get a link by mail, which is good once, for an hour. All their sessions end when\n" +
			"they use it; a second factor stays (hnctl factor reset takes it away). Where the cluster sends no mail the link is\n" +
			"printed, to be handed over in person.",
		RunE: func(cmd *cobra.Command, args []string) error {
			var made user.PasswordReset
			if err := a.Call(cmd.Context(), http.MethodPost, path(args[0])+"/reset", nil, &made); err != nil {
				return err
			}
			a.Say("%s may choose a new password by a link, until %s", made.Mail, app.Stamp(made.Until))
			return handedOver(a, made, made.Mail, made.Mailed, made.Link)
		},
	}
}
