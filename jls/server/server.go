// Package server is the JLS's HTTP API.
//
// Owns: the routes, who may use them, and how an error becomes problem+json.
// In: signed requests of installations; the administrator's requests with a bearer token.
// Out: leases, seat counts, lists.
// Never: keeps anything (the ledger does), or answers an installation whose signature does not match.
package server

import (
	"context"
	"crypto/ed25519"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"hardnode.dev/internal/build"
	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/license/issue"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/jls/ledger"
)

// Server answers requests.
type Server struct {
	Ledger     *ledger.Ledger
	Signer     issue.Signer
	Root       ed25519.PublicKey // licence root
	AdminToken string            // "sha256:" + hex SHA-256
	Director   *jls.Director     // nil: this server directs no releases
	Log        *slog.Logger      // nil discards
	Now        func() time.Time  // nil is time.Now
}

const maxBody = 4 << 20 // a report of jls.MaxSeats hosts fits

// Handler is the whole API.
func (s *Server) Handler() http.Handler {
	s.Log = logging.Or(s.Log)
	if s.Now == nil {
		s.Now = time.Now
	}
	huma.NewError = problem
	mux := http.NewServeMux()
	cfg := huma.DefaultConfig("Hardnode JLS", build.Version)
	cfg.CreateHooks, cfg.DocsPath, cfg.SchemasPath, cfg.OpenAPIPath = nil, "", "", "" // the description is for callers: see below
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"admin": {Type: "http", Scheme: "bearer"}}
	api := humago.New(mux, cfg)
	s.installation(api)
	s.admin(api)
	s.direct(api)
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, r *http.Request) {
		if !s.isAdmin(r.Header.Get("Authorization"), r.RemoteAddr) {
			operator.WriteProblem(w, problem(http.StatusForbidden, refusedToken))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(api.OpenAPI())
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	return mux
}

func route(method, path, id, summary string) huma.Operation {
	return huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, MaxBodyBytes: maxBody,
		BodyReadTimeout: 15 * time.Second, Errors: []int{403, 404, 409, 422}}
}

// answer finishes a handler: inner errors are logged and hidden, a replayed request is told the last Seq.
func answer[T any](ctx context.Context, s *Server, what string, body T, err error) (*reply[T], error) {
	var seq *ledger.SeqError
	var p *operator.Problem
	switch {
	case err == nil:
		return &reply[T]{Body: body}, nil
	case errors.As(err, &seq):
		return nil, huma.ErrorWithHeaders(seq.Problem, http.Header{jls.SeqHeader: {strconv.FormatInt(seq.Last, 10)}})
	case errors.As(err, &p):
		s.Log.Info("refused", logging.Op, what, logging.Reason, p.Error())
		return nil, p
	case ctx.Err() != nil:
		return nil, operator.NewProblem(operator.Unavailable, "", "the request took too long", "try again")
	}
	s.Log.Error("request failed", logging.Op, what, logging.Err, err)
	return nil, operator.NewProblem(operator.Internal, "", "something went wrong inside the JLS", "see the JLS's log")
}

type reply[T any] struct{ Body T }

type signed struct{ Body jls.Signed }

const refusedToken = "the administrator's token is missing or wrong"

func (s *Server) isAdmin(authorization, from string) bool {
	token, ok := strings.CutPrefix(authorization, "Bearer ")
	hash := "sha256:" + identity.HashToken(secret.Text(token))
	if ok && subtle.ConstantTimeCompare([]byte(hash), []byte(s.AdminToken)) == 1 {
		return true
	}
	s.Log.Warn("administrator's token refused", logging.Addr, from)
	return false
}

// bearer lets only the administrator's token pass.
func (s *Server) bearer(api huma.API) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		if !s.isAdmin(ctx.Header("Authorization"), ctx.RemoteAddr()) {
			huma.WriteErr(api, ctx, http.StatusForbidden, refusedToken)
			return
		}
		next(ctx)
	}
}

// problem is huma's own errors (validation, unknown field, too large) in our words.
func problem(status int, msg string, errs ...error) huma.StatusError {
	object, reason := "", msg
	for i, err := range errs {
		var d *huma.ErrorDetail
		if errors.As(err, &d) && i == 0 {
			object = d.Location
			reason = d.Message
		} else if err != nil {
			reason += "; " + err.Error()
		}
	}
	p := operator.NewProblem(operator.CodeOf(status), object, reason, "")
	p.Status, p.Title = status, http.StatusText(status)
	return p
}
