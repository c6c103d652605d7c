// Package serve is the Patcher's own API: TCP 7447, mutual TLS 1.3, for the orchestrator, which says on whose behalf it asks.
//
// Owns: the paths, which are those of /api/v1/rollouts; who may call them.
// In: requests of the orchestrator.
// Out: wire/operator resources; errors as problem+json.
// Never: answers anybody else, or checks what a person may do: the orchestrator did, and wrote its audit record.
package serve

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire/neighbour"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/patch"
)

// maxBody is the longest body of a request, and callLimit how long one may last: a plan asks after every host.
const (
	maxBody   = 256 << 10
	callLimit = 2*time.Minute + 30*time.Second
)

// Rollouts is what is served.
type Rollouts interface {
	Plan(ctx context.Context, want operator.NewRollout) (operator.RolloutPlan, error)
	Start(ctx context.Context, want operator.NewRollout, by string) (operator.Rollout, error)
	Pause(id, by string) (operator.Rollout, error)
	Resume(id, by string) (operator.Rollout, error)
	Abort(id, by string) (operator.Rollout, error)
	Report(id string) (operator.RolloutReport, error)
}

// Kept is what is kept.
type Kept interface {
	List() []operator.Rollout
	Get(id string) (operator.Rollout, *operator.Problem)
}

// Server answers the orchestrator.
type Server struct {
	Rollouts Rollouts
	Kept     Kept
	Log      *slog.Logger
	Known    func(*http.Request) bool // nil: by its certificate
}

// Handler is the API.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	at := func(pattern string, f func(*http.Request) (any, error)) { mux.HandleFunc(pattern, s.answer(f)) }
	at("POST "+patch.Plan, func(r *http.Request) (any, error) {
		want, err := read(r)
		if err != nil {
			return nil, err
		}
		return s.Rollouts.Plan(r.Context(), want)
	})
	at("POST "+patch.Rollouts, func(r *http.Request) (any, error) {
		want, err := read(r)
		if err != nil {
			return nil, err
		}
		return s.Rollouts.Start(r.Context(), want, r.Header.Get(patch.By))
	})
	at("GET "+patch.Rollouts, func(*http.Request) (any, error) {
		list := operator.List[operator.Rollout]{Items: s.Kept.List()}
		for i := range list.Items { // whoever wants to see the visits asks for one
			list.Items[i].Visits, list.Items[i].Refused = []operator.RolloutVisit{}, nil
		}
		return list, nil
	})
	at("GET "+patch.Rollouts+"/{id}", func(r *http.Request) (any, error) {
		out, p := s.Kept.Get(r.PathValue("id"))
		if p != nil {
			return nil, p
		}
		return out, nil
	})
	at("GET "+patch.Rollouts+"/{id}/report", func(r *http.Request) (any, error) { return s.Rollouts.Report(r.PathValue("id")) })
	for verb, f := range map[string]func(id, by string) (operator.Rollout, error){"pause": s.Rollouts.Pause, "resume": s.Rollouts.Resume,
		"abort": s.Rollouts.Abort} {
		at("POST "+patch.Rollouts+"/{id}/"+verb, func(r *http.Request) (any, error) {
			return f(r.PathValue("id"), r.Header.Get(patch.By))
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.known(r) {
			operator.WriteProblem(w, operator.NewProblem(operator.Denied, r.URL.Path, "the Patcher answers the orchestrator only",
				"ask the orchestrator: hnctl patch"))
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func (s *Server) known(r *http.Request) bool {
	if s.Known != nil {
		return s.Known(r)
	}
	p, ok := identity.ClientOf(r.TLS, time.Now())
	return ok && p.Component == "orchestrator"
}

func read(r *http.Request) (want operator.NewRollout, err error) {
	if err := neighbour.Read(r.Body, maxBody, &want); err != nil {
		return want, operator.NewProblem(operator.Invalid, "", err.Error(), "compare the versions of orchestrator and Patcher")
	}
	return want, nil
}

func (s *Server) answer(f func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), callLimit)
		defer cancel()
		out, err := f(r.WithContext(ctx))
		if err != nil {
			var p *operator.Problem
			if !errors.As(err, &p) {
				logging.Or(s.Log).Warn("a request failed", "path", r.URL.Path, logging.Err, err)
				err = operator.NewProblem(operator.Unavailable, "patcher", err.Error(), "try again; see hnctl node logs patcher")
			}
			operator.WriteProblem(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(out) // the only error is a caller that has gone
	}
}
