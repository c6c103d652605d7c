// Package serve is metering's own API: TCP 7450, mutual TLS 1.3, for the orchestrator, which has seen to what who asks may see.
//
// Owns: the path, and who may call it.
// In: questions of the orchestrator.
// Out: sums of what was used; errors as problem+json.
// Never: answers anybody else, or checks what a person may see.
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
	"hardnode.dev/internal/wire/metering"
	"hardnode.dev/internal/wire/neighbour"
	"hardnode.dev/internal/wire/operator"
)

// maxBody is the longest question in bytes: it may name an account's environments. atOnce is how many are answered at once, and answerLimit
// how long one may last.
const (
	maxBody     = 1 << 20
	atOnce      = 4
	answerLimit = time.Minute
)

// Server answers the orchestrator.
type Server struct {
	Use   func(context.Context, metering.Question, time.Time) (operator.Usage, error)
	Log   *slog.Logger
	Known func(*http.Request) bool // nil: by its certificate
}

// Handler is the API.
func (s *Server) Handler() http.Handler {
	mux, turn := http.NewServeMux(), make(chan struct{}, atOnce)
	mux.HandleFunc("POST "+metering.PathUsage, func(w http.ResponseWriter, r *http.Request) {
		select {
		case turn <- struct{}{}:
			defer func() { <-turn }()
		default:
			operator.WriteProblem(w, operator.NewProblem(operator.Unavailable, metering.Component, "it is busy with other questions",
				"ask again in a moment"))
			return
		}
		s.usage(w, r)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.known(r) {
			operator.WriteProblem(w, operator.NewProblem(operator.Denied, r.URL.Path, "metering answers the orchestrator only",
				"ask the orchestrator: hnctl usage show"))
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func (s *Server) usage(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), answerLimit)
	defer cancel()
	var q metering.Question
	if err := neighbour.Read(r.Body, maxBody, &q); err != nil {
		operator.WriteProblem(w, operator.NewProblem(operator.Invalid, "usage", err.Error(),
			"compare the versions of orchestrator and metering"))
		return
	}
	out, err := s.Use(ctx, q, time.Now())
	if err != nil {
		var p *operator.Problem
		if !errors.As(err, &p) {
			logging.Or(s.Log).Warn("a question was not answered", logging.Err, err)
			err = operator.NewProblem(operator.Unavailable, metering.Component, err.Error(), "ask again; see hnctl node logs metering")
		}
		operator.WriteProblem(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(out) // the only error is a caller that has gone
}

func (s *Server) known(r *http.Request) bool {
	if s.Known != nil {
		return s.Known(r)
	}
	p, ok := identity.ClientOf(r.TLS, time.Now())
	return ok && p.Component == "orchestrator"
}
