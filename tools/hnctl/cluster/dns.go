package cluster

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/zone"
	"hardnode.dev/tools/hnctl/app"
)

const dnsPath = "/cluster/dns"

func names(a *app.App) *cobra.Command {
	return app.Group("dns", "The cluster's domain in the DNS", dnsShow(a), dnsSet(a), dnsCheck(a), dnsRemove(a))
}

func dnsTold(a *app.App, s zone.DnsSettings) error {
	return a.Show(s, s.Domain, func(t *app.Table) {
		if len(s.Servers) == 0 {
			t.Fields("domain", s.Domain, "DNS", "off: hnctl cluster dns set has the resolvers answer for it")
			return
		}
		public := "no: its certificate is of the cluster's own CA"
		if s.Public {
			public = "yes: its certificate is asked of the CA, if one is named (hnctl cluster acme)"
		}
		t.Fields("domain", s.Domain, "mail", s.Mail, "names lead to", addressList(s.Addresses), "public", public, "serial", s.Serial,
			"set", app.Stamp(s.Since)+" by "+s.By)
		for _, r := range s.Records {
			t.Fields("record", r)
		}
		for _, line := range s.Lines {
			t.Fields("for the registrar", line)
		}
	})
}

func addressList(list []netip.Addr) string {
	var out []string
	for _, addr := range list {
		out = append(out, addr.String())
	}
	return strings.Join(out, ", ")
}

func dnsShow(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "How the cluster answers for its domain, and the records that the registrar is to be told", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := app.Get[zone.DnsSettings](cmd.Context(), a, dnsPath)
			if err != nil {
				return err
			}
			return dnsTold(a, s)
		},
	}
}

func dnsSet(a *app.App) *cobra.Command {
	var s zone.SetDnsSettings
	var servers, addresses []string
	c := &cobra.Command{
		Use: "set", Short: "Have the resolvers answer for the cluster's domain, in place of how they did before", Args: cobra.NoArgs,
		Long: `The resolvers answer for the cluster's domain at port 53 of the infra host, UDP and TCP: all names in it lead to --address, whether an
environment has them or not, but for name servers and for what --record says. Left out, the addresses are the external ones of the infra
host, and the name servers ns1 and ns2 in the domain, at the first two addresses.
Tell the registrar, or whoever runs the domain above, the records that hnctl cluster dns show prints; then hnctl cluster dns check says
whether the world finds the domain here. With --public the CA (hnctl cluster acme) is asked for a certificate of the domain and of all
names one label below it, by DNS-01; without, the cluster's own CA signs it.
A record is NAME TYPE VALUE with the types A, AAAA, TXT and CAA; the name is without the domain, @ for itself. The zone is not signed
(DNSSEC).`,
		Example: "  hnctl cluster dns set --address 198.51.100.4 --public\n" +
			"  hnctl cluster dns set --ns ns1=198.51.100.4,2001:db8::4 --ns ns2=198.51.100.5 --address 198.51.100.4 --public \\\n" +
			"      --record '@ CAA 0 issue \"letsencrypt.org\"' --record '_dmarc TXT v=DMARC1; p=reject'\n" +
			"  hnctl cluster dns set --ns ns.provider.example --ns ns1",
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, text := range servers {
				name, list, _ := strings.Cut(text, "=")
				server := zone.DnsServer{Name: name}
				for _, part := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
					addr, err := netip.ParseAddr(part)
					if err != nil {
						return app.WithCode(app.ExitUsage, fmt.Errorf("--ns %q: want NAME, or NAME=ADDRESS,…", text))
					}
					server.Addresses = append(server.Addresses, addr)
				}
				s.Servers = append(s.Servers, server)
			}
			for _, text := range addresses {
				addr, err := netip.ParseAddr(text)
				if err != nil {
					return app.WithCode(app.ExitUsage, fmt.Errorf("--address %q: want an IP address", text))
				}
				s.Addresses = append(s.Addresses, addr)
			}
			var now zone.DnsSettings
			if err := a.Call(cmd.Context(), http.MethodPut, dnsPath, s, &now); err != nil {
				return err
			}
			a.Say("the resolvers answer for %s", now.Domain)
			a.Next("tell the registrar what hnctl cluster dns show prints, then: hnctl cluster dns check")
			return dnsTold(a, now)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&servers, "ns", nil, "a name server, NAME or NAME=ADDRESS,…; one label is in the domain, a whole name anywhere else")
	f.StringSliceVar(&addresses, "address", nil, "address at which the world reaches the resolvers; left out: their host's external one")
	f.StringVar(&s.Mail, "mail", "", "mail address of whom answers for the domain; left out: hostmaster@ the domain")
	f.StringArrayVar(&s.Records, "record", nil, "one more record: NAME TYPE VALUE")
	f.BoolVar(&s.Public, "public", false, "the world finds the domain here: its certificate is asked of the CA")
	return c
}

func dnsCheck(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "Whether the world finds the domain here", Args: cobra.NoArgs,
		Long: `Asks the DNS, as the orchestrator is told of it, for the domain's name servers, their addresses and a name in the domain, and each name
server itself, over UDP and TCP. It ends with 1 if something is not as it must be.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			got, err := app.Get[zone.DnsCheck](cmd.Context(), a, dnsPath+"/check")
			if err != nil {
				return err
			}
			what := func(l zone.DnsLooks) string { return l.What }
			if err := a.Show(got, app.Joined(got.Looks, what), func(t *app.Table) {
				t.Head("WHAT", "RIGHT", "FOUND", "WANT", "NEXT")
				for _, l := range got.Looks {
					right := "yes"
					if !l.Right {
						right = "NO"
					}
					t.Row(l.What, right, l.Found, l.Want, l.Next)
				}
			}); err != nil {
				return err
			}
			if !got.Right {
				return errors.New("the world does not find the domain here as it must")
			}
			return nil
		},
	}
}

func dnsRemove(a *app.App) *cobra.Command {
	c := &cobra.Command{
		Use: "remove", Short: "Answer for the domain no more, and close port 53", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			const what = "answer for the cluster's domain no more: if the world finds it here, no environment is found any more"
			if err := a.Confirm(what); err != nil {
				return err
			}
			if err := a.Call(cmd.Context(), http.MethodDelete, dnsPath, nil, nil); err != nil {
				return err
			}
			a.Say("the cluster does not answer for its domain")
			return nil
		},
	}
	c.Flags().BoolVarP(&a.Yes, "yes", "y", false, "don't ask")
	return c
}
