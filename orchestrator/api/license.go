package api

import (
	"context"
	"strings"

	"hardnode.dev/internal/wire/operator"
)

func (s *Server) getLicense(_ context.Context, c caller, _ *none) (operator.License, error) {
	return c.world().License, nil
}

func (s *Server) setLicense(ctx context.Context, c caller, in *body[operator.LicenseText]) (operator.License, error) {
	err := s.do(c, "licence.set", "licence", func() error { return s.License.Install(ctx, strings.TrimSpace(in.Body.Text)) })
	if err != nil {
		return operator.License{}, err
	}
	return c.world().License, nil
}
