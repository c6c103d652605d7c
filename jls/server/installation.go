package server

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"hardnode.dev/internal/license"
	"hardnode.dev/internal/license/issue"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/jls/ledger"
)

// installation registers what installations use.
func (s *Server) installation(api huma.API) {
	huma.Register(api, route(http.MethodPost, jls.PathActivate, "activate",
		"Bind a licence to an installation"), func(ctx context.Context, in *signed) (*reply[jls.LeaseReply], error) {
		body, err := s.activate(ctx, in.Body)
		return answer(ctx, s, "activate", body, err)
	})
	huma.Register(api, route(http.MethodPost, jls.PathLease, "lease",
		"Renew an installation's lease"), func(ctx context.Context, in *signed) (*reply[jls.LeaseReply], error) {
		body, err := s.renew(ctx, in.Body)
		return answer(ctx, s, "lease", body, err)
	})
	huma.Register(api, route(http.MethodPost, jls.PathSeats, "seats",
		"Report an installation's hosts"), func(ctx context.Context, in *signed) (*reply[jls.SeatsReply], error) {
		body, err := s.seats(ctx, in.Body)
		return answer(ctx, s, "seats", body, err)
	})
}

func (s *Server) activate(ctx context.Context, in jls.Signed) (jls.LeaseReply, error) {
	a, err := jls.DecodeActivate(in.Body)
	if err != nil {
		return jls.LeaseReply{}, invalid(err)
	}
	if err := in.Check(jls.PathActivate, a.Key); err != nil {
		return jls.LeaseReply{}, denied(a.Installation, err)
	}
	now := s.Now()
	lic, err := license.Verify(a.License, s.Root, now)
	if err != nil {
		return jls.LeaseReply{}, operator.NewProblem(codeOf(err), "licence", err.Error(),
			"get a licence from the JLS's owner: jls licence issue")
	}
	g, err := s.Ledger.Activate(ctx, a, lic, now)
	if err != nil {
		return jls.LeaseReply{}, err
	}
	s.Log.Info("activated", "installation", a.Installation, "cluster", a.Cluster, "licence", lic.ID, "customer", lic.Customer)
	return s.lease(g)
}

func (s *Server) renew(ctx context.Context, in jls.Signed) (jls.LeaseReply, error) {
	r, err := jls.DecodeRenew(in.Body)
	if err != nil {
		return jls.LeaseReply{}, invalid(err)
	}
	if err := s.check(ctx, jls.PathLease, r.Installation, in); err != nil {
		return jls.LeaseReply{}, err
	}
	g, err := s.Ledger.Renew(ctx, r, s.Now())
	if err != nil {
		return jls.LeaseReply{}, err
	}
	return s.lease(g)
}

func (s *Server) seats(ctx context.Context, in jls.Signed) (jls.SeatsReply, error) {
	r, err := jls.DecodeSeats(in.Body)
	if err != nil {
		return jls.SeatsReply{}, invalid(err)
	}
	if err := s.check(ctx, jls.PathSeats, r.Installation, in); err != nil {
		return jls.SeatsReply{}, err
	}
	reply, err := s.Ledger.Report(ctx, r, s.Now())
	if err == nil && len(reply.Over) > 0 {
		s.Log.Warn("more hosts than the licence allows", "installation", r.Installation, "allowed", reply.Allowed, "used", reply.Used)
	}
	return reply, err
}

// check looks the installation's key up and verifies the signature with it.
func (s *Server) check(ctx context.Context, path string, id jls.InstallationID, in jls.Signed) error {
	key, err := s.Ledger.Key(ctx, id)
	if err != nil {
		return err
	}
	if err := in.Check(path, key); err != nil {
		return denied(id, err)
	}
	return nil
}

func (s *Server) lease(g ledger.Granted) (jls.LeaseReply, error) {
	now := s.Now().UTC()
	token, err := s.Signer.Lease(license.Lease{ID: issue.NewID("lease-"), License: g.License, Installation: string(g.Installation),
		Key: license.KeyID(g.Key), Issued: now, Expires: g.Until})
	if err == nil {
		s.Log.Info("lease", "installation", g.Installation, logging.Reason, "renewed until "+g.Until.Format("2006-01-02"))
	}
	return jls.LeaseReply{Lease: token, Now: now}, err
}

func invalid(err error) error { return operator.NewProblem(operator.Invalid, "body", err.Error(), "") }

func denied(id jls.InstallationID, err error) error {
	return operator.NewProblem(operator.Denied, "installations/"+string(id), err.Error(),
		"sign with the key the installation was activated with")
}

// codeOf: a licence that can't be read is the sender's mistake; a genuine one that is not good, or a forged one, is a refusal.
func codeOf(err error) operator.Code {
	if errors.Is(err, license.ErrMalformed) {
		return operator.Invalid
	}
	return operator.Denied
}
