// Package share is hnctl's commands on environments that one account shares with another, from both sides.
//
// Owns: how an environment is offered, how an offer is accepted or declined, and how shares are shown.
// In: arguments and flags; an app.App.
// Out: requests to the API; tables.
// Never: knows the other nouns' commands, or decides what the orchestrator decides.
package share

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/share"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/tools/hnctl/app"
)

// Group is the commands on what other accounts share with one's own.
func Group(a *app.App) *cobra.Command {
	return app.Group("share", "Environments that other accounts share with one's own, or offer to it", taken(a), accept(a), leave(a))
}

// OfEnvironment is the commands on with whom an environment is shared.
func OfEnvironment(a *app.App) *cobra.Command {
	return app.Group("share", "Share an environment with other accounts", given(a), add(a), remove(a))
}

func sharesPath(env string) string { return "/environments/" + url.PathEscape(env) + "/shares" }

func shown(t *app.Table, list ...share.Share) {
	t.Head("ENVIRONMENT", "OF", "WITH", "ROLE", "STATE", "SINCE", "UNTIL", "NOTE")
	for _, s := range list {
		since := s.Created
		if !s.Since.IsZero() {
			since = s.Since
		}
		t.Row(s.Env, s.Account, s.With, s.Role, s.State, app.Stamp(since), cmp.Or(app.Stamp(s.Until), "-"), s.Idle)
	}
}

func given(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "list ENV", Short: "With which accounts an environment is shared, and to which it is offered", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := app.Items[share.Share](cmd.Context(), a, sharesPath(args[0]))
			if err != nil {
				return err
			}
			names := app.Joined(list, func(s share.Share) string { return string(s.With) })
			return a.Show(list, names, func(t *app.Table) { shown(t, list...) })
		},
	}
}

func add(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "add ENV ACCOUNT ROLE", Short: "Offer an environment to another account, as developer or viewer", Args: cobra.ExactArgs(3),
		Long: "Offer an environment to another account, as developer or viewer. Its owners accept within 7 days, or don't: of that, and\n" +
			"of whether there is such an account, nothing is told. As viewer its people look at the environment, its nodes and its\n" +
			"operations, and read of its variables the names; as developer they also start, stop and restart it, read its logs and run\n" +
			"commands in its nodes, and so read all that these hold, secret variables among it. Nobody of theirs deletes it, changes\n" +
			"what it is made of, or shares it on. What it uses stays on its own account.",
		Example: "  hnctl env share add shop partner developer",
		RunE: func(cmd *cobra.Command, args []string) error {
			var made share.Share
			if err := a.Call(cmd.Context(), http.MethodPost, sharesPath(args[0]),
				share.NewShare{With: wire.Account(args[1]), Role: user.Role(args[2])}, &made); err != nil {
				return err
			}
			a.Say("environment %s is offered to account %s", made.Env, made.With)
			a.Next("an owner of account %s accepts it: hnctl share accept %s", made.With, made.Env)
			return a.Show(made, string(made.With), func(t *app.Table) { shown(t, made) })
		},
	}
}

// Transfer is the command by which an environment is offered to another account as its own.
func Transfer(a *app.App) *cobra.Command {
	var to string
	var cancel bool
	c := &cobra.Command{
		Use: "transfer ENV", Short: "Offer an environment that is stopped to another account, to be its own",
		Args: cobra.ExactArgs(1),
		Long: "Offer an environment that is stopped to another account, to be its own. Its owners accept within 7 days, or don't: of\n" +
			"that, and of whether there is such an account, nothing is told before. At that moment it goes along whole: nodes,\n" +
			"addresses, data and snapshots, host names with their certificates, ports, firewalls, schedules, and secret variables\n" +
			"with their values. What ends is what this account, and those it is shared with, may in it: shares, its group, and\n" +
			"tokens that are for it. Until it is accepted nothing changes, and --cancel takes the offer back.",
		Example: "  hnctl env stop shop\n  hnctl env transfer shop --to partner\n  hnctl env transfer shop --cancel",
		RunE: func(cmd *cobra.Command, args []string) error {
			if cancel == (to != "") {
				return app.WithCode(app.ExitUsage, errors.New("give the account with --to, or --cancel"))
			}
			if cancel {
				return takeBack(cmd, a, args[0])
			}
			if err := a.Confirm("offer environment " + args[0] + " to account " + to + ", to be its own for good"); err != nil {
				return err
			}
			var made share.Share
			if err := a.Call(cmd.Context(), http.MethodPost, "/environments/"+url.PathEscape(args[0])+"/transfer",
				share.NewTransfer{To: wire.Account(to)}, &made); err != nil {
				return err
			}
			a.Say("environment %s is offered to account %s, to be its own", made.Env, made.With)
			a.Next("an owner of account %s accepts it: hnctl share accept %s", made.With, made.Env)
			return a.Show(made, string(made.With), func(t *app.Table) { shown(t, made) })
		},
	}
	c.Flags().StringVar(&to, "to", "", "`ACCOUNT` that it is offered to")
	c.Flags().BoolVar(&cancel, "cancel", false, "take the offer back")
	c.Flags().BoolVarP(&a.Yes, "yes", "y", false, "don't ask")
	return c
}

// takeBack ends the offer by which an environment is to be another account's own.
func takeBack(cmd *cobra.Command, a *app.App, env string) error {
	list, err := app.Items[share.Share](cmd.Context(), a, sharesPath(env))
	if err != nil {
		return err
	}
	i := slices.IndexFunc(list, func(s share.Share) bool { return s.Role == user.Owner })
	if i < 0 {
		return app.WithCode(app.ExitNotFound, fmt.Errorf("environment %s is not offered to another account to be its own; "+
			"see hnctl env share list %s", env, env))
	}
	to := string(list[i].With)
	if err := a.Call(cmd.Context(), http.MethodDelete, sharesPath(env)+"/"+url.PathEscape(to), nil, nil); err != nil {
		return err
	}
	a.Say("environment %s is not offered to account %s any more", env, to)
	return nil
}

func remove(a *app.App) *cobra.Command {
	c := &cobra.Command{
		Use: "remove ENV ACCOUNT", Short: "Share an environment with an account no more, at once, or take the offer back",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.Confirm("end the share of environment " + args[0] + " with account " + args[1]); err != nil {
				return err
			}
			if err := a.Call(cmd.Context(), http.MethodDelete, sharesPath(args[0])+"/"+url.PathEscape(args[1]), nil, nil); err != nil {
				return err
			}
			a.Say("environment %s is not shared with account %s", args[0], args[1])
			return nil
		},
	}
	c.Flags().BoolVarP(&a.Yes, "yes", "y", false, "don't ask")
	return c
}

func taken(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "What other accounts share with one's own, and offer to it", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := app.Items[share.Share](cmd.Context(), a, "/shares")
			if err != nil {
				return err
			}
			names := app.Joined(list, func(s share.Share) string { return string(s.Env) })
			return a.Show(list, names, func(t *app.Table) { shown(t, list...) })
		},
	}
}

func accept(a *app.App) *cobra.Command {
	c := &cobra.Command{
		Use: "accept SHARED", Short: "Accept an environment that another account offers, by its name", Args: cobra.ExactArgs(1),
		Long: "Accept an environment that another account offers, by its name. One that is offered in the role of an owner (a\n" +
			"transfer) is this account's own then, at once: it comes with its data, names and secret variables, is stopped, and\n" +
			"counts for this account's limits, which are asked before anything changes.",
		RunE: func(cmd *cobra.Command, args []string) error {
			var got share.Share
			offers, err := app.Items[share.Share](cmd.Context(), a, "/shares")
			if err != nil {
				return err
			}
			for _, s := range offers {
				if string(s.Env) != args[0] || s.Role != user.Owner {
					continue
				}
				if err := a.Confirm(fmt.Sprintf("take environment %s over from account %s for good", s.Env, s.Account)); err != nil {
					return err
				}
			}
			if err := a.Call(cmd.Context(), http.MethodPost, "/shares/"+url.PathEscape(args[0])+"/accept", nil, &got); err != nil {
				return err
			}
			if got.State == share.Transferred {
				a.Say("environment %s, of account %s before, is account %s's own now", got.Env, got.Account, got.With)
				a.Next("hnctl env start %s", got.Env)
			} else {
				a.Say("account %s shares environment %s as %s", got.Account, got.Env, got.Role)
				a.Next("hnctl env show %s", got.Env)
			}
			return a.Show(got, string(got.Env), func(t *app.Table) { shown(t, got) })
		},
	}
	c.Flags().BoolVarP(&a.Yes, "yes", "y", false, "don't ask")
	return c
}

func leave(a *app.App) *cobra.Command {
	c := &cobra.Command{
		Use: "leave SHARED", Short: "Give back an environment that another account shares, or decline its offer", Args: cobra.ExactArgs(1),
		Long: "Give back an environment that another account shares, by its name, or decline its offer. Of a declined offer that\n" +
			"account is told nothing.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.Confirm("give back environment " + args[0]); err != nil {
				return err
			}
			if err := a.Call(cmd.Context(), http.MethodDelete, "/shares/"+url.PathEscape(args[0]), nil, nil); err != nil {
				return err
			}
			a.Say("environment %s is not shared with this account", args[0])
			return nil
		},
	}
	c.Flags().BoolVarP(&a.Yes, "yes", "y", false, "don't ask")
	return c
}
