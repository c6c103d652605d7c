package api

import (
	"context"
	"fmt"
	"strings"

	"hardnode.dev/internal/wire/operator"
)

type componentsInput struct {
	PageInput
	Release string `query:"release" maxLength:"60" doc:"Say also which image each has in this release"`
}

type componentInput struct {
	Component string `path:"component" maxLength:"40" pattern:"^[a-z0-9-]+$"`
}

type componentVersionInput struct {
	Component string `path:"component" maxLength:"40" pattern:"^[a-z0-9-]+$"`
	Body      operator.ReplaceComponent
}

func (s *Server) listComponents(_ context.Context, c caller, in *componentsInput) (out operator.List[operator.Component], err error) {
	all, err := s.Components.List(c.world().NodeOf, in.Release)
	if err != nil {
		return out, err
	}
	return page(in.PageInput, listed(all, func(o operator.Component) string { return fmt.Sprintf("%04d", o.CTID) }))
}

// component is one as it is now.
func (s *Server) component(c caller, name string) (operator.Component, error) {
	all, err := s.Components.List(c.world().NodeOf, "")
	for _, o := range all {
		if o.Name == name {
			return o, err
		}
	}
	return operator.Component{}, err
}

func (s *Server) makeComponent(ctx context.Context, c caller, in *body[operator.NewComponent]) (out operator.Component, err error) {
	if err = s.do(c, "component.make", strings.TrimSpace("components/"+in.Body.Name+" "+in.Body.Release), func() error {
		return s.Components.Enable(ctx, in.Body)
	}); err != nil {
		return out, err
	}
	return s.component(c, in.Body.Name)
}

func (s *Server) replaceComponent(ctx context.Context, c caller, in *componentVersionInput) (out operator.Component, err error) {
	object := "components/" + in.Component + " " + in.Body.Release
	if err = s.do(c, "component.replace", object, func() error {
		return s.Components.Replace(ctx, in.Component, in.Body, orderer(c))
	}); err != nil {
		return out, err
	}
	return s.component(c, in.Component)
}

func (s *Server) confirmComponent(ctx context.Context, c caller, in *componentInput) (out operator.Component, err error) {
	if err = s.do(c, "component.confirm", "components/"+in.Component, func() error {
		return s.Components.Confirm(ctx, in.Component)
	}); err != nil {
		return out, err
	}
	return s.component(c, in.Component)
}

func (s *Server) takeBackComponent(ctx context.Context, c caller, in *componentInput) (out operator.Component, err error) {
	if err = s.do(c, "component.back", "components/"+in.Component, func() error {
		return s.Components.TakeBack(ctx, in.Component, orderer(c))
	}); err != nil {
		return out, err
	}
	return s.component(c, in.Component)
}
