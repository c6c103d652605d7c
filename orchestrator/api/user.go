package api

import (
	"context"
	"errors"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/store"
)

// userOperations are those on users and their sessions.
func (s *Server) userOperations() {
	serve(s, route{"signIn", "POST", "/sessions", "Sign in: begin a session of a user; its token is shown this once", "", 201}, s.signIn)
	serve(s, route{"listSessions", "GET", "/sessions", "One's own sessions, the newest first", authz.Read, 200}, s.listSessions)
	serveWith(s, route{"endSession", "DELETE", "/sessions/{session}", "End one of one's own sessions at once: current is the one that asks",
		authz.Read, 204}, s.endSession)
	serveWith(s, route{"endSessions", "DELETE", "/sessions", "End all of one's own sessions", authz.Read, 204}, s.endSessions)
	serve(s, route{"getSelf", "GET", "/user", "Who is signed in", authz.Read, 200}, s.getSelf)
	serve(s, route{"changeSelf", "PATCH", "/user", "Change one's own name", authz.Read, 200}, s.changeSelf)
	serveWith(s, route{"changePassword", "PUT", "/user/password", "Change one's own password; all sessions end", authz.Read, 204},
		s.changePassword)
	serve(s, route{"beginSecondFactor", "POST", "/user/second-factor",
		"Make a second factor (TOTP, RFC 6238), which is in force once a code of it is sent", authz.Read, 201}, s.beginFactor)
	serve(s, route{"confirmSecondFactor", "PUT", "/user/second-factor",
		"Put the second factor in force, by a code of it; its recovery codes are shown this once", authz.Read, 200}, s.confirmFactor)
	serve(s, route{"renewRecoveryCodes", "POST", "/user/second-factor/recovery-codes",
		"Make new recovery codes in place of those that are left; they are shown this once", authz.Read, 201}, s.renewRecovery)
	serveWith(s, route{"endSecondFactor", "POST", "/user/second-factor/remove", "Take one's own second factor away", authz.Read, 204},
		s.endFactor)
	serveWith(s, route{"endIdentity", "POST", "/user/identity/remove", "Sign in with the identity provider no more", authz.Read, 204},
		s.endIdentity)

	serve(s, route{"listUsers", "GET", "/users", "The users of the caller's account, by mail address", authz.Admin, 200}, s.listUsers)
	serve(s, route{"getUser", "GET", "/users/{user}", "One user, by id or mail address", authz.Admin, 200}, s.getUser)
	serve(s, route{"createUser", "POST", "/users", "Make a user who is in one account", authz.Admin, 201}, s.createUser)
	serveWith(s, route{"deleteUser", "DELETE", "/users/{user}",
		"Delete a user; their sessions end, and the tokens that they made", authz.Admin, 204}, s.deleteUser)
	serveWith(s, route{"resetSecondFactor", "DELETE", "/users/{user}/second-factor",
		"Take away the second factor of a user who lost it; their sessions end", authz.Admin, 204}, s.resetFactor)
	serveWith(s, route{"resetIdentity", "DELETE", "/users/{user}/identity",
		"Have a user sign in with the identity provider no more; their sessions end", authz.Admin, 204}, s.resetIdentity)
	serveWith(s, route{"endUserSessions", "DELETE", "/users/{user}/sessions", "End all sessions of a user", authz.Admin, 204},
		s.endUserSessions)
	serve(s, route{"signInAs", "POST", "/users/{user}/sign-in-as",
		"Act as a user for an hour at most, for a reason that their account is told; the token is shown this once", authz.Admin, 201},
		s.signInAs)
	serve(s, route{"setMember", "PUT", "/accounts/{account}/users/{user}",
		"Give a user of the account another role; those who run the cluster also put others in", authz.Admin, 200}, s.setMember)
	serveWith(s, route{"removeMember", "DELETE", "/accounts/{account}/users/{user}",
		"Take a user out of an account; their sessions in it end, and the tokens that they made there", authz.Admin, 204}, s.removeMember)
	serveWith(s, route{"endActing", "DELETE", "/accounts/{account}/users/{user}/acting",
		"End what those who run the cluster do as a user in an account", authz.Admin, 204}, s.endActing)
}

// ofPeople are the operations on who asks: they are for users, not for tokens.
var ofPeople = map[string]bool{"listSessions": true, "endSession": true, "endSessions": true, "getSelf": true, "changeSelf": true,
	"changePassword": true, "beginSecondFactor": true, "confirmSecondFactor": true, "endSecondFactor": true,
	"renewRecoveryCodes": true, "endIdentity": true, "listPasskeys": true, "renamePasskey": true, "removePasskey": true}

// byActing are those of them that are asked by who acts as a user: who they are, and the end of it.
var byActing = map[string]bool{"getSelf": true, "endSession": true}

// ofThemselves are the operations that nobody does for another, beside those of people and those that need scope admin: what they make
// lasts.
var ofThemselves = map[string]bool{"shareEnvironment": true, "unshareEnvironment": true, "transferEnvironment": true,
	"acceptShare": true, "leaveShare": true}

// themselves is nil unless somebody acts as a user and asks for what a user does themselves.
func themselves(c caller, id, object string) *operator.Problem {
	if c.Acting == nil || byActing[id] || !ofPeople[id] && !ofThemselves[id] {
		return nil
	}
	return operator.NewProblem(operator.Denied, object, c.Acting.By+" acts as "+c.Name+", who does this themselves",
		"have the user do it")
}

// person is nil when the caller is a user.
func person(c caller, object string) *operator.Problem {
	if c.User != "" {
		return nil
	}
	return operator.NewProblem(operator.Denied, object, "it is about the user who asks, and token \""+c.Name+"\" is no user's",
		"sign in: POST /sessions")
}

func (s *Server) signIn(ctx context.Context, c caller, in *body[user.SignIn]) (out user.SignedIn, err error) {
	return s.SignIn(ctx, in.Body, c.from, "api")
}

// SignIn begins a session of a user, on record. kind is where: api or panel.
func (s *Server) SignIn(ctx context.Context, in user.SignIn, from, kind string) (out user.SignedIn, err error) {
	out, err = s.Users.SignIn(ctx, in, from, kind)
	if err != nil {
		return out, err
	}
	return out, s.signedIn(ctx, out, from, "")
}

// SignOut ends the session that asks, on record.
func (s *Server) SignOut(ctx context.Context, w authz.Who, from string) error {
	return s.do(caller{Who: w, from: from}, "session.end", "sessions/"+w.ID, func() error { return s.Users.EndSession(ctx, w, "current") })
}

// signedIn records that somebody signed in, and by what, "" being their password. Where that can't be recorded nobody does.
func (s *Server) signedIn(ctx context.Context, in user.SignedIn, from, by string) error {
	who, p := s.Tokens.CheckHash(authz.Hash(in.Token))
	if p != nil {
		return p
	}
	object := "sessions/" + in.ID
	if by != "" {
		object += " (" + by + ")"
	}
	err := s.do(caller{Who: who, from: from}, "session.begin", object, func() error { return nil })
	if err != nil {
		s.Users.EndSession(context.WithoutCancel(ctx), who, in.ID)
	}
	return err
}

type signInAsInput struct {
	User string `path:"user" maxLength:"254"`
	Body user.SignInAs
}

// signInAs lets somebody who runs the cluster act as a user. The account's own record tells of it too: without that nobody does.
func (s *Server) signInAs(ctx context.Context, c caller, in *signInAsInput) (out user.SignedIn, err error) {
	err = s.do(c, "user.sign-in-as", "users/"+in.User+": "+in.Body.Reason, func() (err error) {
		out, err = s.Users.SignInAs(ctx, c.Who, in.User, in.Body)
		return err
	})
	if err != nil {
		return out, err
	}
	who, p := s.Tokens.CheckHash(authz.Hash(out.Token))
	if p != nil {
		return user.SignedIn{}, p
	}
	told := operator.Audit{Who: c.Called(), Account: who.Account, What: "user.sign-in-as",
		Object: "users/" + who.Name + ": " + in.Body.Reason, Result: "ok: until " + who.Expires.Format(time.RFC3339)}
	if err := s.Audit.Write(told); err != nil {
		s.Users.EndSession(context.WithoutCancel(ctx), who, out.ID)
		return user.SignedIn{}, operator.NewProblem(operator.Unavailable, "audit", "the audit record can't be written, so nothing was done",
			"check the orchestrator's disk")
	}
	return out, nil
}

func (s *Server) listSessions(_ context.Context, c caller, in *PageInput) (operator.List[user.UserSession], error) {
	return page(*in, listed(s.Users.Sessions(c.Who), func(x user.UserSession) string { return x.ID }))
}

type sessionInput struct {
	Session string `path:"session" maxLength:"40"`
}

func (s *Server) endSession(ctx context.Context, c caller, in *sessionInput) (*none, error) {
	if c.Acting != nil {
		in.Session = "current"
	}
	return nil, s.do(c, "session.end", "sessions/"+in.Session, func() error { return s.Users.EndSession(ctx, c.Who, in.Session) })
}

func (s *Server) endSessions(ctx context.Context, c caller, _ *none) (*none, error) {
	return nil, s.do(c, "session.end", "sessions", func() error { return s.Users.EndSessions(ctx, c.User) })
}

func (s *Server) getSelf(_ context.Context, c caller, _ *none) (user.User, error) {
	u, err := s.Users.Self(c.Who)
	u.Acting = c.Acting
	return u, err
}

func (s *Server) changeSelf(ctx context.Context, c caller, in *body[user.ChangeSelf]) (out user.User, err error) {
	return out, s.do(c, "user.change", "users/"+c.User, func() (err error) {
		out, err = s.Users.ChangeSelf(ctx, c.Who, in.Body)
		return err
	})
}

func (s *Server) changePassword(ctx context.Context, c caller, in *body[user.ChangePassword]) (*none, error) {
	return nil, s.do(c, "user.password", "users/"+c.User, func() error { return s.Users.ChangePassword(ctx, c.Who, c.from, in.Body) })
}

func (s *Server) beginFactor(ctx context.Context, c caller, in *body[user.BeginSecondFactor]) (out user.NewSecondFactor, err error) {
	return out, s.do(c, "user.factor.begin", "users/"+c.User, func() (err error) {
		out, err = s.Users.BeginFactor(ctx, c.Who, c.from, in.Body)
		return err
	})
}

func (s *Server) confirmFactor(ctx context.Context, c caller, in *body[user.ConfirmSecondFactor]) (out user.RecoveryCodes, err error) {
	return out, s.do(c, "user.factor.confirm", "users/"+c.User, func() (err error) {
		out, err = s.Users.ConfirmFactor(ctx, c.Who, c.from, in.Body.Code)
		return err
	})
}

func (s *Server) renewRecovery(ctx context.Context, c caller, in *body[user.RenewRecovery]) (out user.RecoveryCodes, err error) {
	return out, s.do(c, "user.factor.codes", "users/"+c.User, func() (err error) {
		out, err = s.Users.RenewRecovery(ctx, c.Who, c.from, in.Body)
		return err
	})
}

func (s *Server) endFactor(ctx context.Context, c caller, in *body[user.EndSecondFactor]) (*none, error) {
	return nil, s.do(c, "user.factor.end", "users/"+c.User, func() error { return s.Users.EndFactor(ctx, c.Who, c.from, in.Body) })
}

func (s *Server) listUsers(_ context.Context, c caller, in *PageInput) (operator.List[user.User], error) {
	return page(*in, listed(s.Users.List(c.Account), func(u user.User) string { return u.Mail }))
}

type userInput struct {
	User string `path:"user" maxLength:"254"`
}

func (s *Server) getUser(_ context.Context, c caller, in *userInput) (user.User, error) {
	return s.Users.Get(c.Account, in.User)
}

func (s *Server) createUser(ctx context.Context, c caller, in *body[user.NewUser]) (out user.User, err error) {
	object := "users/" + user.Normal(in.Body.Mail) + " (" + string(in.Body.Role) + " of " + string(in.Body.Account) + ")"
	return out, s.doOf(c, in.Body.Account, "user.create", object, func() (err error) {
		out, err = s.Users.Create(ctx, in.Body, c.Name)
		return err
	})
}

func (s *Server) deleteUser(ctx context.Context, c caller, in *userInput) (*none, error) {
	return nil, s.leaves(c, c.Account, "user.delete", "users/"+in.User, func() ([]store.Token, error) {
		return s.Users.Delete(ctx, in.User)
	})
}

func (s *Server) resetFactor(ctx context.Context, c caller, in *userInput) (*none, error) {
	return nil, s.do(c, "user.factor.reset", "users/"+in.User, func() error { return s.Users.ResetFactor(ctx, in.User) })
}

func (s *Server) endUserSessions(ctx context.Context, c caller, in *userInput) (*none, error) {
	return nil, s.do(c, "session.end", "users/"+in.User+"/sessions", func() error { return s.Users.EndSessions(ctx, in.User) })
}

// MemberInput names a user of an account. It is exported as one in an embedded type is taken only then.
type MemberInput struct {
	Account wire.Account `path:"account" maxLength:"40"`
	User    string       `path:"user" maxLength:"254"`
}

type setMemberInput struct {
	MemberInput
	Body user.SetMember
}

func (s *Server) setMember(ctx context.Context, c caller, in *setMemberInput) (out user.User, err error) {
	object := "accounts/" + string(in.Account) + "/users/" + in.User + " (" + string(in.Body.Role) + ")"
	return out, s.doOf(c, in.Account, "user.role", object, func() (err error) {
		out, err = s.Users.SetMember(ctx, c.Who, in.Account, in.User, in.Body.Role)
		return err
	})
}

func (s *Server) removeMember(ctx context.Context, c caller, in *MemberInput) (*none, error) {
	return nil, s.leaves(c, in.Account, "user.remove", "accounts/"+string(in.Account)+"/users/"+in.User, func() ([]store.Token, error) {
		return s.Users.RemoveMember(ctx, c.Who, in.Account, in.User)
	})
}

func (s *Server) endActing(ctx context.Context, c caller, in *MemberInput) (*none, error) {
	object := "accounts/" + string(in.Account) + "/users/" + in.User
	return nil, s.doOf(c, in.Account, "user.end-acting", object, func() error {
		return s.Users.EndActing(ctx, c.Who, in.Account, in.User)
	})
}

// leaves audits that a user leaves an account, and each token that ends with them, which the account of the token reads of.
func (s *Server) leaves(c caller, of wire.Account, what, object string, effect func() ([]store.Token, error)) error {
	var ended []store.Token
	err := s.doOf(c, of, what, object, func() (err error) {
		ended, err = effect()
		return err
	})
	for _, t := range ended {
		a := c.recordOf(t.Account, "token.end", "tokens/"+t.ID)
		a.Result = "ok: " + t.Over.Why
		err = errors.Join(err, s.Audit.Write(a))
	}
	return err
}
