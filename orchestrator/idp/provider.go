package idp

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire/oidc"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/outward"
	"hardnode.dev/orchestrator/store"
)

// How long what the provider says of itself is used, and how long it is left alone after it did not answer.
const (
	foundFor = time.Hour
	restFor  = 5 * time.Second
)

// algorithms are those that a provider may sign with. Neither none nor one with a key that both sides have (HS…) is among them.
var algorithms = []string{goidc.RS256, goidc.RS384, goidc.RS512, goidc.ES256, goidc.ES384, goidc.ES512, goidc.PS256, goidc.PS384,
	goidc.PS512, goidc.EdDSA}

// found is a provider that was asked what it is like. It may be used by many at the same time.
type found struct {
	*goidc.Provider
	client *http.Client
	style  oauth2.AuthStyle
	of     store.OIDC
	at     time.Time
}

// same tells whether a provider was found by these settings.
func (f *found) same(rec store.OIDC) bool {
	return f.of.Issuer == rec.Issuer && f.of.CA == rec.CA && f.of.Inside == rec.Inside
}

// with is a context whose calls go by the provider's client.
func (f *found) with(ctx context.Context) context.Context { return goidc.ClientContext(ctx, f.client) }

// discover asks a provider what it is like (OpenID Connect Discovery 1.0).
func (d *Desk) discover(ctx context.Context, rec store.OIDC) (*found, error) {
	var roots *x509.CertPool
	if rec.CA != "" {
		roots = x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(rec.CA))
	}
	f := &found{client: d.rules(rec).Client(roots), of: rec, at: d.Now()}
	ctx, cancel := outward.Within(ctx, 1)
	defer cancel()
	var err error
	if f.Provider, err = goidc.NewProvider(f.with(ctx), rec.Issuer); err != nil {
		return nil, fmt.Errorf("ask %s what it is like: %s", rec.Issuer, short(err))
	}
	var says struct {
		Authorize string   `json:"authorization_endpoint"`
		Token     string   `json:"token_endpoint"`
		Keys      string   `json:"jwks_uri"`
		UserInfo  string   `json:"userinfo_endpoint"`
		Auth      []string `json:"token_endpoint_auth_methods_supported"`
		Methods   []string `json:"code_challenge_methods_supported"`
	}
	if err := f.Claims(&says); err != nil {
		return nil, fmt.Errorf("%s: its description: %s", rec.Issuer, short(err))
	}
	for name, at := range map[string]string{"authorization_endpoint": says.Authorize, "token_endpoint": says.Token, "jwks_uri": says.Keys,
		"userinfo_endpoint": says.UserInfo} {
		if at == "" && name == "userinfo_endpoint" {
			continue
		}
		if u, err := url.Parse(at); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
			return nil, fmt.Errorf("%s: its %s is %q, want an https address", rec.Issuer, name, at)
		}
	}
	if len(says.Methods) > 0 && !slices.Contains(says.Methods, "S256") {
		return nil, fmt.Errorf("%s: it does not know PKCE with S256 (RFC 7636)", rec.Issuer)
	}
	f.style = oauth2.AuthStyleInHeader // what is meant where nothing is said (Discovery 1.0, section 3)
	if len(says.Auth) > 0 && !slices.Contains(says.Auth, "client_secret_basic") {
		f.style = oauth2.AuthStyleInParams
	}
	return f, nil
}

// short is an error of a call without the page that an answer may have been.
func short(err error) string {
	s := err.Error()
	if len(s) > 300 {
		s = s[:300] + "…"
	}
	return s
}

// provider is the one of the settings. One that was found before does while it can't be asked anew.
func (d *Desk) provider(ctx context.Context, rec store.OIDC) (*found, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	had := d.mu.found
	if had != nil && !had.same(rec) {
		had, d.mu.found, d.mu.failed = nil, nil, nil
	}
	now := d.Now()
	if had != nil && now.Sub(had.at) < foundFor {
		return had, nil
	}
	if d.mu.failed == nil || !now.Before(d.mu.again) {
		f, err := d.discover(ctx, rec)
		d.mu.failed, d.mu.again = err, d.Now().Add(restFor)
		if err == nil {
			d.mu.found = f
			return f, nil
		}
		d.log().Warn("the identity provider can't be reached", logging.Err, err)
	}
	if had != nil {
		return had, nil
	}
	return nil, d.mu.failed
}

// config is how the provider is asked for a code, and for what that is good for.
func (d *Desk) config(rec store.OIDC, f *found) (*oauth2.Config, error) {
	c := &oauth2.Config{ClientID: rec.Client, Endpoint: f.Endpoint(), RedirectURL: rec.Panel + oidc.BackPath,
		Scopes: []string{goidc.ScopeOpenID, "email", "profile"}}
	c.Endpoint.AuthStyle = f.style
	if len(rec.Secret) == 0 {
		c.Endpoint.AuthStyle = oauth2.AuthStyleInParams
		return c, nil
	}
	plain, err := d.Keys.Open(sealedAs, rec.Secret)
	if err != nil {
		return nil, err
	}
	c.ClientSecret = string(plain.Reveal())
	return c, nil
}

// truth is a claim that is true or false, which some providers send as text.
type truth bool

// UnmarshalJSON reads it.
func (t *truth) UnmarshalJSON(raw []byte) error {
	*t = truth(string(raw) == "true" || string(raw) == `"true"`)
	return nil
}

// mailClaims are what a provider says of somebody's mail address.
type mailClaims struct {
	Mail     string `json:"email"`
	Verified truth  `json:"email_verified"`
}

// exchanged is whom a code is of, by the ID token that the provider gives for it.
func (d *Desk) exchanged(ctx context.Context, rec store.OIDC, f *found, fl *flow, code string) (c Claim, err error) {
	ctx, cancel := outward.Within(f.with(ctx), 2)
	defer cancel()
	conf, err := d.config(rec, f)
	if err != nil {
		return c, err
	}
	token, err := conf.Exchange(ctx, code, oauth2.VerifierOption(fl.verifier))
	if err != nil {
		var refused *oauth2.RetrieveError
		if errors.As(err, &refused) && refused.Response != nil && refused.Response.StatusCode < http.StatusInternalServerError {
			return c, fmt.Errorf("it took the code for nothing: %s", short(errorCode(refused.ErrorCode)))
		}
		return c, unreached{err}
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok || len(raw) > 64<<10 {
		return c, errors.New("it gave no ID token")
	}
	id, err := f.Verifier(&goidc.Config{ClientID: rec.Client, SupportedSigningAlgs: algorithms, Now: d.Now}).Verify(ctx, raw)
	if err != nil {
		return c, fmt.Errorf("its ID token is not right: %s", short(err))
	}
	var says struct {
		mailClaims
		Party string `json:"azp"`
	}
	if err := id.Claims(&says); err != nil {
		return c, fmt.Errorf("its ID token is not right: %s", short(err))
	}
	switch {
	case !equal(id.Nonce, fl.nonce):
		return c, errors.New("its ID token is of another sign-in")
	case id.Issuer != rec.Issuer:
		return c, errors.New("its ID token is of another issuer")
	case says.Party != "" && says.Party != rec.Client || len(id.Audience) > 1 && says.Party == "":
		return c, errors.New("its ID token was made for another client")
	case id.Subject == "" || len(id.Subject) > 255:
		return c, errors.New("its ID token does not say of whom it is")
	}
	if says.Mail == "" && f.UserInfoEndpoint() != "" {
		says.mailClaims = d.asked(ctx, f, token, id.Subject)
	}
	c = Claim{Issuer: rec.Issuer, Subject: id.Subject, Name: rec.Name, Both: rec.Counts == oidc.Both}
	if user.ValidateMail(says.Mail) == nil {
		c.Mail = user.Normal(says.Mail)
		c.Believed = bool(says.Verified) && oidc.Believed(rec.Domains, c.Mail)
	}
	return c, nil
}

// asked is what the provider says of somebody's mail address where the ID token does not. Without an answer there is none.
func (d *Desk) asked(ctx context.Context, f *found, token *oauth2.Token, subject string) (out mailClaims) {
	info, err := f.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err == nil && info.Subject != subject {
		err = errors.New("it is of somebody else")
	}
	if err == nil {
		err = info.Claims(&out)
	}
	if err != nil {
		d.log().Warn("the identity provider does not say somebody's mail address", logging.Err, short(err))
		return mailClaims{}
	}
	return out
}

// unreached is that a provider did not answer, or not with what it has to.
type unreached struct{ err error }

func (u unreached) Error() string { return short(u.err) }

// errorCode is a code of an error (RFC 6749, section 5.2), as far as it is one.
func errorCode(s string) error {
	if s == "" || len(s) > 60 {
		return errors.New("without a reason")
	}
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r == '_' || r >= '0' && r <= '9') {
			return errors.New("without a reason")
		}
	}
	return errors.New(s)
}
