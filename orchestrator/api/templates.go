package api

import (
	"context"
	"fmt"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/authz"
)

func (s *Server) templateOperations() {
	add(s, route{"listTemplates", "GET", "/templates", "The templates in the registry, and what was pushed and is none (yet)", authz.Read, 200}, func(ctx context.Context, in *PageInput) (*body[operator.List[operator.Template]], error) {
		s.refreshTemplates(ctx)
		var pushed []host.Import
		if s.Imports != nil {
			pushed = s.Imports()
		}
		return page(*in, listed(s.world(ctx).Templates(pushed), func(t operator.Template) string { return string(t.Name) }))
	})
	add(s, route{"deleteTemplate", "DELETE", "/templates/{template}", "Delete a template: refused while anything uses it", authz.Admin, 200}, func(ctx context.Context, in *struct {
		Template string `path:"template" maxLength:"400" doc:"name, name:tag or name@digest, with / as %2F; a digest may be cut after twelve hex digits"`
	}) (*body[operator.Freed], error) {
		return s.free(ctx, "template.delete", "templates/"+in.Template, func(ctx context.Context) (host.Freed, error) {
			// What is being created just now may use it.
			s.templates.Lock()
			defer s.templates.Unlock()
			return s.DeleteTemplate(ctx, in.Template)
		})
	})
	add(s, route{"collectTemplates", "POST", "/registry/collect", "Remove what no template needs from the registry, now", authz.Admin, 200}, func(ctx context.Context, _ *none) (*body[operator.Freed], error) {
		return s.free(ctx, "template.collect", "templates", s.CollectTemplates)
	})
}

func (s *Server) free(ctx context.Context, what, object string, do func(context.Context) (host.Freed, error)) (*body[operator.Freed], error) {
	var f host.Freed
	err := s.do(ctx, what, object, func() (err error) {
		f, err = do(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &body[operator.Freed]{operator.Freed{Names: f.Names, Bytes: f.Bytes, Later: f.Later}}, nil
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
func (s *Server) explained(p *operator.Problem, spec operator.EnvironmentSpec) *operator.Problem {
	if p.Code != operator.NotFound || s.Imports == nil {
		return p
	}
	for i, l := range spec.Layers {
		if p.Object != fmt.Sprintf("layers[%d].template", i) {
			continue
		}
		for _, m := range s.Imports() {
			if m.Name != l.Template && m.Name != l.Template+":latest" {
				continue
			}
			if m.State == host.ImportFailed {
				p.Reason, p.Next = fmt.Sprintf("template %q was pushed, but could not be imported: %s", m.Name, m.Reason), "mend the image, push it again and see hnctl template list"
			} else {
				p.Reason, p.Next = fmt.Sprintf("template %q was pushed and is not imported yet: %s", m.Name, m.State), "try again when hnctl template list says that it is ready"
			}
		}
	}
	return p
}
