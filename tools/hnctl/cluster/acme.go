package cluster

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/acme"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

const acmePath = "/cluster/acme"

func acmes(a *app.App) *cobra.Command {
	return app.Group("acme", "The CA that certificates of environments' own names are asked of", acmeShow(a), acmeSet(a), acmeRemove(a))
}

func acmeTold(a *app.App, s acme.AcmeSettings) error {
	return a.Show(s, s.Directory, func(t *app.Table) {
		if s.Directory == "" {
			t.Fields("acme", "off: hnctl cluster acme set names a CA", "names with a certificate", s.Issued)
			return
		}
		trusted, addresses, state := "the usual CAs", "the external address of their host", "it is asked"
		if s.CA != "" {
			trusted = "CAs of its own"
		}
		if len(s.Addresses) > 0 {
			var list []string
			for _, addr := range s.Addresses {
				list = append(list, addr.String())
			}
			addresses = strings.Join(list, ", ")
		}
		if s.Reason != "" {
			state = fmt.Sprintf("%s; next try at %s", s.Reason, app.Stamp(s.Next))
		}
		t.Fields("directory", s.Directory, "its certificate", trusted, "mail", s.Mail, "terms agreed to", s.Terms, "account", s.Account,
			"resolvers are at", addresses, "set", app.Stamp(s.Since)+" by "+s.By, "names with a certificate", s.Issued,
			"bound to", s.External, "names that wait for one", s.Waiting, "asked for in 3 hours",
			fmt.Sprintf("%d of %d", s.Orders, s.Limit), "now", state)
		if d := s.Domain; d != nil {
			t.Fields("the cluster's domain", domainLine(*d))
		}
	})
}

// domainLine is where the certificate of the cluster's domain stands.
func domainLine(d operator.DomainIssue) string {
	line := d.State
	if d.Tries > 0 {
		line += fmt.Sprintf(" %d times", d.Tries)
	}
	if d.Reason != "" {
		line += ": " + d.Reason
	}
	if !d.Next.IsZero() {
		line += "; next try at " + app.Stamp(d.Next)
	}
	return line
}

func acmeShow(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "The CA, how much is asked of it, and why nothing is if so", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := app.Get[acme.AcmeSettings](cmd.Context(), a, acmePath)
			if err != nil {
				return err
			}
			return acmeTold(a, s)
		},
	}
}

func acmeSet(a *app.App) *cobra.Command {
	var s acme.SetAcmeSettings
	var ca, external, externalKey string
	var addresses []string
	c := &cobra.Command{
		Use: "set --directory URL --mail MAIL --agree-terms", Short: "Name the CA, in place of the one before", Args: cobra.NoArgs,
		Long: `The CA is asked by ACME for a certificate of each name outside of the cluster's domain that an environment has, that points to the
resolvers, and that nobody has uploaded one for; it is renewed when a third of its life is left, or when the CA says. The resolvers
answer what the CA asks for at ports 80 and 443. hnctl env domain list says where each name stands. Where the cluster's domain is public
(hnctl cluster dns set --public) one certificate is asked for it and for all names one label below, by DNS-01, which the resolvers answer
at port 53; no other name with * is asked for.
The CA makes an account for the cluster at once; without --agree-terms the refusal says which terms it has.`,
		Example: "  hnctl cluster acme set --directory https://acme-v02.api.letsencrypt.org/directory --mail paas@example.com --agree-terms\n" +
			"  hnctl cluster acme set --directory https://ca.corp.example/directory --ca-file corp.pem --mail paas@corp.example \\\n" +
			"      --agree-terms --address 198.51.100.4\n" +
			"  hnctl cluster acme set --directory https://ca.example/directory --mail paas@example.com --agree-terms \\\n" +
			"      --external kid-1 --external-key-file kid-1.key",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("ca-file") {
				raw, err := a.ReadFile(cmd.Context(), ca, 64<<10)
				if err != nil {
					return err
				}
				s.CA = string(raw)
			}
			if (external == "") != (externalKey == "") {
				return app.WithCode(app.ExitUsage, errors.New("give both of --external and --external-key-file, or none of them"))
			}
			if external != "" {
				raw, err := a.ReadFile(cmd.Context(), externalKey, 4<<10)
				if err != nil {
					return err
				}
				s.External = &acme.ExternalAccount{ID: external, Key: secret.Text(app.OneLine(raw))}
			}
			for _, text := range addresses {
				addr, err := netip.ParseAddr(text)
				if err != nil {
					return app.WithCode(app.ExitUsage, fmt.Errorf("--address %q: want an IP address", text))
				}
				s.Addresses = append(s.Addresses, addr)
			}
			var now acme.AcmeSettings
			if err := a.Call(cmd.Context(), http.MethodPut, acmePath, s, &now); err != nil {
				return err
			}
			a.Say("certificates are asked of %s", now.Directory)
			return acmeTold(a, now)
		},
	}
	f := c.Flags()
	f.StringVar(&s.Directory, "directory", "", "https://… of the CA's directory")
	f.StringVar(&s.Mail, "mail", "", "mail address that the CA writes to")
	f.BoolVar(&s.AgreeTerms, "agree-terms", false, "the CA's terms of service are agreed to")
	f.StringVar(&ca, "ca-file", "", "PEM file of the CAs that the directory's own certificate may be of; left out: the usual ones")
	f.StringVar(&external, "external", "", "id of the account that the CA wants its own to be bound to (external account binding)")
	f.StringVar(&externalKey, "external-key-file", "", "file with the HMAC key of that account, as the CA gave it")
	f.StringSliceVar(&addresses, "address", nil, "address at which the world reaches the resolvers; left out: their host's external one")
	for _, name := range []string{"directory", "mail"} {
		c.MarkFlagRequired(name)
	}
	return c
}

func acmeRemove(a *app.App) *cobra.Command {
	c := &cobra.Command{
		Use: "remove", Short: "Ask no CA any more; what it issued is served until it ends", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.Confirm("forget the CA: no certificate of an environment's own name is renewed any more"); err != nil {
				return err
			}
			if err := a.Call(cmd.Context(), http.MethodDelete, acmePath, nil, nil); err != nil {
				return err
			}
			a.Say("no CA is asked for certificates")
			return nil
		},
	}
	c.Flags().BoolVarP(&a.Yes, "yes", "y", false, "don't ask")
	return c
}
