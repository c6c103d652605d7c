// Package token is hnctl's commands on API tokens.
//
// Owns: how a token is made, shown once, listed and revoked.
// In: arguments and flags; an app.App.
// Out: requests to the API; tables.
// Never: knows the other nouns' commands, or decides what the orchestrator decides.
package token

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

// Group is the commands on API tokens.
func Group(a *app.App) *cobra.Command {
	return app.Group("token", "API tokens", tokenList(a), tokenCreate(a), tokenRevoke(a))
}

func tokenList(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "API tokens", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := app.Items[operator.Token](cmd.Context(), a, "/tokens")
			if err != nil {
				return err
			}
			return a.Show(list, app.Joined(list, func(t operator.Token) string { return t.ID }), func(t *app.Table) {
				t.Head("ID", "NAME", "ACCOUNT", "SCOPES", "FOR", "MADE BY", "CREATED", "EXPIRES", "API LIMIT", "")
				for _, x := range list {
					t.Row(x.ID, x.Name, x.Account.Owner(), strings.Join(x.Scopes, ","), only(x.Environments), maker(x.Maker),
						app.Stamp(x.Created), app.Stamp(x.Expires), x.Rate.Short(), state(x))
				}
			})
		},
	}
}

// maker says who made a token.
func maker(m *operator.TokenMaker) string {
	switch {
	case m == nil:
		return "not known"
	case m.Kind == operator.BySetup:
		return "the cluster's setup"
	case m.Kind == operator.ByCluster:
		return "who runs the cluster"
	case m.Kind == operator.ByService:
		return "service " + m.Name
	case m.Kind == operator.ByToken:
		return "token " + m.Name
	}
	return m.Name
}

// state says that a token has ended, or may do less than its scopes say, and why.
func state(t operator.Token) string {
	switch {
	case !t.Ended.IsZero():
		return "ended " + app.Stamp(t.Ended) + ": " + t.Reason
	case t.Reason != "":
		return "bounded: " + t.Reason
	}
	return ""
}

// only says which environments a token is for.
func only(envs []wire.EnvName) string {
	if len(envs) == 0 {
		return "all"
	}
	return wire.JoinEnvNames(envs, ",")
}

func tokenCreate(a *app.App) *cobra.Command {
	var scopes []string
	var days int
	var of string
	var envs []string
	var rate, service string
	c := &cobra.Command{
		Use: "create NAME --scope SCOPE", Short: "Make an API token; its text is printed this once", Args: cobra.ExactArgs(1),
		Long: "Make an API token; its text is printed this once. One that a user makes never does more than their role allows, and ends\n" +
			"when they leave the account; so does what is made with it. One that is made with the admin token ends with nobody.",
		Example: "  hnctl token create ci --scope read --scope write --days 90 > ci.token",
		RunE: func(cmd *cobra.Command, args []string) error {
			n := operator.NewToken{Name: args[0], Scopes: scopes, Days: days, Environments: names(envs)}
			if rate != "" {
				r, err := account.ParseAPIRate(rate)
				if err != nil {
					return fmt.Errorf("--api-rate: %w", err)
				}
				n.Rate = &r
			}
			var made operator.MadeToken
			path := "/tokens"
			switch {
			case service != "" && of != "":
				return app.Usage(cmd, "a token of a service is of its account: leave --account out, and name another account's "+
					"service by id")
			case service != "":
				path = "/services/" + url.PathEscape(service) + "/tokens"
			case of != "":
				path = "/accounts/" + url.PathEscape(of) + "/tokens"
			}
			if err := a.Call(cmd.Context(), http.MethodPost, path, n, &made); err != nil {
				return err
			}
			a.Say("token %s (%s) with scopes %s; keep it private, it is not shown again", made.ID, made.Name,
				strings.Join(made.Scopes, ", "))
			if a.Output == "table" {
				_, err := fmt.Fprintln(a.Out, made.Text)
				return err
			}
			return a.Show(made, made.ID, nil)
		},
	}
	c.Flags().StringArrayVar(&scopes, "scope", nil, "read, write, exec, patch (rollouts and orders to hosts' systems), "+
		"platform (exec and logs of the platform's own containers, the hosts' own logs), metrics or admin; may be given again")
	c.Flags().IntVar(&days, "days", 0, "days it is valid; 0 is until revoked")
	c.Flags().StringArrayVar(&envs, "env", nil, "an environment that it is for, with its nodes and operations, and nothing else is; "+
		"may be given again; left out: all that its account sees")
	c.Flags().StringVar(&of, "account", "", "the account whose it is; left out: one's own")
	c.Flags().StringVar(&rate, "api-rate", "", "how often it may ask the API, as requests a second and at once, such as 5/50; left out: "+
		"what its account's group says, which is the most it can have")
	c.Flags().StringVar(&service, "service", "", "the service whose it is (hnctl user service list), by name or id: it ends with that")
	c.MarkFlagRequired("scope")
	return c
}

// names are environments by their names; nil of none.
func names(envs []string) (out []wire.EnvName) {
	for _, e := range envs {
		out = append(out, wire.EnvName(e))
	}
	return out
}

func tokenRevoke(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "revoke TOKEN", Short: "Revoke an API token at once", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.Call(cmd.Context(), http.MethodDelete, "/tokens/"+url.PathEscape(args[0]), nil, nil); err != nil {
				return err
			}
			a.Say("token %s is revoked", args[0])
			return nil
		},
	}
}
