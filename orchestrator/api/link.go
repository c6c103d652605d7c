package api

import (
	"context"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/store"
	"hardnode.dev/orchestrator/users"
)

// linkOperations are those on what people are sent by mail, or given, to come back with.
func (s *Server) linkOperations() {
	serve(s, route{"listInvites", "GET", "/invites", "The invites into the caller's account that nobody has accepted yet", authz.Admin,
		200}, s.listInvites)
	serve(s, route{"inviteUser", "POST", "/invites",
		"Invite a person into an account, by a link that is good for 7 days and once", authz.Admin, 201}, s.inviteUser)
	serveWith(s, route{"revokeInvite", "DELETE", "/invites/{invite}", "End an invite: its link is not good any more", authz.Admin, 204},
		s.revokeInvite)
	serve(s, route{"resetPassword", "POST", "/users/{user}/reset",
		"Have a user of the account choose a new password, by a link that is good for an hour and once", authz.Admin, 201}, s.resetPassword)
}

func (s *Server) listInvites(_ context.Context, c caller, in *PageInput) (operator.List[user.Invite], error) {
	return page(*in, listed(s.Users.Invites(c.Account), func(i user.Invite) string { return i.Mail + " " + i.ID }))
}

func (s *Server) inviteUser(ctx context.Context, c caller, in *body[user.NewInvite]) (out user.MadeInvite, err error) {
	of := in.Body.Account
	if of == "" {
		of = c.Account.Owner()
	}
	object := "users/" + user.Normal(in.Body.Mail) + " (" + string(in.Body.Role) + " of " + string(of) + ")"
	return out, s.do(c, "user.invite", object, func() (err error) {
		out, err = s.Users.Invite(ctx, c.Who, in.Body)
		return err
	})
}

type inviteInput struct {
	Invite string `path:"invite" maxLength:"40"`
}

func (s *Server) revokeInvite(ctx context.Context, c caller, in *inviteInput) (*none, error) {
	return nil, s.do(c, "user.uninvite", "invites/"+in.Invite, func() error { return s.Users.RevokeInvite(ctx, c.Account, in.Invite) })
}

func (s *Server) resetPassword(ctx context.Context, c caller, in *userInput) (out user.PasswordReset, err error) {
	return out, s.do(c, "user.reset", "users/"+in.User, func() (err error) {
		out, err = s.Users.Reset(ctx, c.Who, in.User)
		return err
	})
}

// UseLink does what a link is good for, on record: that of the account which it is about.
func (s *Server) UseLink(ctx context.Context, text secret.Text, a users.Answer, from string) (l store.Link, err error) {
	l, known, err := s.Users.Link(ctx, text, from)
	if err != nil {
		return l, err
	}
	if p := a.Checked(l, known); p != nil {
		return l, p
	}
	return l, s.Audit.Do(operator.Audit{Who: l.Mail, Account: l.Account.Owner(), From: from, What: "link." + string(l.Kind),
		Object: "users/" + l.Mail}, func() error { return s.Users.UseLink(ctx, text, a, from) })
}
