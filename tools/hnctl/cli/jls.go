package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/tools/hnctl/client"
)

// jlsCall asks the configured licence server, as its administrator.
func (a *app) jlsCall(ctx context.Context, method, path string, in, out any) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	if cfg.JLS == nil {
		return withCode(exitUsage, errors.New("the configuration names no jls: add server, pin and tokenFile of a licence server of your own"))
	}
	token, err := a.token(cfg, cfg.JLS.TokenFile)
	if err != nil {
		return err
	}
	ctx, cancel := a.limit(ctx)
	defer cancel()
	return client.Pinned(cfg.JLS.Server, cfg.JLS.Pin, token).Call(ctx, method, path, in, out)
}

func (a *app) jlsLicenceList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Licences the server knows", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list []jls.License
			if err := a.jlsCall(cmd.Context(), http.MethodGet, jls.PathLicenses, nil, &list); err != nil {
				return err
			}
			return a.show(list, joined(list, func(l jls.License) string { return l.ID }), func(t *table) { licenceTable(t, list...) })
		},
	}
}

func licenceTable(t *table, list ...jls.License) {
	t.head("LICENCE", "CUSTOMER", "HOSTS", "ISSUED", "EXPIRES", "REVOKED", "INSTALLATION")
	for _, l := range list {
		t.row(l.ID, l.Customer, l.Hosts, stamp(l.Issued), stamp(l.Expires), stamp(l.Revoked), l.Installation)
	}
}

func (a *app) jlsLicenceIssue() *cobra.Command {
	n := jls.NewLicense{}
	c := &cobra.Command{
		Use: "issue --customer NAME --hosts N", Short: "Issue a licence; its token is printed", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var got jls.IssuedLicense
			if err := a.jlsCall(cmd.Context(), http.MethodPost, jls.PathLicenses, n, &got); err != nil {
				return err
			}
			a.say("licence %s for %s: %d hosts until %s", got.ID, got.Customer, got.Hosts, got.Expires.Format(time.DateOnly))
			if a.output == "table" {
				_, err := fmt.Fprintln(a.out, got.Token)
				return err
			}
			return a.show(got, got.ID, nil)
		},
	}
	c.Flags().StringVar(&n.Customer, "customer", "", "who the licence is for")
	c.Flags().IntVar(&n.Hosts, "hosts", 0, "user hosts it allows")
	c.Flags().IntVar(&n.Days, "days", 365, "how long it lasts")
	c.MarkFlagRequired("customer")
	c.MarkFlagRequired("hosts")
	return c
}

func (a *app) jlsLicenceRevoke() *cobra.Command {
	c := &cobra.Command{
		Use: "revoke LICENCE", Short: "Revoke a licence: its lease is not renewed; nothing stops at once", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.confirm("revoke licence " + args[0]); err != nil {
				return err
			}
			var l jls.License
			if err := a.jlsCall(cmd.Context(), http.MethodPost, jls.PathLicenses+"/"+url.PathEscape(args[0])+"/revoke", nil, &l); err != nil {
				return err
			}
			return a.show(l, l.ID, func(t *table) { licenceTable(t, l) })
		},
	}
	c.Flags().BoolVarP(&a.yes, "yes", "y", false, "don't ask")
	return c
}

func (a *app) jlsInstallationList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Activated installations", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list []jls.Installation
			if err := a.jlsCall(cmd.Context(), http.MethodGet, jls.PathInstallations, nil, &list); err != nil {
				return err
			}
			return a.show(list, joined(list, func(i jls.Installation) string { return string(i.ID) }), func(t *table) { installationTable(t, list...) })
		},
	}
}

func installationTable(t *table, list ...jls.Installation) {
	t.head("INSTALLATION", "CLUSTER", "CUSTOMER", "LICENCE", "HOSTS", "SEEN", "LEASE UNTIL", "RELEASED")
	for _, i := range list {
		t.row(i.ID, fmt.Sprintf("%s (%s)", i.Name, i.Cluster), i.Customer, i.License, fmt.Sprintf("%d/%d", len(i.Hosts), i.Allowed), ago(i.Seen, time.Now()), stamp(i.Lease), stamp(i.Released))
	}
}

func (a *app) jlsInstallationRelease() *cobra.Command {
	c := &cobra.Command{
		Use: "release INSTALLATION", Short: "Free an installation's licence for another one", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.confirm("release the licence of " + args[0]); err != nil {
				return err
			}
			var i jls.Installation
			if err := a.jlsCall(cmd.Context(), http.MethodPost, jls.PathInstallations+"/"+url.PathEscape(args[0])+"/release", nil, &i); err != nil {
				return err
			}
			return a.show(i, string(i.ID), func(t *table) { installationTable(t, i) })
		},
	}
	c.Flags().BoolVarP(&a.yes, "yes", "y", false, "don't ask")
	return c
}

func (a *app) jlsAudit() *cobra.Command {
	return &cobra.Command{
		Use: "audit", Short: "Who changed what, newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list []jls.Audit
			if err := a.jlsCall(cmd.Context(), http.MethodGet, jls.PathAudit, nil, &list); err != nil {
				return err
			}
			return a.show(list, joined(list, func(x jls.Audit) string { return x.Object }), func(t *table) {
				t.head("AT", "WHO", "WHAT", "OBJECT", "RESULT")
				for _, x := range list {
					t.row(stamp(x.At), x.Who, x.What, x.Object, x.Result)
				}
			})
		},
	}
}
