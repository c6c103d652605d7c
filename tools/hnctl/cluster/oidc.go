package cluster

import (
	"errors"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/oidc"
	"hardnode.dev/tools/hnctl/app"
)

const oidcPath = "/cluster/oidc"

func providers(a *app.App) *cobra.Command {
	return app.Group("oidc", "The identity provider that users sign in with, beside their password", oidcShow(a), oidcSet(a), oidcRemove(a))
}

func oidcTold(a *app.App, s oidc.OidcSettings) error {
	return a.Show(s, s.Issuer, func(t *app.Table) {
		if s.Issuer == "" {
			t.Fields("identity provider", "none: hnctl cluster oidc set names one")
			return
		}
		given, trusted, reached := "none", "the usual CAs", "at public addresses only"
		if s.Secret {
			given = "set"
		}
		if s.CA != "" {
			trusted = "CAs of its own"
		}
		if s.Inside {
			reached = "also at private addresses"
		}
		believed := "of no domain"
		if len(s.Domains) > 0 {
			believed = "of " + strings.Join(s.Domains, ", ")
		}
		counts := map[oidc.Counts]string{oidc.First: "first: a second factor is asked for here too", oidc.Both: "both factors"}[s.Counts]
		t.Fields("identity provider", s.Name, "issuer", s.Issuer, "client", s.Client, "secret", given, "certificate", trusted,
			"reached", reached, "leads back to", s.Redirect, "counts as", counts, "believed for mail addresses", believed,
			"users bound", s.Bound, "set", app.Stamp(s.Since)+" by "+s.By)
	})
}

func oidcShow(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "The identity provider, and how many users are bound to it", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := app.Get[oidc.OidcSettings](cmd.Context(), a, oidcPath)
			if err != nil {
				return err
			}
			return oidcTold(a, s)
		},
	}
}

func oidcSet(a *app.App) *cobra.Command {
	var s oidc.SetOidcSettings
	var counts, file, ca string
	c := &cobra.Command{
		Use: "set --issuer URL --client-id ID --panel URL", Short: "Name the identity provider, in place of the one before",
		Args: cobra.NoArgs,
		Long: `Users sign in with the provider by OpenID Connect: authorization code with PKCE. Register a client there first, with the address that
"hnctl cluster oidc show" says it leads back to: the panel's, then ` + oidc.BackPath + `.
A user is bound to the provider's subject, never to a mail address. They bind themselves at the panel, or by the link of an invite or of a
sign-up. With --trust-mail-of the provider's word for verified addresses of that domain binds who signs in to the user who has the address,
but for those who run the cluster: whoever runs the provider can then sign in as any of those users.
The secret comes from a file and is kept encrypted. Left out, the one of now stays, if issuer and client are the same.`,
		Example: "  hnctl cluster oidc set --issuer https://login.example.com --client-id hardnode --client-secret-file secret \\\n" +
			"      --label 'Example SSO' --panel https://paas.example.com:7443",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.Counts = oidc.Counts(counts)
			if cmd.Flags().Changed("client-secret-file") {
				raw, err := a.ReadFile(cmd.Context(), file, 4<<10)
				if err != nil {
					return err
				}
				text := secret.Text(strings.TrimRight(string(raw), "\r\n"))
				if text == "" || strings.ContainsAny(text.Reveal(), "\r\n") {
					return app.WithCode(app.ExitUsage, errors.New("--client-secret-file "+file+": want one line with the secret"))
				}
				s.Secret = &text
			}
			if cmd.Flags().Changed("ca-file") {
				raw, err := a.ReadFile(cmd.Context(), ca, 64<<10)
				if err != nil {
					return err
				}
				s.CA = string(raw)
			}
			var now oidc.OidcSettings
			if err := a.Call(cmd.Context(), http.MethodPut, oidcPath, s, &now); err != nil {
				return err
			}
			a.Say("users sign in with %s; its client has to lead back to %s", now.Name, now.Redirect)
			return oidcTold(a, now)
		},
	}
	f := c.Flags()
	f.StringVar(&s.Issuer, "issuer", "", "https://… of the provider, exactly as it calls itself")
	f.StringVar(&s.Client, "client-id", "", "the client's id there")
	f.StringVar(&file, "client-secret-file", "", "file with the client's secret, or stdin for -")
	f.StringVar(&s.Name, "label", "", "what the sign-in page calls it; left out: its host")
	f.StringVar(&s.Panel, "panel", "", "https://host:port of the panel as people reach it: the provider leads back there")
	f.StringVar(&ca, "ca-file", "", "PEM file of the CAs that its certificate may be of; left out: the usual ones")
	f.BoolVar(&s.Inside, "inside", false, "it may be at a private or a loopback address; left out: at a public one only")
	f.StringVar(&counts, "counts-as", "", "first: who has a second factor here gives a code too; both: the provider sees to that; "+
		"left out: first")
	f.StringArrayVar(&s.Domains, "trust-mail-of", nil,
		"domain of mail addresses that the provider alone hands out; may be given again")
	for _, name := range []string{"issuer", "client-id", "panel"} {
		c.MarkFlagRequired(name)
	}
	return c
}

func oidcRemove(a *app.App) *cobra.Command {
	c := &cobra.Command{
		Use: "remove", Short: "Have nobody sign in with the identity provider any more; sessions go on", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.Confirm("have nobody sign in with the identity provider any more"); err != nil {
				return err
			}
			if err := a.Call(cmd.Context(), http.MethodDelete, oidcPath, nil, nil); err != nil {
				return err
			}
			a.Say("users sign in with their passwords; who has none says at the sign-in page that they forgot it")
			return nil
		},
	}
	c.Flags().BoolVarP(&a.Yes, "yes", "y", false, "don't ask")
	return c
}
