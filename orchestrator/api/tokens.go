package api

import (
	"context"
	"reflect"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/authz"
)

var operationType = reflect.TypeFor[operator.Operation]()

func (s *Server) tokenOperations() {
	add(s, route{"listTokens", "GET", "/tokens", "All tokens, without their text", authz.Admin, 200}, func(context.Context, *none) (*body[operator.List[operator.Token]], error) {
		return list(s.Tokens.List())
	})
	add(s, route{"createToken", "POST", "/tokens", "Make a token; its text is shown this once", authz.Admin, 201}, func(ctx context.Context, in *body[operator.NewToken]) (out *body[operator.MadeToken], err error) {
		err = s.do(ctx, "token.create", "tokens/"+in.Body.Name, func() error {
			made, err := s.Tokens.Create(ctx, in.Body)
			out = &body[operator.MadeToken]{made}
			return err
		})
		return out, err
	})
	add(s, route{"revokeToken", "DELETE", "/tokens/{id}", "Revoke a token at once", authz.Admin, 204}, func(ctx context.Context, in *struct {
		ID string `path:"id" maxLength:"40"`
	}) (*none, error) {
		return nil, s.do(ctx, "token.revoke", "tokens/"+in.ID, func() error { return s.Tokens.Revoke(ctx, in.ID) })
	})
}
