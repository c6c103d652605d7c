package api

import (
	"context"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/store"
)

// serviceOperations are those on services: users of an account that are no people.
func (s *Server) serviceOperations() {
	serve(s, route{"listServices", "GET", "/services",
		"The services of the caller's account: users that are no people, and have tokens alone", authz.Admin, 200}, s.listServices)
	serve(s, route{"addService", "POST", "/services", "Add a service to an account", authz.Admin, 201}, s.addService)
	serveWith(s, route{"removeService", "DELETE", "/services/{service}",
		"Remove a service, by id, or by name of the caller's account's own; its tokens end", authz.Admin, 204}, s.removeService)
	serve(s, route{"createServiceToken", "POST", "/services/{service}/tokens",
		"Make a token of a service: it does no more than the service's role allows, and ends with it; its text is shown this once",
		authz.Admin, 201}, s.createServiceToken)
}

func (s *Server) listServices(_ context.Context, c caller, in *PageInput) (operator.List[user.Service], error) {
	return page(*in, listed(s.Users.Services(c.Account), func(x user.Service) string { return string(x.Account) + " " + x.Name }))
}

func (s *Server) addService(ctx context.Context, c caller, in *body[user.NewService]) (out user.Service, err error) {
	of := in.Body.Account
	if of == "" {
		of = c.Account
	}
	object := "accounts/" + string(of) + "/services/" + in.Body.Name + " (" + string(in.Body.Role) + ")"
	return out, s.doOf(c, of, "service.add", object, func() (err error) {
		out, err = s.Users.AddService(ctx, c.Who, in.Body)
		return err
	})
}

type serviceInput struct {
	Service string `path:"service" maxLength:"40"`
}

func (s *Server) removeService(ctx context.Context, c caller, in *serviceInput) (*none, error) {
	of, object := s.serviceNamed(c, in.Service)
	return nil, s.leaves(c, of, "service.remove", object, func() ([]store.Token, error) {
		return s.Users.RemoveService(ctx, c.Who, in.Service)
	})
}

// serviceNamed is the account of a service that a caller sees, and how the record names it: an id says neither.
func (s *Server) serviceNamed(c caller, which string) (of wire.Account, object string) {
	if x, ok := s.Users.Service(c.Account, which); ok {
		return x.Account, "accounts/" + string(x.Account) + "/services/" + x.Name
	}
	return c.Account, "services/" + which
}

type serviceTokenInput struct {
	Service string `path:"service" maxLength:"40"`
	Body    operator.NewToken
}

func (s *Server) createServiceToken(ctx context.Context, c caller, in *serviceTokenInput) (made operator.MadeToken, err error) {
	of, object := s.serviceNamed(c, in.Service)
	return made, s.doOf(c, of, "token.create", object+"/tokens/"+in.Body.Name, func() (err error) {
		made, err = s.Users.ServiceToken(ctx, c.Who, in.Service, in.Body)
		return err
	})
}
