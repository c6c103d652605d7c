// Package jls is hnctl's commands on a licence server of one's own.
//
// Owns: how its licences and installations are listed, issued and revoked.
// In: arguments and flags; an app.App.
// Out: requests to the licence server; tables.
// Never: knows the other nouns' commands, or decides what the orchestrator decides.
package jls

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/tools/hnctl/app"
	"hardnode.dev/tools/hnctl/client"
)

// Group is the commands on a licence server of your own.
func Group(a *app.App) *cobra.Command {
	return app.Group("jls", "A licence server of your own",
		app.Group("licence", "Licences", jlsLicenceList(a), jlsLicenceIssue(a), jlsLicenceRevoke(a)),
		app.Group("installation", "Installations", jlsInstallationList(a), jlsInstallationRelease(a)), releases(a), jlsAudit(a))
}

// Call asks the configured licence server, as its administrator.
func Call(ctx context.Context, a *app.App, method, path string, in, out any) error {
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	if cfg.JLS == nil {
		return app.WithCode(app.ExitUsage,
			errors.New("the configuration names no jls: add server, pin and tokenFile of a licence server of your own"))
	}
	token, err := a.Token(cfg, cfg.JLS.TokenFile)
	if err != nil {
		return err
	}
	ctx, cancel := a.Limit(ctx)
	defer cancel()
	return client.Pinned(cfg.JLS.Server, cfg.JLS.Pin, token).Call(ctx, method, path, in, out)
}

func jlsLicenceList(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Licences the server knows", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list []jls.License
			if err := Call(cmd.Context(), a, http.MethodGet, jls.PathLicenses, nil, &list); err != nil {
				return err
			}
			return a.Show(list, app.Joined(list, func(l jls.License) string { return l.ID }), func(t *app.Table) {
				licenceTable(t, list...)
			})
		},
	}
}

func licenceTable(t *app.Table, list ...jls.License) {
	t.Head("LICENCE", "CUSTOMER", "HOSTS", "ISSUED", "EXPIRES", "REVOKED", "INSTALLATION")
	for _, l := range list {
		t.Row(l.ID, l.Customer, l.Hosts, app.Stamp(l.Issued), app.Stamp(l.Expires), app.Stamp(l.Revoked), l.Installation)
	}
}

func jlsLicenceIssue(a *app.App) *cobra.Command {
	n := jls.NewLicense{}
	c := &cobra.Command{
		Use: "issue --customer NAME --hosts N", Short: "Issue a licence; its token is printed", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var got jls.IssuedLicense
			if err := Call(cmd.Context(), a, http.MethodPost, jls.PathLicenses, n, &got); err != nil {
				return err
			}
			a.Say("licence %s for %s: %d hosts until %s", got.ID, got.Customer, got.Hosts, got.Expires.Format(time.DateOnly))
			if a.Output == "table" {
				_, err := fmt.Fprintln(a.Out, got.Token)
				return err
			}
			return a.Show(got, got.ID, nil)
		},
	}
	c.Flags().StringVar(&n.Customer, "customer", "", "who the licence is for")
	c.Flags().IntVar(&n.Hosts, "hosts", 0, "user hosts it allows")
	c.Flags().IntVar(&n.Days, "days", 365, "how long it lasts")
	c.MarkFlagRequired("customer")
	c.MarkFlagRequired("hosts")
	return c
}

func jlsLicenceRevoke(a *app.App) *cobra.Command {
	c := &cobra.Command{
		Use: "revoke LICENCE", Short: "Revoke a licence: its lease is not renewed; nothing stops at once", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.Confirm("revoke licence " + args[0]); err != nil {
				return err
			}
			var l jls.License
			if err := Call(cmd.Context(), a, http.MethodPost, jls.PathLicenses+"/"+url.PathEscape(args[0])+"/revoke", nil, &l); err != nil {
				return err
			}
			return a.Show(l, l.ID, func(t *app.Table) { licenceTable(t, l) })
		},
	}
	c.Flags().BoolVarP(&a.Yes, "yes", "y", false, "don't ask")
	return c
}

func jlsInstallationList(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Activated installations", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list []jls.Installation
			if err := Call(cmd.Context(), a, http.MethodGet, jls.PathInstallations, nil, &list); err != nil {
				return err
			}
			return a.Show(list, app.Joined(list, func(i jls.Installation) string { return string(i.ID) }), func(t *app.Table) {
				installationTable(t, list...)
			})
		},
	}
}

func installationTable(t *app.Table, list ...jls.Installation) {
	t.Head("INSTALLATION", "CLUSTER", "CUSTOMER", "LICENCE", "HOSTS", "SEEN", "LEASE UNTIL", "RELEASED")
	for _, i := range list {
		t.Row(i.ID, fmt.Sprintf("%s (%s)", i.Name, i.Cluster), i.Customer, i.License, fmt.Sprintf("%d/%d", len(i.Hosts), i.Allowed),
			app.Ago(i.Seen, time.Now()), app.Stamp(i.Lease), app.Stamp(i.Released))
	}
}

func jlsInstallationRelease(a *app.App) *cobra.Command {
	c := &cobra.Command{
		Use: "release INSTALLATION", Short: "Free an installation's licence for another one", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.Confirm("release the licence of " + args[0]); err != nil {
				return err
			}
			var i jls.Installation
			if err := Call(cmd.Context(), a, http.MethodPost, jls.PathInstallations+"/"+url.PathEscape(args[0])+"/release", nil,
				&i); err != nil {
				return err
			}
			return a.Show(i, string(i.ID), func(t *app.Table) { installationTable(t, i) })
		},
	}
	c.Flags().BoolVarP(&a.Yes, "yes", "y", false, "don't ask")
	return c
}

func jlsAudit(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "audit", Short: "Who changed what, newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list []jls.Audit
			if err := Call(cmd.Context(), a, http.MethodGet, jls.PathAudit, nil, &list); err != nil {
				return err
			}
			return a.Show(list, app.Joined(list, func(x jls.Audit) string { return x.Object }), func(t *app.Table) {
				t.Head("AT", "WHO", "WHAT", "OBJECT", "RESULT")
				for _, x := range list {
					t.Row(app.Stamp(x.At), x.Who, x.What, x.Object, x.Result)
				}
			})
		},
	}
}
