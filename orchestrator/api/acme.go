package api

import (
	"context"

	"hardnode.dev/internal/wire/acme"
	"hardnode.dev/orchestrator/authz"
)

// acmeOperations are those on the CA that certificates are asked of.
func (s *Server) acmeOperations() {
	serve(s, route{"getAcme", "GET", "/cluster/acme", "The CA that certificates of environments' own names are asked of, by ACME",
		authz.Admin, 200}, func(context.Context, caller, *none) (acme.AcmeSettings, error) { return s.Certify.Settings(), nil })
	serve(s, route{"setAcme", "PUT", "/cluster/acme", "Name the CA that certificates are asked of, and make the cluster's account there",
		authz.Admin, 200}, s.setAcme)
	serveWith(s, route{"removeAcme", "DELETE", "/cluster/acme",
		"Ask no CA any more; what it issued is served until it ends, and not renewed", authz.Admin, 204}, s.removeAcme)
}

func (s *Server) setAcme(ctx context.Context, c caller, in *body[acme.SetAcmeSettings]) (acme.AcmeSettings, error) {
	err := s.do(c, "acme.set", "cluster/acme ("+in.Body.Directory+")", func() error { return s.Certify.Set(ctx, in.Body, c.Name) })
	return s.Certify.Settings(), err
}

func (s *Server) removeAcme(ctx context.Context, c caller, _ *none) (*none, error) {
	return nil, s.do(c, "acme.remove", "cluster/acme", func() error { return s.Certify.Remove(ctx) })
}
