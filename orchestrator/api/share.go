package api

import (
	"context"
	"errors"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/share"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/store"
	"hardnode.dev/orchestrator/world"
)

// shareOperations are those on environments that one account shares with another.
func (s *Server) shareOperations() {
	serve(s, route{"listEnvironmentShares", "GET", "/environments/{env}/shares",
		"With which accounts an environment is shared, and to which it is offered", authz.Read, 200}, s.listGiven)
	serve(s, route{"shareEnvironment", "POST", "/environments/{env}/shares",
		"Offer an environment to another account, whose owners accept it or don't; the answer is the same if there is no such account",
		authz.Write, 201}, s.offerShare)
	serveWith(s, route{"unshareEnvironment", "DELETE", "/environments/{env}/shares/{account}",
		"Share an environment with an account no more, at once, or take the offer back", authz.Write, 204}, s.removeShare)
	serve(s, route{"listShares", "GET", "/shares", "What other accounts share with the caller's, and offer to it", authz.Read, 200},
		s.listTaken)
	serve(s, route{"transferEnvironment", "POST", "/environments/{env}/transfer",
		"Offer an environment that is stopped to another account to be its own, once an owner of that accepts it (acceptShare); " +
			"unshareEnvironment takes the offer back", authz.Admin, 201}, s.transferEnvironment)
	serve(s, route{"acceptShare", "POST", "/shares/{share}/accept",
		"Accept the environment that another account offers: to share it, or, in the role of an owner, as one's own", authz.Admin, 200},
		s.acceptShare)
	serveWith(s, route{"leaveShare", "DELETE", "/shares/{share}",
		"Give back an environment that another account shares, or decline its offer, of which that account is not told", authz.Admin, 204},
		s.leaveShare)
}

type environmentPage struct {
	Env wire.EnvName `path:"env" maxLength:"40"`
	PageInput
}

func (s *Server) listGiven(_ context.Context, c caller, in *environmentPage) (shared operator.List[share.Share], err error) {
	list, err := s.Shares.Given(c.Account, in.Env)
	if err != nil {
		return shared, err
	}
	return page(in.PageInput, listed(list, func(x share.Share) string { return string(x.With) }))
}

type offerInput struct {
	Env  wire.EnvName `path:"env" maxLength:"40"`
	Body share.NewShare
}

func (s *Server) offerShare(ctx context.Context, c caller, in *offerInput) (out share.Share, err error) {
	object := "environments/" + string(in.Env) + "/shares/" + string(in.Body.With) + " (" + string(in.Body.Role) + ")"
	return out, s.do(c, "share.offer", object, func() (err error) {
		out, err = s.Shares.Offer(ctx, c.Account, in.Env, in.Body, c.Name)
		return err
	})
}

type transferInput struct {
	Env  wire.EnvName `path:"env" maxLength:"40"`
	Body share.NewTransfer
}

func (s *Server) transferEnvironment(ctx context.Context, c caller, in *transferInput) (out share.Share, err error) {
	object := "environments/" + string(in.Env) + "/shares/" + string(in.Body.To)
	return out, s.do(c, "transfer.offer", object, func() (err error) {
		out, err = s.Shares.Transfer(ctx, c.Account, in.Env, in.Body.To, c.Name, s.Ops.Transferable)
		return err
	})
}

type removeShareInput struct {
	Env     wire.EnvName `path:"env" maxLength:"40"`
	Account wire.Account `path:"account" maxLength:"40"`
}

func (s *Server) removeShare(ctx context.Context, c caller, in *removeShareInput) (*none, error) {
	record := c.record("share.end", "environments/"+string(in.Env)+"/shares/"+string(in.Account))
	if s.Shares.Accepted(c.Account, in.Env, in.Account) {
		record.With = in.Account
	}
	return nil, s.Audit.Do(record, func() error { return s.Shares.Remove(ctx, c.Account, in.Env, in.Account) })
}

func (s *Server) listTaken(_ context.Context, c caller, in *PageInput) (operator.List[share.Share], error) {
	return page(*in, listed(s.Shares.Taken(c.Account), func(x share.Share) string { return string(x.Env) }))
}

type takenInput struct {
	Share wire.EnvName `path:"share" maxLength:"40" doc:"The environment's name"`
}

func (s *Server) acceptShare(ctx context.Context, c caller, in *takenInput) (out share.Share, err error) {
	if s.Shares.Offers(c.Account, in.Share) {
		return s.acceptTransfer(ctx, c, in)
	}
	record := c.record("share.accept", "environments/"+string(in.Share)+"/shares/"+string(c.Account))
	record.With, _ = s.Shares.From(c.Account, in.Share)
	return out, s.Audit.Do(record, func() (err error) {
		out, err = s.Shares.Accept(ctx, c.Account, in.Share)
		return err
	})
}

// acceptTransfer has both accounts' records say that an environment changes hands, and the old one's which of its tokens end with that.
func (s *Server) acceptTransfer(ctx context.Context, c caller, in *takenInput) (out share.Share, err error) {
	record := c.record("transfer.accept", "environments/"+string(in.Share)+"/shares/"+string(c.Account))
	record.With, _ = s.Shares.From(c.Account, in.Share)
	var ended []store.Token
	err = s.Audit.Do(record, func() (err error) {
		out, ended, err = s.Ops.Transfer(ctx, in.Share, c.Account, c.asker())
		return err
	})
	for _, t := range ended {
		err = errors.Join(err, s.Audit.Write(operator.Audit{Who: world.Guest(c.Account), Account: t.Account.Owner(), What: "token.end",
			Object: "tokens/" + t.ID, Result: "ok: " + t.Over.Why}))
	}
	return out, err
}

func (s *Server) leaveShare(ctx context.Context, c caller, in *takenInput) (*none, error) {
	record := c.record("share.leave", "environments/"+string(in.Share)+"/shares/"+string(c.Account))
	if from, accepted := s.Shares.From(c.Account, in.Share); accepted {
		record.With = from
	}
	return nil, s.Audit.Do(record, func() error { return s.Shares.Leave(ctx, c.Account, in.Share) })
}
