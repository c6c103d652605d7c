package user

import (
	"errors"
	"net/http"
	"slices"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/tools/hnctl/app"
	"hardnode.dev/tools/hnctl/client"
	"hardnode.dev/tools/hnctl/config"
)

// Login is the command that begins a session.
func Login(a *app.App) *cobra.Command {
	var s user.SignIn
	var file, account string
	var to config.Config
	var cluster string
	var browser bool
	c := &cobra.Command{
		Use: "login [MAIL]", Short: "Sign in: a session of a user stands in place of the context's token until hnctl logout",
		Args: cobra.MaximumNArgs(1),
		Long: "Sign in with a mail address, a password and, who has a second factor, a code. The session's token is kept beside hnctl's\n" +
			"configuration, for its owner alone; commands use it in place of the context's token until hnctl logout.\n" +
			"With --oidc the sign-in is that with the cluster's identity provider, in a browser on this machine.\n" +
			"Who has no configuration yet names the cluster: --server, --ca-pin and --cluster, as an admin says them.",
		Example: "  hnctl login ada@acme.example\n  hnctl login ada@acme.example --password-file - < password\n" +
			"  hnctl login --server https://192.0.2.10:7443 --ca-pin sha256:… --cluster cl-… --name acme",
		RunE: func(cmd *cobra.Command, args []string) error {
			to.Cluster = wire.ClusterID(cluster)
			if browser && len(args) > 0 {
				return app.Usage(cmd, "with --oidc the identity provider says who you are: leave %s out", args[0])
			}
			f, at, err := where(cmd, a, to)
			if err != nil {
				return err
			}
			if browser {
				return byBrowser(cmd, a, f, at, wire.Account(account), file)
			}
			if s.Mail = append(args, "")[0]; s.Mail == "" {
				if s.Mail, err = line(cmd, a, "mail address", "it as an argument"); err != nil {
					return err
				}
			}
			got, err := secrets(cmd.Context(), cmd, a, file, password, maybe)
			if err != nil {
				return err
			}
			s.Password, s.Code, s.Account = got[0], got[1], wire.Account(account)
			return begin(cmd, a, f, at, s)
		},
	}
	fl := c.Flags()
	secretsFlag(c, &file, "the password, and the code if there is a second factor; with --oidc the code alone")
	fl.BoolVar(&browser, "oidc", false, "sign in with the cluster's identity provider, in a browser")
	fl.StringVar(&account, "account", "", "the one of your accounts to work in; left out: the first")
	fl.StringArrayVar(&to.Servers, "server", nil,
		"https://host:port of the API of a cluster that hnctl does not know yet; may be given again")
	fl.StringVar(&to.CAPin, "ca-pin", "", "pin of that cluster's root CA (hnctl context show says it)")
	fl.StringVar(&cluster, "cluster", "", "id of that cluster (hnctl context show says it)")
	fl.StringVar(&to.Name, "name", "default", "name of the context that is made for it")
	return c
}

// where is the context to sign in to: the one in force, or a new one for the cluster that the flags name.
func where(cmd *cobra.Command, a *app.App, to config.Config) (f config.File, at config.Config, err error) {
	f, err = a.Contexts()
	if errors.Is(err, config.ErrNone) {
		dir, err := config.Dir(a.ConfigFlag)
		if err != nil {
			return f, at, app.WithCode(app.ExitUsage, err)
		}
		f = config.New(dir)
	} else if err != nil {
		return f, at, err
	}
	set := len(to.Servers) > 0 || to.CAPin != "" || to.Cluster != ""
	if !set && len(f.Contexts) > 0 {
		at, err = f.Context(a.InForce())
		if err != nil {
			return f, at, app.ContextError(err)
		}
		return f, at, nil
	}
	if len(to.Servers) == 0 {
		s, err := line(cmd, a, "server (https://host:port)", "--server")
		if err != nil {
			return f, at, err
		}
		to.Servers = []string{s}
	}
	if to.CAPin == "" {
		if to.CAPin, err = line(cmd, a, "pin of the root CA (sha256:…)", "--ca-pin"); err != nil {
			return f, at, err
		}
	}
	if to.Cluster == "" {
		s, err := line(cmd, a, "id of the cluster (cl-…)", "--cluster")
		if err != nil {
			return f, at, err
		}
		to.Cluster = wire.ClusterID(s)
	}
	if err := f.Make(to); err != nil {
		return f, at, app.WithCode(app.ExitUsage, err)
	}
	return f, f.Contexts[len(f.Contexts)-1], nil
}

// begin begins a session by a password.
func begin(cmd *cobra.Command, a *app.App, f config.File, at config.Config, s user.SignIn) error {
	ctx, cancel := a.Limit(cmd.Context())
	defer cancel()
	trust := identity.Trust{Pin: at.CAPin, Cluster: at.Cluster}
	var in user.SignedIn
	if err := client.Orchestrator(at.Servers, trust, "").Call(ctx, http.MethodPost, operator.Prefix+"/sessions", s, &in); err != nil {
		return err
	}
	return enter(cmd, a, f, at, in)
}

// enter keeps a session that was begun; the one that it takes the place of ends.
func enter(cmd *cobra.Command, a *app.App, f config.File, at config.Config, in user.SignedIn) error {
	ctx, cancel := a.Limit(cmd.Context())
	defer cancel()
	trust := identity.Trust{Pin: at.CAPin, Cluster: at.Cluster}
	old, _, _ := at.Token(at.Session) // there may be none
	if err := f.SetSession(at.Name, in.Token); err != nil {
		client.Orchestrator(at.Servers, trust, in.Token).Call(ctx, http.MethodDelete, operator.Prefix+"/sessions/current", nil, nil)
		return app.Unwritten(err)
	}
	if at.Session != "" && old != "" { // it may have ended by itself
		client.Orchestrator(at.Servers, trust, old).Call(ctx, http.MethodDelete, operator.Prefix+"/sessions/current", nil, nil)
	}
	a.Say("signed in to %s as %s, %s of account %s, until %s at the latest", at.Name, in.Mail, in.Role, in.Account, app.Stamp(in.Ends))
	if f.Current != at.Name && a.InForce() != at.Name {
		a.Say("commands work with another context: hnctl context use %s", at.Name)
	}
	return nil
}

// Logout is the command that ends a session.
func Logout(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "logout", Short: "Sign out: end the session that hnctl login began; the context's token is in force again, if it has one",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := a.Contexts()
			if err != nil {
				return err
			}
			at, err := f.Context(a.InForce())
			if err != nil {
				return app.ContextError(err)
			}
			if at.Session == "" {
				return app.WithCode(app.ExitConflict, errors.New("nobody is signed in to "+at.Name+"; hnctl login does"))
			}
			err = a.Call(cmd.Context(), http.MethodDelete, "/sessions/current", nil, nil)
			var p *operator.Problem
			ended := err == nil || errors.As(err, &p) && slices.Contains([]int{http.StatusUnauthorized, http.StatusNotFound}, p.Status)
			if err := f.EndSession(at.Name); err != nil {
				return app.Unwritten(err)
			}
			if !ended {
				a.Say("the session is forgotten here, but the cluster did not hear of it: it ends there after 8 hours without a request")
				return err
			}
			a.Say("signed out of %s", at.Name)
			return nil
		},
	}
}

// Whoami is the command that says who is signed in.
func Whoami(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "whoami", Short: "Who is signed in, in which accounts", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			u, err := app.Get[user.User](cmd.Context(), a, "/user")
			if err != nil {
				return err
			}
			return told(a, u)
		},
	}
}
