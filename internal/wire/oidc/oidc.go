// Package oidc is what people read and say of the identity provider that users sign in with (OpenID Connect Core 1.0).
//
// Owns: the settings of the provider, and their rules of form; what a sign-in with it is asked with and answered.
// In: what an admin writes.
// Out: resources of the API; an error that names the field.
// Never: asks a provider (orchestrator/idp does), or shows the client's secret.
package oidc

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/user"
)

// Paths of the panel: where the provider leads back to, and where hnctl sends who signs in.
const (
	BackPath  = "/panel/oidc/back"
	HnctlPath = "/panel/oidc/hnctl"
)

// MaxDomains is how many domains a provider may be believed of.
const MaxDomains = 20

// Counts is what a sign-in with the provider counts as, of a user who has a second factor here.
type Counts string

// What it may count as.
const (
	First Counts = "first" // as the password does: who has a second factor gives a code of it too
	Both  Counts = "both"  // as both factors: who runs the provider sees to the second one
)

// Counted are all of them, the usual one first.
var Counted = []Counts{First, Both}

// OidcSettings is the identity provider; without Issuer there is none.
type OidcSettings struct {
	Issuer   string    `json:"issuer,omitempty"`
	Client   string    `json:"client,omitempty"`
	Secret   bool      `json:"secret,omitempty" doc:"There is one; it is never shown"`
	Name     string    `json:"name,omitempty" doc:"What the sign-in page calls it"`
	Panel    string    `json:"panel,omitempty"`
	Redirect string    `json:"redirect,omitempty" doc:"The address that the provider has to lead back to: its client is registered with it"`
	CA       string    `json:"ca,omitempty"`
	Inside   bool      `json:"inside,omitempty"`
	Counts   Counts    `json:"counts,omitempty" enum:"first,both"`
	Domains  []string  `json:"domains,omitempty"`
	Bound    int       `json:"bound" doc:"How many users are bound to a sign-in of this issuer"`
	Since    time.Time `json:"since,omitzero"`
	By       string    `json:"by,omitempty"`
}

// SetOidcSettings names the provider, in place of the one before. It is asked for its description at once.
type SetOidcSettings struct {
	Issuer  string       `json:"issuer" required:"true" maxLength:"512" doc:"https://…, exactly as the provider says it of itself"`
	Client  string       `json:"client" required:"true" maxLength:"256" doc:"The client's id at the provider"`
	Secret  *secret.Text `json:"secret,omitempty" maxLength:"1024" doc:"The client's secret; left out: the one that there is, if issuer and client are the same; empty: it has none"`
	Name    string       `json:"name,omitempty" maxLength:"40" doc:"What the sign-in page calls it; left out: the issuer's host"`
	Panel   string       `json:"panel" required:"true" maxLength:"253" doc:"https://host:port of the panel, as people reach it: the provider leads back there"`
	CA      string       `json:"ca,omitempty" maxLength:"65536" doc:"PEM of the CAs that the provider's certificate may be of; left out: the usual ones"`
	Inside  bool         `json:"inside,omitempty" doc:"The provider may be at a private or a loopback address; left out: at a public one only"`
	Counts  Counts       `json:"counts,omitempty" enum:"first,both" doc:"What a sign-in there counts as: first is as the password, both is as password and second factor; left out: first"`
	Domains []string     `json:"domains,omitempty" maxItems:"20" doc:"Of mail addresses that the provider alone hands out: its word is believed for whose they are, and binds who signs in to the user of that address"`
}

// SignInWays are the ways to sign in, for who is not signed in yet.
type SignInWays struct {
	Oidc *OidcWay `json:"oidc,omitempty" doc:"The identity provider; left out: there is none"`
}

// OidcWay is the provider, as who signs in has to know it.
type OidcWay struct {
	Name  string `json:"name"`
	Hnctl string `json:"hnctl" doc:"Address of the page that hnctl sends people to"`
}

// CodeNeeded is the object of the problem that is answered (401) where a code of the second factor is lacking: the ticket is good still.
const CodeNeeded = "code"

// OidcSignIn takes the session of who signed in with the provider, by the ticket that the panel gave the browser.
type OidcSignIn struct {
	Ticket   secret.Text  `json:"ticket" required:"true" maxLength:"128"`
	Verifier secret.Text  `json:"verifier" required:"true" maxLength:"128" doc:"What the challenge was made of that the sign-in began with (RFC 7636, S256)"`
	Code     secret.Text  `json:"code,omitempty" maxLength:"40" doc:"Of the second factor, or a recovery code; asked for by object code of a 401"`
	Account  wire.Account `json:"account,omitempty" maxLength:"40" doc:"The one of their accounts to work in; left out: the first"`
}

// Normal is s with what was left out.
func (s SetOidcSettings) Normal() SetOidcSettings {
	if s.Counts == "" {
		s.Counts = First
	}
	if u, err := url.Parse(s.Issuer); err == nil && s.Name == "" {
		s.Name = u.Hostname()
	}
	s.Panel = strings.TrimSuffix(s.Panel, "/")
	out := make([]string, len(s.Domains))
	for i, d := range s.Domains {
		out[i] = strings.ToLower(strings.TrimPrefix(strings.TrimSpace(d), "@"))
	}
	slices.Sort(out)
	s.Domains = slices.Compact(out)
	return s
}

// Validate says what is wrong with s, after Normal, and in which field.
func (s SetOidcSettings) Validate() (field string, err error) {
	for _, c := range []struct {
		field string
		err   error
	}{{"issuer", validateIssuer(s.Issuer)}, {"client", validateClient(s.Client)}, {"secret", s.validateSecret()},
		{"name", validateName(s.Name)}, {"panel", validatePanel(s.Panel)}, {"ca", validateCA(s.CA)}, {"counts", s.Counts.Validate()},
		{"domains", validateDomains(s.Domains)}} {
		if c.err != nil {
			return c.field, c.err
		}
	}
	return "", nil
}

// Validate says why a sign-in can't count as c, or nil.
func (c Counts) Validate() error {
	if !slices.Contains(Counted, c) {
		return fmt.Errorf("counts %q: want first or both", string(c))
	}
	return nil
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < '!' || r > '~' })
}

// validateIssuer: an https address without query and fragment (OpenID Connect Discovery 1.0, section 2).
func validateIssuer(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" ||
		strings.ContainsAny(s, "#\\") || len(s) > 512 || !printable(s) {
		return fmt.Errorf("issuer %q: want https:// and the address that the provider calls itself, without a query", s)
	}
	return nil
}

func validateClient(s string) error {
	if s == "" || len(s) > 256 || !printable(s) {
		return fmt.Errorf("client %q: want the client's id at the provider", s)
	}
	return nil
}

func (s SetOidcSettings) validateSecret() error {
	if s.Secret == nil || *s.Secret == "" {
		return nil
	}
	if text := s.Secret.Reveal(); len(text) > 1024 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return errors.New("secret: has a character that can't be typed, or more than 1024 bytes")
	}
	return nil
}

func validateName(s string) error {
	if strings.TrimSpace(s) == "" || len(s) > 40 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		return fmt.Errorf("name %q: want 1 to 40 ASCII letters, digits, signs and spaces", s)
	}
	return nil
}

func validatePanel(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" ||
		u.User != nil || strings.HasSuffix(s, "#") || strings.HasSuffix(s, ":") {
		return fmt.Errorf("panel %q: want https://host:port, without a path", s)
	}
	return nil
}

func validateCA(s string) error {
	if s != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(s)) {
		return errors.New("ca: has no certificate in PEM")
	}
	return nil
}

func validateDomains(list []string) error {
	if len(list) > MaxDomains {
		return fmt.Errorf("domains: there are %d, at most %d", len(list), MaxDomains)
	}
	for _, d := range list {
		if user.ValidateMail("a@"+d) != nil || !strings.Contains(d, ".") {
			return fmt.Errorf("domains: %q: want a domain of mail addresses, such as example.com", d)
		}
	}
	return nil
}

// Believed tells whether the provider's word counts for whose a mail address is.
func Believed(domains []string, mail string) bool {
	_, domain, ok := strings.Cut(user.Normal(mail), "@")
	return ok && slices.Contains(domains, domain)
}
