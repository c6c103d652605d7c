package api

import (
	"context"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/oidc"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/idp"
)

// oidcOperations are those on the identity provider that users sign in with.
func (s *Server) oidcOperations() {
	serve(s, route{"getOidc", "GET", "/cluster/oidc", "The identity provider that users sign in with", authz.Admin, 200},
		func(context.Context, caller, *none) (oidc.OidcSettings, error) { return s.IDP.Settings(), nil })
	serve(s, route{"setOidc", "PUT", "/cluster/oidc", "Name the identity provider, which is asked what it is like at once", authz.Admin,
		200}, s.setOIDC)
	serveWith(s, route{"removeOidc", "DELETE", "/cluster/oidc", "Have nobody sign in with the identity provider any more", authz.Admin,
		204}, s.removeOIDC)
	serve(s, route{"getSignInWays", "GET", "/sign-in", "The ways to sign in beside a password", "", 200},
		func(context.Context, caller, *none) (oidc.SignInWays, error) { return s.IDP.Ways(), nil })
	serve(s, route{"signInOidc", "POST", "/sessions/oidc",
		"Take the session of who signed in with the identity provider in a browser; its token is shown this once", "", 201}, s.signInOIDC)
}

func (s *Server) setOIDC(ctx context.Context, c caller, in *body[oidc.SetOidcSettings]) (oidc.OidcSettings, error) {
	err := s.do(c, "oidc.set", "cluster/oidc ("+in.Body.Issuer+")", func() error { return s.IDP.Set(ctx, in.Body, c.Name) })
	return s.IDP.Settings(), err
}

func (s *Server) removeOIDC(ctx context.Context, c caller, _ *none) (*none, error) {
	return nil, s.do(c, "oidc.remove", "cluster/oidc", func() error { return s.IDP.Remove(ctx) })
}

func (s *Server) signInOIDC(ctx context.Context, c caller, in *body[oidc.OidcSignIn]) (user.SignedIn, error) {
	return s.SignInOIDC(ctx, in.Body, c.from, "api")
}

// SignInOIDC begins a session of who has a ticket, on record. kind is where: api or panel.
func (s *Server) SignInOIDC(ctx context.Context, in oidc.OidcSignIn, from, kind string) (out user.SignedIn, err error) {
	if out, err = s.Users.Redeem(ctx, in, from, kind); err != nil {
		return out, err
	}
	return out, s.signedIn(ctx, out, from, s.IDP.Name())
}

// ProveUser is nil when a user proves again who they are, on record: what is wrong with it is a refused try of theirs.
func (s *Server) ProveUser(ctx context.Context, w authz.Who, password, code secret.Text, from string) (proof string, err error) {
	if p := ownWish(w); p != nil {
		return "", p
	}
	return proof, s.do(caller{Who: w, from: from}, "user.identity.begin", "users/"+w.User, func() (err error) {
		proof, err = s.Users.Prove(ctx, w, from, password, code)
		return err
	})
}

// ownWish is nil when it is a user who asks, and not somebody who acts as them.
func ownWish(w authz.Who) error {
	c := caller{Who: w}
	if p := person(c, "user"); p != nil {
		return p
	}
	if p := themselves(c, "endIdentity", "user"); p != nil {
		return p
	}
	return nil
}

// BindUser has a user signed in by whom the identity provider says that it is, on record of their first account.
func (s *Server) BindUser(ctx context.Context, id, proof string, c idp.Claim, from string) error {
	who, err := s.Users.Get(wire.AdminAccount, id)
	if err != nil {
		return err
	}
	w := authz.Who{Name: who.Mail, User: id}
	if len(who.Members) > 0 {
		w.Account = who.Members[0].Account
	}
	return s.do(caller{Who: w, from: from}, "user.identity.bind", "users/"+id, func() error { return s.Users.Bind(ctx, id, proof, c) })
}

// EndIdentity has a user sign in with the identity provider no more, on record.
func (s *Server) EndIdentity(ctx context.Context, w authz.Who, e user.EndIdentity, from string) error {
	if err := ownWish(w); err != nil {
		return err
	}
	return s.do(caller{Who: w, from: from}, "user.identity.end", "users/"+w.User, func() error {
		return s.Users.EndIdentity(ctx, w, from, e)
	})
}

func (s *Server) endIdentity(ctx context.Context, c caller, in *body[user.EndIdentity]) (*none, error) {
	return nil, s.EndIdentity(ctx, c.Who, in.Body, c.from)
}

func (s *Server) resetIdentity(ctx context.Context, c caller, in *userInput) (*none, error) {
	return nil, s.do(c, "user.identity.reset", "users/"+in.User, func() error { return s.Users.ResetIdentity(ctx, in.User) })
}
