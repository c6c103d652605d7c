package api

import (
	"context"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/front"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/authz"
)

// domainOperations are those on the host names of environments and their certificates.
func (s *Server) domainOperations() {
	serve(s, route{"listDomains", "GET", "/environments/{env}/domains",
		"The host names that an environment is served under, with their certificates",
		authz.Read, 200}, s.listDomains)
	serve(s, route{"setDomain", "PUT", "/environments/{env}/domains/{domain}",
		"Serve an environment under a host name too, or change how it is served by one of its names", authz.Write, 200}, s.setDomain)
	serve(s, route{"swapDomains", "POST", "/environments/{env}/domains/swap",
		"Have two environments of one account change their host names outside of the cluster's domain, at one moment", authz.Write, 200},
		s.swapDomains)
	serve(s, route{"deleteDomain", "DELETE", "/environments/{env}/domains/{domain}",
		"Take a host name and its certificate from an environment", authz.Write, 200}, s.deleteDomain)
	serve(s, route{"uploadCertificate", "PUT", "/environments/{env}/certificates/{domain}",
		"Serve one of an environment's names with a certificate of its own", authz.Write, 200}, s.uploadCertificate)
	serve(s, route{"deleteCertificate", "DELETE", "/environments/{env}/certificates/{domain}",
		"Take the uploaded certificate from one of an environment's names", authz.Write, 200}, s.deleteCertificate)
	serveWith(s, route{"getRoute", "GET", "/environments/{env}/route", "How the resolver serves an environment's site", authz.Read, 200},
		func(_ context.Context, c caller, in *environmentInput) (*routeAnswer, error) {
			return s.routeOf(c, in.Env)
		})
	serveWith(s, route{"setRoute", "PUT", "/environments/{env}/route",
		"Say how the resolver serves an environment's site: maintenance, sticky clients, shares of nodes, limits, pages, access log",
		authz.Write, 200}, s.setRoute)
	serve(s, route{"makeBypass", "POST", "/environments/{env}/route/bypass",
		"Make what lets its bearer in while an environment is in maintenance, in place of what did before", authz.Write, 201}, s.makeBypass)
	serve(s, route{"getWebCA", "GET", "/web-ca", "Who signs the certificates of the cluster's own domain", authz.Read, 200},
		func(context.Context, caller, *none) (operator.WebCA, error) { return s.Domains.WebCA() })
}

func (s *Server) listDomains(_ context.Context, c caller, in *environmentInput) (operator.Domains, error) {
	return s.Domains.List(in.Env, c.Account)
}

// DomainInput names a host name of an environment. It is exported as one in an embedded type is taken only then.
type DomainInput struct {
	Env    wire.EnvName `path:"env" maxLength:"40"`
	Domain string       `path:"domain" maxLength:"253"`
}

// onDomain makes a change of a name and answers with all that the environment has then.
func (s *Server) onDomain(c caller, what string, in DomainInput, change func() error) (out operator.Domains, err error) {
	if out, err = s.Domains.List(in.Env, c.Account); err != nil {
		return out, err
	}
	if err := s.do(c, what, "environments/"+string(in.Env)+"/domains/"+in.Domain, change); err != nil {
		return operator.Domains{}, err
	}
	return s.Domains.List(in.Env, c.Account)
}

type setDomainInput struct {
	DomainInput
	Body front.Scheme
}

func (s *Server) setDomain(ctx context.Context, c caller, in *setDomainInput) (operator.Domains, error) {
	return s.onDomain(c, "env.domain", in.DomainInput, func() error {
		if err := s.Domains.Set(ctx, in.Env, c.Account, in.Domain, in.Body); err != nil {
			return err
		}
		return s.Certify.Again(ctx, in.Domain)
	})
}

type swapInput struct {
	Env  wire.EnvName `path:"env" maxLength:"40"`
	Body operator.SwapDomains
}

func (s *Server) swapDomains(ctx context.Context, c caller, in *swapInput) (out operator.Domains, err error) {
	for _, env := range []wire.EnvName{in.Env, in.Body.With} {
		if _, err := s.Domains.List(env, c.Account); err != nil {
			return operator.Domains{}, err
		}
	}
	if err := s.do(c, "env.domain.swap", "environments/"+string(in.Env)+" and "+string(in.Body.With), func() error {
		return s.Domains.Swap(ctx, in.Env, in.Body.With, c.Account)
	}); err != nil {
		return operator.Domains{}, err
	}
	return s.Domains.List(in.Env, c.Account)
}

func (s *Server) deleteDomain(ctx context.Context, c caller, in *DomainInput) (operator.Domains, error) {
	return s.onDomain(c, "env.domain.delete", *in, func() error { return s.Domains.Delete(ctx, in.Env, c.Account, in.Domain) })
}

type uploadInput struct {
	DomainInput
	Body operator.UploadCertificate
}

func (s *Server) uploadCertificate(ctx context.Context, c caller, in *uploadInput) (operator.Domains, error) {
	return s.onDomain(c, "env.certificate", in.DomainInput, func() error {
		return s.Domains.Upload(ctx, in.Env, c.Account, in.Domain, in.Body)
	})
}

func (s *Server) deleteCertificate(ctx context.Context, c caller, in *DomainInput) (operator.Domains, error) {
	return s.onDomain(c, "env.certificate.delete", *in, func() error { return s.Domains.Drop(ctx, in.Env, c.Account, in.Domain) })
}

type routeAnswer struct {
	ETag string `header:"ETag" doc:"It tells these settings from others"`
	Body front.Settings
}

func (s *Server) routeOf(c caller, env wire.EnvName) (*routeAnswer, error) {
	out, err := s.Domains.Front(env, c.Account)
	if err != nil {
		return nil, err
	}
	return &routeAnswer{out.Tag(), out}, nil
}

type routeInput struct {
	Env     wire.EnvName `path:"env" maxLength:"40"`
	IfMatch string       `header:"If-Match" maxLength:"64" doc:"Only if the settings still have this ETag: else 412, and nothing is changed"`
	Body    front.Settings
}

func (s *Server) setRoute(ctx context.Context, c caller, in *routeInput) (*routeAnswer, error) {
	if _, err := s.Domains.Front(in.Env, c.Account); err != nil {
		return nil, err
	}
	if err := s.do(c, "env.route", "environments/"+string(in.Env)+"/route", func() error {
		return s.Domains.SetFront(ctx, in.Env, c.Account, in.Body, in.IfMatch)
	}); err != nil {
		return nil, err
	}
	return s.routeOf(c, in.Env)
}

func (s *Server) makeBypass(ctx context.Context, c caller, in *environmentInput) (out operator.Bypass, err error) {
	if _, err := s.Domains.Front(in.Env, c.Account); err != nil {
		return out, err
	}
	err = s.do(c, "env.bypass", "environments/"+string(in.Env)+"/route", func() (err error) {
		out, err = s.Domains.Bypass(ctx, in.Env, c.Account)
		return err
	})
	return out, err
}
