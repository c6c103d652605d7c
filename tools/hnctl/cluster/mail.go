package cluster

import (
	"errors"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/mail"
	"hardnode.dev/tools/hnctl/app"
)

const mailPath = "/cluster/mail"

func mails(a *app.App) *cobra.Command {
	return app.Group("mail", "The mail server that the cluster sends by", mailShow(a), mailSet(a), mailRemove(a), mailTest(a), mailList(a))
}

func mailTold(a *app.App, m mail.MailSettings) error {
	return a.Show(m, m.Host, func(t *app.Table) {
		if m.Host == "" {
			t.Fields("mail", "off: hnctl cluster mail set names a server")
			return
		}
		password, trusted := "none", "the usual CAs"
		if m.Password {
			password = "set"
		}
		if m.CA != "" {
			trusted = "CAs of its own"
		}
		t.Fields("mail server", m.Host, "port", m.Port, "security", m.Security, "certificate", trusted, "user", m.User,
			"password", password, "from", m.From, "links begin with", m.Panel, "set",
			app.Stamp(m.Since)+" by "+m.By, "waiting", m.Waiting, "failed", m.Failed)
	})
}

func mailShow(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "The mail server, and how many mails wait", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := app.Get[mail.MailSettings](cmd.Context(), a, mailPath)
			if err != nil {
				return err
			}
			return mailTold(a, m)
		},
	}
}

func mailSet(a *app.App) *cobra.Command {
	var s mail.SetMailSettings
	var security, password, ca string
	c := &cobra.Command{
		Use: "set --server HOST --sender MAIL --panel URL", Short: "Name the mail server, in place of the one before", Args: cobra.NoArgs,
		Long: `Mails go to this server by SMTP: with --security starttls (the default, port 587) or tls (port 465) only when its certificate is right;
none (port 25) is for a relay beside the cluster, takes no user, and lets whoever is on the way read the links that mails carry.
The password comes from a file and is kept encrypted. Left out, the one of now stays, if server and user are the same.`,
		Example: "  hnctl cluster mail set --server mail.example.com --login paas --password-file smtp-password \\\n" +
			"      --sender paas@example.com --panel https://paas.example.com:7443\n  hnctl cluster mail test ada@example.com",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.Security = mail.Security(security)
			if cmd.Flags().Changed("password-file") {
				raw, err := a.ReadFile(cmd.Context(), password, 4<<10)
				if err != nil {
					return err
				}
				text := secret.Text(strings.TrimRight(string(raw), "\r\n"))
				if text == "" || strings.ContainsAny(text.Reveal(), "\r\n") {
					return app.WithCode(app.ExitUsage, errors.New("--password-file "+password+": want one line with the password"))
				}
				s.Password = &text
			}
			if cmd.Flags().Changed("ca-file") {
				raw, err := a.ReadFile(cmd.Context(), ca, 64<<10)
				if err != nil {
					return err
				}
				s.CA = string(raw)
			}
			var now mail.MailSettings
			if err := a.Call(cmd.Context(), http.MethodPut, mailPath, s, &now); err != nil {
				return err
			}
			a.Say("mail goes to %s; try it: hnctl cluster mail test MAIL", now.Host)
			return mailTold(a, now)
		},
	}
	f := c.Flags()
	f.StringVar(&s.Host, "server", "", "its name or address")
	f.IntVar(&s.Port, "port", 0, "its port; left out: 587, 465 with --security tls, 25 with none")
	f.StringVar(&security, "security", "", "starttls, tls or none; left out: starttls")
	f.StringVar(&s.User, "login", "", "who signs in there; left out: nobody does")
	f.StringVar(&password, "password-file", "", "file with their password, or stdin for -")
	f.StringVar(&s.From, "sender", "", "mail address that mails come from")
	f.StringVar(&ca, "ca-file", "", "PEM file of the CAs that its certificate may be of; left out: the usual ones")
	f.StringVar(&s.Panel, "panel", "", "https://host:port of the panel as people reach it: links in mails begin with it")
	for _, name := range []string{"server", "sender", "panel"} {
		c.MarkFlagRequired(name)
	}
	return c
}

func mailRemove(a *app.App) *cobra.Command {
	c := &cobra.Command{
		Use: "remove", Short: "Send no mail any more; what waits is not sent", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.Confirm("forget the mail server, and what waits to be sent"); err != nil {
				return err
			}
			if err := a.Call(cmd.Context(), http.MethodDelete, mailPath, nil, nil); err != nil {
				return err
			}
			a.Say("the cluster sends no mail")
			return nil
		},
	}
	c.Flags().BoolVarP(&a.Yes, "yes", "y", false, "don't ask")
	return c
}

func mailTest(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "test MAIL", Short: "Send a mail at once, and say what the server answered if it did not take it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.Call(cmd.Context(), http.MethodPost, mailPath+"/test", mail.TestMail{To: args[0]}, nil); err != nil {
				return err
			}
			a.Say("the server took a mail to %s; see whether it arrives", args[0])
			return nil
		},
	}
}

func mailList(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "The mails that wait to be sent, or could not be, the newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := app.Items[mail.QueuedMail](cmd.Context(), a, mailPath+"/outbox")
			if err != nil {
				return err
			}
			return a.Show(list, app.Joined(list, func(m mail.QueuedMail) string { return m.ID }), func(t *app.Table) {
				t.Head("ID", "TO", "SUBJECT", "STATE", "TRIES", "NEXT", "UNTIL", "REASON")
				for _, m := range list {
					t.Row(m.ID, m.To, m.Subject, m.State, m.Tries, app.Stamp(m.Next), app.Stamp(m.Until), m.Reason)
				}
			})
		},
	}
}
