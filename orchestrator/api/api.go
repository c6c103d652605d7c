// Package api is the orchestrator's side of /api/v1: TCP 7443, TLS, bearer tokens.
//
// Owns: the operations of the API, their OpenAPI description, how errors look (problem+json with a closed list of codes).
// In: requests of people's tools; views of the store and the hosts.
// Out: wire/operator resources; accepted operations; bridged sessions.
// Never: changes the store itself (ops and authz do), decides placing, or shows an internal error's text.
package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"hardnode.dev/internal/build"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/audit"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/enroll"
	"hardnode.dev/orchestrator/ops"
	"hardnode.dev/orchestrator/session"
	"hardnode.dev/orchestrator/store"
	"hardnode.dev/orchestrator/world"
)

// Server is all the API needs.
type Server struct {
	Store  *store.Store
	Ops    *ops.Ops
	Tokens *authz.Tokens
	Audit  *audit.Log
	World  func(account string) world.World // what an account sees now
	// DryRun places a new environment without storing anything.
	DryRun func(operator.EnvironmentSpec) ([]operator.Node, *operator.Problem)
	// RefreshTemplates asks the registry for its list, when a template is not known yet; nil: it is not asked.
	RefreshTemplates func(context.Context) error
	// Imports are the pushed names that are not imported (yet); nil: there are none.
	Imports func() []host.Import
	// LookImports asks the registry for its imports, so that what was pushed a moment ago is an operation; nil: it is not asked.
	LookImports func(context.Context)
	// DeleteTemplate removes a template that nobody uses, CollectTemplates what no template needs.
	DeleteTemplate   func(ctx context.Context, name string) (host.Freed, error)
	CollectTemplates func(context.Context) (host.Freed, error)
	// License takes another licence in.
	License interface {
		Install(ctx context.Context, text string) error
	}
	// RotateGossip begins to replace the gossip key.
	RotateGossip func(ctx context.Context, by string) error
	Enroll       *enroll.Desk
	Guesses      *authz.Guesses // slows down wrong tokens; nil: nobody does
	Metrics      http.Handler   // of /metrics
	Hub          *session.Hub
	Log          *slog.Logger

	api       huma.API
	templates sync.RWMutex // held for reading while an environment is created, for writing while a template is deleted
}

type whoKey struct{}

// caller is who asks; a handler runs only after the caller is known.
func caller(ctx context.Context) authz.Who {
	w, _ := ctx.Value(whoKey{}).(authz.Who)
	return w
}

type fromKey struct{}

func from(ctx context.Context) string {
	s, _ := ctx.Value(fromKey{}).(string)
	return s
}

// world is what the caller sees now.
func (s *Server) world(ctx context.Context) world.World { return s.World(caller(ctx).Account) }

// Fail answers with a Problem.
func Fail(w http.ResponseWriter, err error) {
	p := operator.AsProblem(err)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	json.NewEncoder(w).Encode(p)
}

// Description is the API's OpenAPI 3.1 document.
func Description() ([]byte, error) {
	s := &Server{}
	s.register(http.NewServeMux())
	return json.MarshalIndent(s.api.OpenAPI(), "", "  ")
}

func (s *Server) register(mux *http.ServeMux) {
	c := huma.DefaultConfig("Hardnode", "1")
	c.CreateHooks = nil // no $schema links in bodies: resources are what wire/operator says
	c.DocsPath, c.SchemasPath = "", ""
	c.RejectUnknownQueryParameters = true
	c.Info.Description = "The API of a Hardnode cluster. Long work is an operation: 202 with its Location, watchable at …/events. " +
		"Errors are application/problem+json (RFC 9457) with one of the codes invalid, not_found, conflict, denied, exhausted, unavailable, internal; detail says why, next what to do."
	c.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	c.Servers = []*huma.Server{{URL: "/", Description: "The cluster the description was read from"}}
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
	s.api = humago.New(mux, c)
	s.clusterOperations()
	s.environmentOperations()
	s.operationOperations()
	s.tokenOperations()
	s.sessionOperations(mux)
	s.hostLogOperation(mux)
}

// huma has one hook for all its APIs; this program has one API.
func init() { huma.NewError = newError }

// newError is how huma's own refusals (validation, unknown fields, bodies too large) look: like all others.
func newError(status int, msg string, errs ...error) huma.StatusError {
	p := operator.NewProblem(operator.CodeOf(status), "", msg, "see /openapi.json")
	p.Status, p.Title = status, http.StatusText(status)
	if status >= 500 {
		return operator.AsProblem(fmt.Errorf("%s", msg))
	}
	details := make([]*huma.ErrorDetail, 0, len(errs))
	for _, e := range errs {
		if d, ok := e.(huma.ErrorDetailer); ok {
			details = append(details, d.ErrorDetail())
		} else if e != nil {
			details = append(details, &huma.ErrorDetail{Message: e.Error()})
		}
	}
	if len(details) == 0 {
		return p
	}
	// A field that is not known says more than the one that is missing for it.
	slices.SortStableFunc(details, func(a, b *huma.ErrorDetail) int { return cmp.Compare(rankOf(a), rankOf(b)) })
	all := make([]*operator.Problem, len(details))
	for i, d := range details {
		reason := d.Message
		if reason == unexpected {
			reason = "the field is not known"
		}
		one := *p
		one.Object, one.Reason, one.Next = strings.TrimPrefix(strings.TrimPrefix(d.Location, "body"), "."), reason, "correct it; see /openapi.json"
		all[i] = &one
	}
	return operator.All(all)
}

const unexpected = "unexpected property" // as huma says it

func rankOf(d *huma.ErrorDetail) int {
	if d.Message == unexpected {
		return 0
	}
	return 1
}

// route is one operation of the API.
type route struct {
	id, method, path, summary string
	scope                     authz.Scope
	status                    int
}

// add registers an operation: the caller is known and has the scope before f runs.
func add[I, O any](s *Server, r route, f func(context.Context, *I) (*O, error)) {
	huma.Register(s.api, s.operation(r), func(ctx context.Context, in *I) (*O, error) {
		out, err := f(ctx, in)
		if err != nil {
			p := operator.AsProblem(err)
			if p.Code == operator.Internal {
				logging.Or(s.Log).Error("a request failed", "operation", r.id, logging.Err, err)
			}
			return nil, p
		}
		return out, nil
	})
}

func (s *Server) operation(r route) huma.Operation {
	return huma.Operation{OperationID: r.id, Method: r.method, Path: operator.Prefix + r.path, Summary: r.summary, DefaultStatus: r.status, MaxBodyBytes: maxBody, Errors: refusals(r),
		Description: "Needs scope " + string(r.scope) + ".", Security: []map[string][]string{{"token": {}}},
		Middlewares: huma.Middlewares{func(ctx huma.Context, next func(huma.Context)) {
			if p := caller(ctx.Context()).Require(r.scope, ctx.Operation().Path); p != nil {
				refuse(ctx, p)
				return
			}
			next(ctx)
		}},
	}
}

// refusals are the statuses an operation may answer with instead.
func refusals(r route) []int {
	out := []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusUnprocessableEntity, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable}
	if strings.Contains(r.path, "{") {
		out = append(out, http.StatusNotFound)
	}
	if r.method != http.MethodGet {
		out = append(out, http.StatusBadRequest, http.StatusConflict, http.StatusPreconditionFailed, http.StatusRequestEntityTooLarge, http.StatusInsufficientStorage)
	}
	return out
}

func refuse(ctx huma.Context, p *operator.Problem) {
	ctx.SetHeader("Content-Type", "application/problem+json")
	ctx.SetStatus(p.Status)
	json.NewEncoder(ctx.BodyWriter()).Encode(p)
}

// do audits an action around its effect.
func (s *Server) do(ctx context.Context, what, object string, effect func() error) error {
	return s.Audit.Do(operator.Audit{Who: caller(ctx).Name, From: from(ctx), What: what, Object: object}, effect)
}

type body[T any] struct{ Body T }

type none struct{}

func (s *Server) clusterOperations() {
	add(s, route{"getCluster", "GET", "/cluster", "The installation as a whole", authz.Read, 200}, func(ctx context.Context, _ *none) (*body[operator.Cluster], error) {
		c := s.world(ctx).Cluster()
		c.Now = time.Now().UTC()
		return &body[operator.Cluster]{c}, nil
	})
	add(s, route{"rotateGossipKey", "POST", "/cluster/rotate-gossip-key", "Replace the key that hosts' gossip is encrypted with", authz.Admin, 202}, func(ctx context.Context, _ *none) (*body[operator.Cluster], error) {
		if err := s.do(ctx, "cluster.rotate-gossip-key", "cluster/gossip-key", func() error { return s.RotateGossip(ctx, caller(ctx).Name) }); err != nil {
			return nil, err
		}
		return &body[operator.Cluster]{s.world(ctx).Cluster()}, nil
	})
	add(s, route{"getLicense", "GET", "/license", "The licence, and what is used of it", authz.Read, 200}, func(ctx context.Context, _ *none) (*body[operator.License], error) {
		return &body[operator.License]{s.world(ctx).License}, nil
	})
	add(s, route{"setLicense", "PUT", "/license", "Install another licence", authz.Admin, 200}, func(ctx context.Context, in *body[operator.LicenseText]) (*body[operator.License], error) {
		if err := s.do(ctx, "licence.set", "licence", func() error { return s.License.Install(ctx, strings.TrimSpace(in.Body.Text)) }); err != nil {
			return nil, err
		}
		return &body[operator.License]{s.world(ctx).License}, nil
	})
	add(s, route{"listHosts", "GET", "/hosts", "All hosts, in order of joining", authz.Read, 200}, func(ctx context.Context, in *PageInput) (*body[operator.List[operator.Host]], error) {
		return page(*in, s.world(ctx).Hosts())
	})
	add(s, route{"getHost", "GET", "/hosts/{host}", "One host, by id or name", authz.Read, 200}, func(ctx context.Context, in *struct {
		Host string `path:"host" maxLength:"63"`
	}) (*body[operator.Host], error) {
		h, ok := s.world(ctx).Host(in.Host)
		if !ok {
			return nil, noHost(in.Host)
		}
		return &body[operator.Host]{h}, nil
	})
	add(s, route{"listNodes", "GET", "/nodes", "All nodes, by number", authz.Read, 200}, func(ctx context.Context, in *struct {
		Env  wire.EnvName `query:"env" maxLength:"40" doc:"Of this environment only"`
		Host string       `query:"host" maxLength:"63" doc:"On this host only, by id or name"`
		PageInput
	}) (*body[operator.List[operator.Node]], error) {
		return page(in.PageInput, s.world(ctx).Nodes(in.Env, in.Host))
	})
	add(s, route{"getNode", "GET", "/nodes/{ctid}", "One node", authz.Read, 200}, func(ctx context.Context, in *struct {
		CTID wire.CTID `path:"ctid" minimum:"1"`
	}) (*body[operator.Node], error) {
		n, ok := s.world(ctx).Node(in.CTID)
		if !ok {
			return nil, noNode(in.CTID)
		}
		return &body[operator.Node]{n}, nil
	})
	s.templateOperations()
	s.auditOperations()
	add(s, route{"getVersion", "GET", "/version", "The orchestrator's version", authz.Read, 200}, func(context.Context, *none) (*body[operator.Version], error) {
		return &body[operator.Version]{operator.Version{Version: build.Version}}, nil
	})
}

func noNode(id wire.CTID) *operator.Problem {
	return operator.NewProblem(operator.NotFound, "nodes/"+id.String(), "there is no such node", "see hnctl node list")
}

func noHost(name string) *operator.Problem {
	return operator.NewProblem(operator.NotFound, "hosts/"+name, "there is no such host", "see hnctl host list")
}
