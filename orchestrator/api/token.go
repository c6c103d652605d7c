package api

import (
	"context"

	"hardnode.dev/internal/wire/operator"
)

func (s *Server) listTokens(_ context.Context, c caller, in *PageInput) (operator.List[operator.Token], error) {
	return page(*in, listed(s.Tokens.List(c.Account), func(t operator.Token) string { return t.Name + " " + t.ID }))
}

func (s *Server) createToken(ctx context.Context, c caller, in *body[operator.NewToken]) (made operator.MadeToken, err error) {
	err = s.do(c, "token.create", "tokens/"+in.Body.Name, func() (err error) {
		made, err = s.Tokens.Create(ctx, c.Who, c.Account, in.Body)
		return err
	})
	return made, err
}

type tokenInput struct {
	ID string `path:"id" maxLength:"40"`
}

func (s *Server) revokeToken(ctx context.Context, c caller, in *tokenInput) (*none, error) {
	return nil, s.do(c, "token.revoke", "tokens/"+in.ID, func() error { return s.Tokens.Revoke(ctx, in.ID, c.Account) })
}
