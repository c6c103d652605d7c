// Package mail is what people read and say of the mail that the cluster sends.
//
// Owns: the settings of the mail server, a mail that waits, and their rules of form.
// In: what an admin writes.
// Out: resources of the API; an error that names the field.
// Never: sends mail, or shows a password (orchestrator/mail keeps it).
package mail

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/user"
)

// Security is how the way to the mail server is protected.
type Security string

// The ways.
const (
	STARTTLS Security = "starttls" // RFC 3207; a server that does not offer it gets nothing
	TLS      Security = "tls"      // from the first byte (RFC 8314)
	None     Security = "none"     // in the clear, without a password: for a relay beside the cluster
)

// Securities are all of them, the usual one first.
var Securities = []Security{STARTTLS, TLS, None}

// MailSettings is the mail server that the cluster sends by; without Host there is none.
type MailSettings struct {
	Host     string    `json:"host,omitempty"`
	Port     int       `json:"port,omitempty"`
	Security Security  `json:"security,omitempty"`
	User     string    `json:"user,omitempty"`
	Password bool      `json:"password,omitempty" doc:"There is one; it is never shown"`
	From     string    `json:"from,omitempty"`
	CA       string    `json:"ca,omitempty"`
	Panel    string    `json:"panel,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	By       string    `json:"by,omitempty"`
	Waiting  int       `json:"waiting" doc:"Mails that wait to be sent"`
	Failed   int       `json:"failed" doc:"Mails of the last week that could not be sent"`
}

// SetMailSettings names the mail server, in place of what was said before.
type SetMailSettings struct {
	Host     string       `json:"host" required:"true" maxLength:"253" doc:"Name or address; it may be private: who runs the cluster says it"`
	Port     int          `json:"port,omitempty" minimum:"0" maximum:"65535" doc:"Left out: 587, 465 for tls, 25 for none"`
	Security Security     `json:"security,omitempty" enum:"starttls,tls,none" doc:"Left out: starttls"`
	User     string       `json:"user,omitempty" maxLength:"254" doc:"Left out: nobody signs in there"`
	Password *secret.Text `json:"password,omitempty" maxLength:"1024" doc:"Left out: the one that there is, if host and user are the same"`
	From     string       `json:"from" required:"true" maxLength:"254" doc:"Mail address that mails come from"`
	CA       string       `json:"ca,omitempty" maxLength:"65536" doc:"PEM of the CAs that its certificate may be of; left out: the usual ones"`
	Panel    string       `json:"panel" required:"true" maxLength:"253" doc:"https://host:port of the panel, as people reach it: links in mails begin with it"`
}

// TestMail asks for a mail that is sent at once.
type TestMail struct {
	To string `json:"to" required:"true" maxLength:"254"`
}

// QueuedMail is a mail that was not sent yet, or could not be. What is in it is not shown: it may let somebody in.
type QueuedMail struct {
	ID      string    `json:"id"`
	To      string    `json:"to"`
	Subject string    `json:"subject"`
	State   string    `json:"state" enum:"waiting,failed"`
	Tries   int       `json:"tries"`
	Next    time.Time `json:"next,omitzero" doc:"When it is tried again"`
	Until   time.Time `json:"until" doc:"When it is given up"`
	Reason  string    `json:"reason,omitempty" doc:"Why the last try did not work"`
	Created time.Time `json:"created"`
}

// Normal is s with what was left out.
func (s SetMailSettings) Normal() SetMailSettings {
	if s.Security == "" {
		s.Security = STARTTLS
	}
	if s.Port == 0 {
		s.Port = map[Security]int{STARTTLS: 587, TLS: 465, None: 25}[s.Security]
	}
	s.Panel = strings.TrimSuffix(s.Panel, "/")
	return s
}

// Validate says what is wrong with s, after Normal, and in which field.
func (s SetMailSettings) Validate() (field string, err error) {
	for _, c := range []struct {
		field string
		err   error
	}{{"host", validateHost(s.Host)}, {"security", s.Security.Validate()}, {"port", validatePort(s.Port)}, {"user", s.validateUser()},
		{"from", user.ValidateMail(s.From)}, {"ca", validateCA(s.CA)}, {"panel", validatePanel(s.Panel)}} {
		if c.err != nil {
			return c.field, c.err
		}
	}
	return "", nil
}

// Validate says why s is no way to protect mail, or nil.
func (s Security) Validate() error {
	if !slices.Contains(Securities, s) {
		return fmt.Errorf("security %q: want starttls, tls or none", string(s))
	}
	return nil
}

func validateHost(s string) error {
	if net.ParseIP(s) != nil {
		return nil
	}
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-') {
			return fmt.Errorf("host %q: want a host name or an address, without a port", s)
		}
	}
	if s == "" || len(s) > 253 || strings.HasPrefix(s, "-") || strings.HasPrefix(s, ".") {
		return fmt.Errorf("host %q: want a host name or an address", s)
	}
	return nil
}

func validatePort(n int) error {
	if n < 1 || n > 65535 {
		return fmt.Errorf("port %d: want 1 to 65535", n)
	}
	return nil
}

func (s SetMailSettings) validateUser() error {
	for _, r := range s.User {
		if r < ' ' || r == 0x7f {
			return errors.New("user: has a character that can't be typed")
		}
	}
	if s.User != "" && s.Security == None {
		return errors.New("user: a password is not sent in the clear; choose starttls or tls, or leave the user out")
	}
	return nil
}

func validateCA(s string) error {
	if s != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(s)) {
		return errors.New("ca: has no certificate in PEM")
	}
	return nil
}

func validatePanel(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return fmt.Errorf("panel %q: want https://host:port", s)
	}
	return nil
}
