// Package user is hnctl's commands on people: who signs in, their sessions and second factors.
//
// Owns: how users sign in and out, are made, listed, given roles and removed; how passwords and codes are asked for.
// In: arguments and flags, secrets from a terminal or a file; an app.App.
// Out: requests to the API; tables; the token of a session in hnctl's configuration.
// Never: takes a password or a code from a flag or an argument, knows the other nouns' commands, or decides what the orchestrator decides.
package user

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/tools/hnctl/app"
)

// Group is the commands on users.
func Group(a *app.App) *cobra.Command {
	return app.Group("user", "Users: the people who sign in, and their roles in accounts", list(a), show(a), add(a), role(a), leave(a),
		gone(a), rename(a), newPassword(a), invite(a), uninvite(a), reset(a), services(a), signInAs(a), endActing(a))
}

func path(who string) string { return "/users/" + url.PathEscape(who) }

func member(account, who string) string { return "/accounts/" + url.PathEscape(account) + path(who) }

// roles are the accounts of a user with the role in each.
func roles(u user.User) string {
	out := make([]string, len(u.Members))
	for i, m := range u.Members {
		out[i] = string(m.Account) + ":" + string(m.Role)
	}
	return strings.Join(out, ",")
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func list(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "The users of one's account and who is invited, by mail address", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			items, err := entries(cmd, a)
			if err != nil {
				return err
			}
			return a.Show(items, app.Joined(items, func(u entry) string { return u.Mail }), func(t *app.Table) {
				t.Head("MAIL", "NAME", "ROLES", "SECOND FACTOR", "SESSIONS", "LAST SIGN-IN")
				for _, u := range items {
					t.Row(u.Mail, u.Name, roles(u.User), yes(u.SecondFactor), u.Sessions, u.last())
				}
			})
		},
	}
}

func show(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "show USER", Short: "One user, by mail address or id", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			u, err := app.Get[user.User](cmd.Context(), a, path(args[0]))
			if err != nil {
				return err
			}
			return told(a, u)
		},
	}
}

// told shows one user.
func told(a *app.App, u user.User) error {
	return a.Show(u, u.Mail, func(t *app.Table) {
		t.Fields("user", u.Mail, "id", u.ID, "name", u.Name, "second factor", yes(u.SecondFactor), "recovery codes", left(u),
			"sessions", u.Sessions, "last sign-in", app.Stamp(u.Last), "created", app.Stamp(u.Created), "by", u.By)
		if i := u.Identity; i != nil {
			t.Fields("signs in with", i.Issuer, "known there as", i.Mail, "since", app.Stamp(i.Since))
		}
		if u.Passkeys > 0 {
			t.Fields("passkeys", u.Passkeys)
		}
		if x := u.Acting; x != nil {
			t.Fields("acted as by", x.By, "reason", x.Reason, "until", app.Stamp(x.Until))
		}
		t.Gap()
		t.Head("ACCOUNT", "ROLE", "SINCE", "BY")
		for _, m := range u.Members {
			t.Row(m.Account, m.Role, app.Stamp(m.Since), m.By)
		}
	})
}

// left says how many recovery codes a user has, "" for who has no second factor.
func left(u user.User) string {
	if !u.SecondFactor {
		return ""
	}
	return fmt.Sprintf("%d left", u.Recovery)
}

// accountFlag adds the account that a command is about.
func accountFlag(c *cobra.Command, account *string) {
	c.Flags().StringVar(account, "account", "", "the account")
	c.MarkFlagRequired("account")
}

func add(a *app.App) *cobra.Command {
	var n user.NewUser
	var account, file string
	c := &cobra.Command{
		Use: "add MAIL ROLE --account ACCOUNT", Args: cobra.ExactArgs(2),
		Short:   "Make a user with a first password, who is owner, developer or viewer of an account; for those who run the cluster",
		Example: "  hnctl user add ada@acme.example owner --account acme",
		RunE: func(cmd *cobra.Command, args []string) error {
			got, err := secrets(cmd.Context(), cmd, a, file, fresh("their first password"))
			if err != nil {
				return err
			}
			n.Mail, n.Role, n.Account, n.Password = args[0], user.Role(args[1]), wire.Account(account), got[0]
			var made user.User
			if err := a.Call(cmd.Context(), http.MethodPost, "/users", n, &made); err != nil {
				return err
			}
			a.Say("user %s is made; tell them the password, they change it with: hnctl user password", made.Mail)
			return told(a, made)
		},
	}
	accountFlag(c, &account)
	c.Flags().StringVar(&n.Name, "name", "", "their name")
	secretsFlag(c, &file, "their first password")
	return c
}

func role(a *app.App) *cobra.Command {
	var account string
	c := &cobra.Command{
		Use: "role USER ROLE --account ACCOUNT", Args: cobra.ExactArgs(2),
		Short: "Give a user of an account another role (owner, developer or viewer); those who run the cluster also put others in",
		RunE: func(cmd *cobra.Command, args []string) error {
			var u user.User
			if err := a.Call(cmd.Context(), http.MethodPut, member(account, args[0]), user.SetMember{Role: user.Role(args[1])},
				&u); err != nil {
				return err
			}
			a.Say("%s is %s of account %s", u.Mail, args[1], account)
			return told(a, u)
		},
	}
	accountFlag(c, &account)
	return c
}

func leave(a *app.App) *cobra.Command {
	var account string
	c := &cobra.Command{
		Use: "remove USER --account ACCOUNT", Short: "Take a user out of an account; their sessions in it end", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.Call(cmd.Context(), http.MethodDelete, member(account, args[0]), nil, nil); err != nil {
				return err
			}
			a.Say("%s is not in account %s any more", args[0], account)
			return nil
		},
	}
	accountFlag(c, &account)
	return c
}

func gone(a *app.App) *cobra.Command {
	c := &cobra.Command{
		Use: "delete USER", Short: "Delete a user with all their sessions; for those who run the cluster", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.Confirm("delete user " + args[0]); err != nil {
				return err
			}
			if err := a.Call(cmd.Context(), http.MethodDelete, path(args[0]), nil, nil); err != nil {
				return err
			}
			a.Say("user %s is deleted", args[0])
			return nil
		},
	}
	c.Flags().BoolVarP(&a.Yes, "yes", "y", false, "don't ask")
	return c
}

func rename(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "rename NAME", Short: "Change one's own name", Args: cobra.ExactArgs(1),
		Example: "  hnctl user rename 'Ada Lovelace'",
		RunE: func(cmd *cobra.Command, args []string) error {
			var u user.User
			if err := a.Call(cmd.Context(), http.MethodPatch, "/user", user.ChangeSelf{Name: &args[0]}, &u); err != nil {
				return err
			}
			return told(a, u)
		},
	}
}

func newPassword(a *app.App) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "password", Short: "Change one's own password; all sessions end, also this one", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			got, err := secrets(cmd.Context(), cmd, a, file, question{prompt: "password of now"}, fresh("new password"), maybe)
			if err != nil {
				return err
			}
			if err := a.Call(cmd.Context(), http.MethodPut, "/user/password", user.ChangePassword{Old: got[0], New: got[1], Code: got[2]},
				nil); err != nil {
				return err
			}
			a.Say("the password is changed and all your sessions have ended; sign in again: hnctl login")
			return nil
		},
	}
	secretsFlag(c, &file, "the password of now, the new one, and the code if there is a second factor")
	return c
}
