package api

import (
	"context"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/passkeys"
	"hardnode.dev/orchestrator/store"
)

// passkeyOperations are those on passkeys. They are made, and sign in, at the panel alone.
func (s *Server) passkeyOperations() {
	serve(s, route{"listPasskeys", "GET", "/user/passkeys", "One's own passkeys, by name; the panel adds them", authz.Read, 200},
		s.listPasskeys)
	serveWith(s, route{"renamePasskey", "PATCH", "/user/passkeys/{passkey}", "Give one of one's own passkeys another name", authz.Read,
		204}, s.renamePasskey)
	serveWith(s, route{"removePasskey", "POST", "/user/passkeys/{passkey}/remove", "Sign in with one of one's own passkeys no more",
		authz.Read, 204}, s.removePasskey)
	serveWith(s, route{"resetPasskeys", "DELETE", "/users/{user}/passkeys",
		"Take away all passkeys of a user who lost them; their sessions end", authz.Admin, 204}, s.resetPasskeys)
}

type renamePasskeyInput struct {
	Passkey string `path:"passkey" maxLength:"40"`
	Body    user.RenamePasskey
}

type removePasskeyInput struct {
	Passkey string `path:"passkey" maxLength:"40"`
	Body    user.RemovePasskey
}

func (s *Server) listPasskeys(_ context.Context, c caller, in *PageInput) (operator.List[user.Passkey], error) {
	return page(*in, listed(s.Users.Passkeys(c.Who), func(p user.Passkey) string { return p.Name + "\x00" + p.ID }))
}

func (s *Server) renamePasskey(ctx context.Context, c caller, in *renamePasskeyInput) (*none, error) {
	return nil, s.RenamePasskey(ctx, c.Who, in.Passkey, in.Body.Name, c.from)
}

func (s *Server) removePasskey(ctx context.Context, c caller, in *removePasskeyInput) (*none, error) {
	return nil, s.RemovePasskey(ctx, c.Who, in.Passkey, in.Body, c.from)
}

func (s *Server) resetPasskeys(ctx context.Context, c caller, in *userInput) (*none, error) {
	return nil, s.do(c, "user.passkey.reset", "users/"+in.User, func() error { return s.Users.ResetPasskeys(ctx, in.User) })
}

// ProvePasskey is nil when a user, who wants a passkey of a name, proves again who they are, on record: what is wrong with it is a refused
// try of theirs.
func (s *Server) ProvePasskey(ctx context.Context, w authz.Who, name string, password, code secret.Text, from string) (proof string,
	err error) {
	if p := ownWish(w); p != nil {
		return "", p
	}
	return proof, s.do(caller{Who: w, from: from}, "user.passkey.begin", "users/"+w.User, func() (err error) {
		proof, err = s.Users.ProvePasskey(ctx, w, from, name, password, code)
		return err
	})
}

// AddPasskey keeps a passkey that a user had made, on record.
func (s *Server) AddPasskey(ctx context.Context, w authz.Who, proof string, p store.Passkey, from string) error {
	if err := ownWish(w); err != nil {
		return err
	}
	p.User = w.User
	return s.do(caller{Who: w, from: from}, "user.passkey.add", "users/"+w.User+"/passkeys ("+p.Name+")", func() error {
		return s.Users.AddPasskey(ctx, proof, p)
	})
}

// RenamePasskey gives a user's own passkey another name, on record.
func (s *Server) RenamePasskey(ctx context.Context, w authz.Who, id, name, from string) error {
	if err := ownWish(w); err != nil {
		return err
	}
	return s.do(caller{Who: w, from: from}, "user.passkey.rename", "users/"+w.User+"/passkeys/"+id, func() error {
		return s.Users.RenamePasskey(ctx, w, id, name)
	})
}

// RemovePasskey has a user sign in with one of their own passkeys no more, on record.
func (s *Server) RemovePasskey(ctx context.Context, w authz.Who, id string, r user.RemovePasskey, from string) error {
	if err := ownWish(w); err != nil {
		return err
	}
	return s.do(caller{Who: w, from: from}, "user.passkey.remove", "users/"+w.User+"/passkeys/"+id, func() error {
		return s.Users.RemovePasskey(ctx, w, from, id, r)
	})
}

// SignInPasskey begins a session of whose passkey signed, on record.
func (s *Server) SignInPasskey(ctx context.Context, used passkeys.Used, from string) (out user.SignedIn, err error) {
	if out, err = s.Users.SignInPasskey(ctx, used, "", from, "panel"); err != nil {
		return out, err
	}
	return out, s.signedIn(ctx, out, from, "passkey")
}
