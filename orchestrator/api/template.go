package api

import (
	"context"
	"fmt"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

func (s *Server) listTemplates(ctx context.Context, c caller, in *PageInput) (operator.List[operator.Template], error) {
	s.refreshTemplates(ctx)
	var pushed []host.Import
	if s.Imports != nil {
		pushed = s.Imports()
	}
	return page(*in, listed(c.world().Templates(pushed), func(t operator.Template) string { return string(t.Name) }))
}

type templateInput struct {
	Template string `path:"template" maxLength:"400" doc:"name, name:tag or name@digest, with / as %2F; a digest may be cut after twelve hex digits"`
}

func (s *Server) getTemplate(ctx context.Context, c caller, in *templateInput) (operator.TemplateDetail, error) {
	s.refreshTemplates(ctx)
	return s.ShowTemplate(c.Account, in.Template)
}

type tagInput struct {
	Template string `path:"template" maxLength:"400" doc:"name, name:tag or name@digest, with / as %2F; a digest may be cut after twelve hex digits"`
	Body     operator.TagTemplate
}

func (s *Server) tagTemplate(ctx context.Context, c caller, in *tagInput) (out operator.TemplateDetail, err error) {
	err = s.do(c, "template.tag", "templates/"+in.Template, func() (err error) {
		out, err = s.TagTemplate(ctx, c.Account, in.Template, in.Body)
		return err
	})
	return out, err
}

func (s *Server) deleteTemplate(ctx context.Context, c caller, in *templateInput) (operator.Freed, error) {
	return s.free(ctx, c, "template.delete", "templates/"+in.Template, func(ctx context.Context) (host.Freed, error) {
		// What is being created just now may use it.
		s.templates.Lock()
		defer s.templates.Unlock()
		return s.DeleteTemplate(ctx, c.Account, in.Template)
	})
}

func (s *Server) collectTemplates(ctx context.Context, c caller, _ *none) (operator.Freed, error) {
	return s.free(ctx, c, "template.collect", "templates", s.CollectTemplates)
}

// free audits what removes something from the registry.
func (s *Server) free(ctx context.Context, c caller, what, object string, do func(context.Context) (host.Freed, error)) (
	out operator.Freed, err error) {
	var f host.Freed
	err = s.do(c, what, object, func() (err error) {
		f, err = do(ctx)
		return err
	})
	return operator.Freed{Names: f.Names, Bytes: f.Bytes, Later: f.Later}, err
}

func (s *Server) refreshTemplates(ctx context.Context) {
	if s.RefreshTemplates == nil {
		return
	}
	if err := s.RefreshTemplates(ctx); err != nil {
		logging.Or(s.Log).Info("templates are as last known", logging.Reason, err)
	}
}

// explained adds to the refusal of a template that is not there what became of its push.
func (s *Server) explained(c caller, p *operator.Problem, spec operator.EnvironmentSpec) *operator.Problem {
	if p.Code != operator.NotFound || s.Imports == nil {
		return p
	}
	for i, l := range spec.Layers {
		if p.Object != fmt.Sprintf("layers[%d].template", i) {
			continue
		}
		for _, m := range s.Imports() {
			if m.Name != l.Template && m.Name != l.Template+":latest" || !c.Account.Sees(m.Account) {
				continue
			}
			if m.State == host.ImportFailed {
				p.Reason = fmt.Sprintf("template %q was pushed, but could not be imported: %s", m.Name, m.Reason)
				p.Next = "mend the image, push it again and see hnctl template list"
			} else {
				p.Reason = fmt.Sprintf("template %q was pushed and is not imported yet: %s", m.Name, m.State)
				p.Next = "try again when hnctl template list says that it is ready"
			}
		}
	}
	return p
}
