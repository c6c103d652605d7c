package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	smtp "github.com/wneessen/go-mail"

	"hardnode.dev/internal/wire/mail"
	"hardnode.dev/orchestrator/store"
)

// usualLimit is what Limit is when nothing is said.
const usualLimit = 20 * time.Second

// longReason is the most bytes of why a mail was not sent: the server says it.
const longReason = 300

// send hands one mail to the server. What it takes is twice Limit at most, whatever the server does.
func (d *Desk) send(ctx context.Context, s store.MailServer, id, to, subject, text string) error {
	m := smtp.NewMsg(smtp.WithNoDefaultUserAgent())
	if err := m.FromFormat("Hardnode "+d.Cluster, s.From); err != nil {
		return fmt.Errorf("mail from %q: %w", s.From, err)
	}
	if err := m.To(to); err != nil {
		return fmt.Errorf("mail to %q: %w", to, err)
	}
	_, domain, _ := strings.Cut(s.From, "@")
	m.SetMessageIDWithValue(id + "@" + domain)
	m.SetDateWithValue(d.Now())
	m.Subject(subject)
	m.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: nobody's out-of-office answers it
	m.SetBodyString(smtp.TypeTextPlain, text)
	c, err := d.client(s)
	if err != nil {
		return err
	}
	if err := c.DialAndSendWithContext(ctx, m); err != nil {
		return &unsent{s.Host, s.Port, err}
	}
	return nil
}

func (d *Desk) client(s store.MailServer) (*smtp.Client, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.Host}
	if s.CA != "" {
		conf.RootCAs = x509.NewCertPool()
		conf.RootCAs.AppendCertsFromPEM([]byte(s.CA))
	}
	limit := d.Limit
	if limit == 0 {
		limit = usualLimit
	}
	_, domain, _ := strings.Cut(s.From, "@")
	options := []smtp.Option{smtp.WithPort(s.Port), smtp.WithTimeout(limit), smtp.WithTLSConfig(conf), smtp.WithHELO(domain)}
	switch s.Security {
	case mail.STARTTLS:
		options = append(options, smtp.WithTLSPolicy(smtp.TLSMandatory))
	case mail.TLS:
		options = append(options, smtp.WithSSL())
	case mail.None:
		options = append(options, smtp.WithTLSPolicy(smtp.NoTLS))
	}
	if s.User != "" {
		plain, err := d.Keys.Open("mail server", s.Password)
		if err != nil {
			return nil, fmt.Errorf("password of the mail server: %w", err)
		}
		options = append(options, smtp.WithUsername(s.User), smtp.WithPassword(string(plain.Reveal())),
			smtp.WithSMTPAuth(smtp.SMTPAuthAutoDiscover))
	}
	c, err := smtp.NewClient(s.Host, options...)
	if err != nil {
		return nil, fmt.Errorf("mail server %s: %w", s.Host, err)
	}
	return c, nil
}

// unsent is why a server did not take a mail.
type unsent struct {
	host string
	port int
	err  error
}

func (u *unsent) Error() string {
	text := strings.ToValidUTF8(u.err.Error(), "?")
	if len(text) > longReason {
		text = strings.ToValidUTF8(text[:longReason], "") + "…"
	}
	return fmt.Sprintf("mail server %s:%d: %s", u.host, u.port, text)
}

func (u *unsent) Unwrap() error { return u.err }

// final tells whether a mail is not worth another try: the server refused its sender, its reader or its content for good (5xx, RFC 5321,
// section 4.2.1). A server that is not there, slow, or does not let us in may be mended.
func final(err error) bool {
	var refused *smtp.SendError
	return errors.As(err, &refused) && refused.ErrorCode() >= 500
}
