// Package acme is what people read and say of the CA that the cluster asks for certificates of environments' own names.
//
// Owns: the settings of the CA, and their rules of form.
// In: what an admin writes.
// Out: resources of the API; an error that names the field.
// Never: asks a CA (orchestrator/certify does), or has a key in it.
package acme

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
)

// MaxAddresses is how many addresses of the resolvers may be said.
const MaxAddresses = 16

// AcmeSettings is the CA that certificates are asked of by ACME (RFC 8555); without Directory none is.
type AcmeSettings struct {
	Directory string       `json:"directory,omitempty"`
	Mail      string       `json:"mail,omitempty"`
	CA        string       `json:"ca,omitempty"`
	Terms     string       `json:"terms,omitempty" doc:"The terms of service that were agreed to"`
	Addresses []netip.Addr `json:"addresses,omitempty" doc:"Of the resolvers as the world reaches them: a name that points elsewhere is not asked for"`
	Account   string       `json:"account,omitempty" doc:"The cluster's account at the CA"`
	External  string       `json:"external,omitempty" doc:"The account elsewhere that it is bound to"`
	// Domain is where the certificate of the cluster's own domain stands, if that is public.
	Domain  *operator.DomainIssue `json:"domain,omitempty" doc:"Where the certificate of the cluster's own domain stands; left out: it is the cluster's own CA's"`
	Since   time.Time             `json:"since,omitzero"`
	By      string                `json:"by,omitempty"`
	Issued  int                   `json:"issued" doc:"Names that have a certificate of such a CA"`
	Waiting int                   `json:"waiting" doc:"Names that wait for one, or for a newer one"`
	Orders  int                   `json:"orders" doc:"Certificates that were asked for in the last three hours"`
	Limit   int                   `json:"limit" doc:"How many the cluster asks for in three hours at most"`
	Reason  string                `json:"reason,omitempty" doc:"Why nothing is asked of the CA now"`
	Next    time.Time             `json:"next,omitzero" doc:"When it is asked again, if there is a reason"`
}

// SetAcmeSettings names the CA, in place of the one before.
type SetAcmeSettings struct {
	Directory  string           `json:"directory" required:"true" maxLength:"1024" doc:"https://… of its directory; it may be a private one: who runs the cluster says it"`
	Mail       string           `json:"mail" required:"true" maxLength:"254" doc:"Whom the CA writes to"`
	AgreeTerms bool             `json:"agreeTerms,omitempty" doc:"The CA's terms of service are agreed to: without it nothing is asked"`
	CA         string           `json:"ca,omitempty" maxLength:"65536" doc:"PEM of the CAs that the directory's own certificate may be of; left out: the usual ones"`
	External   *ExternalAccount `json:"external,omitempty" doc:"The account at the CA is bound to this one; left out: the one before stays, if the CA is the same"`
	Addresses  []netip.Addr     `json:"addresses,omitempty" maxItems:"16" doc:"Of the resolvers as the world reaches them; left out: the external address of the host that runs them"`
}

// ExternalAccount is an account that the CA, or who runs it, gave beforehand (RFC 8555, section 7.3.4).
type ExternalAccount struct {
	ID  string      `json:"id" required:"true" maxLength:"256"`
	Key secret.Text `json:"key" required:"true" maxLength:"1024" doc:"The HMAC key, as the CA gave it: base64url"`
}

func (e *ExternalAccount) validate() error {
	if e == nil {
		return nil
	}
	key, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(e.Key.Reveal(), "="))
	switch {
	case e.ID == "" || len(e.ID) > 256 || strings.ContainsFunc(e.ID, func(c rune) bool { return c < '!' || c > '~' }):
		return fmt.Errorf("external: its id %q: want what the CA gave", e.ID)
	case err != nil || len(key) < 16:
		return errors.New("external: its key is none: want base64url, of 16 bytes or more")
	}
	return nil
}

// Validate says what is wrong with s, and in which field.
func (s SetAcmeSettings) Validate() (field string, err error) {
	for _, c := range []struct {
		field string
		err   error
	}{{"directory", validateDirectory(s.Directory)}, {"mail", user.ValidateMail(s.Mail)}, {"ca", validateCA(s.CA)},
		{"addresses", validateAddresses(s.Addresses)}, {"external", s.External.validate()}} {
		if c.err != nil {
			return c.field, c.err
		}
	}
	return "", nil
}

func validateDirectory(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.Fragment != "" || u.User != nil || len(s) > 1024 {
		return fmt.Errorf("directory %q: want https:// and the address of the CA's directory", s)
	}
	return nil
}

func validateCA(s string) error {
	if s != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(s)) {
		return errors.New("ca: has no certificate in PEM")
	}
	return nil
}

func validateAddresses(list []netip.Addr) error {
	if len(list) > MaxAddresses {
		return fmt.Errorf("addresses: there are %d, at most %d", len(list), MaxAddresses)
	}
	for _, a := range list {
		if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.Zone() != "" {
			return fmt.Errorf("addresses: %s is no address of a resolver", a)
		}
	}
	return nil
}
