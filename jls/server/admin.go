package server

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/jls/keys"
)

const admin = "admin" // who, in audit rows

type byID struct {
	ID string `path:"id" maxLength:"60"`
}

// admin registers what the JLS's own administrator uses.
func (s *Server) admin(api huma.API) {
	op := func(method, path, id, summary string) huma.Operation {
		o := route(method, path, id, summary)
		o.Middlewares = huma.Middlewares{s.bearer(api)}
		o.Security = []map[string][]string{{"admin": {}}}
		return o
	}
	huma.Register(api, op(http.MethodGet, jls.PathLicenses, "list-licenses",
		"List licences"), func(ctx context.Context, _ *struct{}) (*reply[[]jls.License], error) {
		body, err := s.Ledger.Licenses(ctx)
		return answer(ctx, s, "list licences", body, err)
	})
	huma.Register(api, op(http.MethodPost, jls.PathLicenses, "issue-license",
		"Issue a licence"), func(ctx context.Context, in *struct{ Body jls.NewLicense }) (*reply[jls.IssuedLicense], error) {
		body, err := s.issue(ctx, in.Body)
		return answer(ctx, s, "issue licence", body, err)
	})
	huma.Register(api, op(http.MethodPost, jls.PathLicenses+"/{id}/revoke", "revoke-license",
		"Revoke a licence"), func(ctx context.Context, in *byID) (*reply[jls.License], error) {
		body, err := s.Ledger.Revoke(ctx, admin, in.ID, s.Now())
		return answer(ctx, s, "revoke licence", body, err)
	})
	huma.Register(api, op(http.MethodGet, jls.PathInstallations, "list-installations",
		"List installations"), func(ctx context.Context, _ *struct{}) (*reply[[]jls.Installation], error) {
		body, err := s.Ledger.Installations(ctx)
		return answer(ctx, s, "list installations", body, err)
	})
	huma.Register(api, op(http.MethodPost, jls.PathInstallations+"/{id}/release", "release-installation",
		"Free an installation's licence"), func(ctx context.Context, in *byID) (*reply[jls.Installation], error) {
		body, err := s.Ledger.Release(ctx, admin, jls.InstallationID(in.ID), s.Now())
		return answer(ctx, s, "release installation", body, err)
	})
	huma.Register(api, op(http.MethodGet, jls.PathAudit, "list-audit", "List who changed what"), func(ctx context.Context, in *struct {
		Limit int `query:"limit" default:"100" minimum:"1" maximum:"1000"`
	}) (*reply[[]jls.Audit], error) {
		body, err := s.Ledger.Audit(ctx, in.Limit)
		return answer(ctx, s, "list audit", body, err)
	})
}

func (s *Server) issue(ctx context.Context, n jls.NewLicense) (out jls.IssuedLicense, err error) {
	now := s.Now()
	token, lic, err := keys.Issue(s.Signer, keys.Sold{Customer: n.Customer, Hosts: n.Hosts, For: time.Duration(n.Days) * 24 * time.Hour},
		now)
	if err != nil {
		return out, invalid(err)
	}
	if err := s.Ledger.AddLicense(ctx, admin, lic, now); err != nil {
		return out, err
	}
	s.Log.Info("licence issued", "licence", lic.ID, "customer", lic.Customer, "hosts", lic.Hosts)
	return jls.IssuedLicense{Token: token,
		License: jls.License{ID: lic.ID, Customer: lic.Customer, Hosts: lic.Hosts, Issued: lic.Issued, Expires: lic.Expires}}, nil
}
