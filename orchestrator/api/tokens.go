package api

import (
	"context"
	"reflect"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/authz"
)

var (
	operationType = reflect.TypeFor[operator.Operation]()
	problemType   = reflect.TypeFor[operator.Problem]()
)

func (s *Server) tokenOperations() {
	add(s, route{"listTokens", "GET", "/tokens", "All tokens, without their text", authz.Admin, 200}, func(_ context.Context, in *PageInput) (*body[operator.List[operator.Token]], error) {
		return page(*in, listed(s.Tokens.List(), func(t operator.Token) string { return t.Name + " " + t.ID }))
	})
	add(s, route{"createToken", "POST", "/tokens", "Make a token; its text is shown this once", authz.Admin, 201}, func(ctx context.Context, in *body[operator.NewToken]) (out *body[operator.MadeToken], err error) {
		err = s.do(ctx, "token.create", "tokens/"+in.Body.Name, func() error {
			made, err := s.Tokens.Create(ctx, in.Body)
			out = &body[operator.MadeToken]{made}
			return err
		})
		return out, err
	})
	add(s, route{"createJoinToken", "POST", "/join-tokens", "Make a one-time join token for a host; its text is shown this once", authz.Admin, 201}, func(ctx context.Context, in *body[operator.NewJoinToken]) (out *body[operator.JoinToken], err error) {
		err = s.do(ctx, "host.token", "hosts/"+in.Body.Name, func() error {
			made, err := s.Enroll.NewToken(ctx, in.Body)
			out = &body[operator.JoinToken]{made}
			return err
		})
		return out, err
	})
	add(s, route{"removeHost", "DELETE", "/hosts/{host}", "Remove a host that is off for good, by id or name; its nodes are made anew elsewhere", authz.Admin, 204}, func(ctx context.Context, in *struct {
		Host string `path:"host" maxLength:"63"`
	}) (*none, error) {
		h, ok := s.world(ctx).Host(in.Host)
		if !ok {
			return nil, noHost(in.Host)
		}
		return nil, s.do(ctx, "host.remove", "hosts/"+h.Name, func() error { return s.Enroll.Remove(ctx, h.ID, h.State) })
	})
	add(s, route{"revokeToken", "DELETE", "/tokens/{id}", "Revoke a token at once", authz.Admin, 204}, func(ctx context.Context, in *struct {
		ID string `path:"id" maxLength:"40"`
	}) (*none, error) {
		return nil, s.do(ctx, "token.revoke", "tokens/"+in.ID, func() error { return s.Tokens.Revoke(ctx, in.ID) })
	})
}
