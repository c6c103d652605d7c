package env

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/front"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

func domainPath(env, name string) string { return envPath(env) + "/domains/" + url.PathEscape(name) }

func certPath(env, name string) string { return envPath(env) + "/certificates/" + url.PathEscape(name) }

// domains is the commands on an environment's host names.
func domains(a *app.App) *cobra.Command {
	return app.Group("domain", "The host names that an environment is served under", domainList(a), domainSet(a), domainSwap(a),
		domainChange(a, "delete ENV NAME", "Take a host name and its certificate from an environment", domainPath))
}

// certificates is the commands on the certificates of these names.
func certificates(a *app.App) *cobra.Command {
	return app.Group("cert", "The certificates that an environment's names are served with", certList(a), certSet(a),
		domainChange(a, "delete ENV NAME", "Take the uploaded certificate from a name", certPath))
}

func domainList(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "list ENV", Short: "List the host names of an environment", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			out, err := app.Get[operator.Domains](cmd.Context(), a, envPath(args[0])+"/domains")
			if err != nil {
				return err
			}
			return showDomains(a, out)
		},
	}
}

func showDomains(a *app.App, out operator.Domains) error {
	return a.Show(out, app.Joined(out.Domains, func(d operator.Domain) string { return d.Name }), func(t *app.Table) {
		t.Head("NAME", "HTTPS", "HTTP", "HSTS", "CERTIFICATE UNTIL", "CA")
		for _, d := range out.Domains {
			https, plain, strict, until := "no certificate", "served", "-", "-"
			if c := d.Certificate; c != nil {
				https, until = "the cluster's", app.Stamp(c.Ends)
				switch {
				case c.Uploaded:
					https = "uploaded"
				case c.Issued:
					https = "issued"
				}
				if c.Warning != "" {
					until += ": " + c.Warning
				}
			}
			if d.Redirect {
				plain = "redirected"
			}
			if d.HSTS > 0 {
				strict = (time.Duration(d.HSTS) * time.Second).String()
			}
			t.Row(d.Name, https, plain, strict, until, issueTold(d))
		}
	})
}

// issueTold is where a name stands with the CA that certificates are asked of.
func issueTold(d operator.Domain) string {
	i := d.Issue
	switch {
	case d.NoIssue:
		return "off"
	case i == nil:
		return "-"
	}
	out := i.State
	if i.Tries > 0 {
		out += fmt.Sprintf(" %d times", i.Tries)
	}
	if i.Reason != "" {
		out += ": " + i.Reason
	}
	if !i.Next.IsZero() {
		what := "next try"
		if i.State == "issued" {
			what = "renewed"
		}
		out += fmt.Sprintf("; %s %s", what, app.Stamp(i.Next))
	}
	return out
}

func domainSet(a *app.App) *cobra.Command {
	var redirect, issue bool
	var hsts time.Duration
	c := &cobra.Command{
		Use: "set ENV NAME", Short: "Serve an environment under a host name too, or change how it is served by it",
		Args: cobra.ExactArgs(2),
		Long: "The name's DNS has to lead to the cluster. That an account may have a name outside of the cluster's domain is proved by a " +
			"TXT record;\nwithout it the refusal says which. If the cluster asks a CA for certificates (hnctl cluster acme), it asks for " +
			"one of\nthis name too, unless --issue=false says not to; one that is uploaded goes before. Repeated, it has the CA asked at " +
			"once if\nthe name did not point to the cluster before.",
		Example: "  hnctl env domain set shop www.shop.example --redirect --hsts 24h",
		RunE: func(cmd *cobra.Command, args []string) error {
			had, err := app.Get[operator.Domains](cmd.Context(), a, envPath(args[0])+"/domains")
			if err != nil {
				return err
			}
			in := front.Scheme{}
			for _, d := range had.Domains {
				if d.Name == args[1] {
					in = d.Scheme
				}
			}
			if cmd.Flags().Changed("redirect") {
				in.Redirect = redirect
			}
			if cmd.Flags().Changed("issue") {
				in.NoIssue = !issue
			}
			if cmd.Flags().Changed("hsts") {
				in.HSTS = int64(hsts / time.Second)
			}
			var out operator.Domains
			if err := a.Call(cmd.Context(), http.MethodPut, domainPath(args[0], args[1]), in, &out); err != nil {
				return err
			}
			return showDomains(a, out)
		},
	}
	c.Flags().BoolVar(&redirect, "redirect", false, "send what comes over plain HTTP to HTTPS")
	c.Flags().BoolVar(&issue, "issue", true, "have the CA that the cluster asks issue a certificate for it")
	c.Flags().DurationVar(&hsts, "hsts", 0, "how long browsers remember to come over HTTPS only; 0 sends nothing")
	return c
}

func domainSwap(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "swap ENV ENV", Short: "Have two environments change their host names, at one moment", Args: cobra.ExactArgs(2),
		Long: "Names go with their certificates and how they are served; those in the cluster's domain stay. The environments are of\n" +
			"one account. Shows the names that the first one has then.",
		Example: "  hnctl env domain swap shop shop-next",
		RunE: func(cmd *cobra.Command, args []string) error {
			var out operator.Domains
			in := operator.SwapDomains{With: wire.EnvName(args[1])}
			if err := a.Call(cmd.Context(), http.MethodPost, envPath(args[0])+"/domains/swap", in, &out); err != nil {
				return err
			}
			return showDomains(a, out)
		},
	}
}

func domainChange(a *app.App, use, short string, path func(env, name string) string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var out operator.Domains
			if err := a.Call(cmd.Context(), http.MethodDelete, path(args[0], args[1]), nil, &out); err != nil {
				return err
			}
			return showDomains(a, out)
		},
	}
}

func certList(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "list ENV", Short: "List the certificates of an environment's names", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			out, err := app.Get[operator.Domains](cmd.Context(), a, envPath(args[0])+"/domains")
			if err != nil {
				return err
			}
			return a.Show(out, app.Joined(out.Domains, func(d operator.Domain) string { return d.Name }), func(t *app.Table) {
				t.Head("NAME", "FOR", "ISSUER", "FROM", "UNTIL", "SHA-256", "WARNING", "CA")
				for _, d := range out.Domains {
					if c := d.Certificate; c != nil {
						t.Row(d.Name, strings.Join(c.Names, ","), c.Issuer, app.Stamp(c.Begins), app.Stamp(c.Ends), app.Short(c.SHA256),
							c.Warning, issueTold(d))
					} else {
						t.Row(d.Name, "-", "-", "-", "-", "-", "none: HTTPS is refused", issueTold(d))
					}
				}
			})
		},
	}
}

func certSet(a *app.App) *cobra.Command {
	var chain, key string
	c := &cobra.Command{
		Use: "set ENV NAME", Short: "Serve one of an environment's names with a certificate of its own", Args: cobra.ExactArgs(2),
		Example: "  hnctl env cert set shop www.shop.example --chain fullchain.pem --key privkey.pem",
		RunE: func(cmd *cobra.Command, args []string) error {
			if chain == "" || key == "" {
				return app.WithCode(app.ExitUsage, errors.New("give --chain and --key, both PEM files"))
			}
			var texts [2]string
			for i, file := range []string{chain, key} {
				raw, err := a.ReadFile(cmd.Context(), file, 64<<10)
				if err != nil {
					return fmt.Errorf("read %s: %w", file, err)
				}
				texts[i] = string(raw)
			}
			var out operator.Domains
			in := operator.UploadCertificate{Chain: texts[0], Key: secret.Text(texts[1])}
			if err := a.Call(cmd.Context(), http.MethodPut, certPath(args[0], args[1]), in, &out); err != nil {
				return err
			}
			return showDomains(a, out)
		},
	}
	c.Flags().StringVar(&chain, "chain", "", "file with the certificate of the name first, then who signed it, PEM")
	c.Flags().StringVar(&key, "key", "", "file with its private key, PEM")
	return c
}
