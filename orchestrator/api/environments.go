package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/ops"
	"hardnode.dev/orchestrator/store"
)

// keyFor is how long an idempotency key is remembered.
const keyFor = 24 * time.Hour

type environmentAnswer struct {
	ETag string `header:"ETag" doc:"The environment's revision, quoted"`
	Body operator.Environment
}

type acceptedAnswer struct {
	Status   int    `json:"-"`
	Location string `header:"Location" doc:"The operation to watch"`
	Body     operator.Accepted
}

// changeInput is a change of an environment that needs no body.
type changeInput struct {
	Env     wire.EnvName `path:"env" maxLength:"40"`
	IfMatch string       `header:"If-Match" maxLength:"40" doc:"Only if the environment still has this ETag"`
	Key     string       `header:"Idempotency-Key" maxLength:"100" doc:"A repeated request with the same key is answered as the first one, for a day"`
}

func (s *Server) environmentOperations() {
	add(s, route{"listEnvironments", "GET", "/environments", "All environments, by name", authz.Read, 200}, func(ctx context.Context, in *PageInput) (*body[operator.List[operator.Environment]], error) {
		return page(*in, s.world(ctx).Environments())
	})
	add(s, route{"getEnvironment", "GET", "/environments/{env}", "One environment with its nodes", authz.Read, 200}, func(ctx context.Context, in *struct {
		Env wire.EnvName `path:"env" maxLength:"40"`
	}) (*environmentAnswer, error) {
		return s.environment(ctx, in.Env)
	})
	add(s, route{"createEnvironment", "POST", "/environments", "Create an environment", authz.Write, 202}, func(ctx context.Context, in *struct {
		DryRun bool   `query:"dry_run" doc:"Only say where the nodes would go, or why it can't be"`
		Undo   bool   `query:"undo" doc:"If it fails, remove at once what was made; else it stays broken, with its logs, for a week"`
		Key    string `header:"Idempotency-Key" maxLength:"100" doc:"A repeated request with the same key is answered as the first one, for a day"`
		Body   operator.EnvironmentSpec
	}) (*acceptedAnswer, error) {
		return s.createEnvironment(ctx, in.Body, in.Key, in.DryRun, in.Undo)
	})
	add(s, route{"keepEnvironment", "POST", "/environments/{env}/keep", "Keep what a failed creation left: it is not removed after a week", authz.Write, 200}, func(ctx context.Context, in *struct {
		Env wire.EnvName `path:"env" maxLength:"40"`
	}) (*environmentAnswer, error) {
		if err := s.do(ctx, "env.keep", "environments/"+string(in.Env), func() error { return s.Ops.Keep(ctx, in.Env) }); err != nil {
			return nil, err
		}
		return s.environment(ctx, in.Env)
	})
	for _, c := range []struct{ id, method, path, kind, summary string }{
		{"startEnvironment", "POST", "/environments/{env}/start", "env.start", "Start an environment's nodes"},
		{"stopEnvironment", "POST", "/environments/{env}/stop", "env.stop", "Stop an environment's nodes; their data stays"},
		{"spreadEnvironment", "POST", "/environments/{env}/spread", "env.spread", "Spread its layers over hosts again, one node after the other: a new one runs before the old one goes"},
		{"deleteEnvironment", "DELETE", "/environments/{env}", "env.delete", "Delete an environment with all its data"},
	} {
		add(s, route{c.id, c.method, c.path, c.summary, authz.Write, 202}, func(ctx context.Context, in *changeInput) (*acceptedAnswer, error) {
			rev, err := revision(in.IfMatch)
			if err != nil {
				return nil, err
			}
			return s.accept(ctx, ops.Request{Kind: c.kind, Env: in.Env, IfMatch: rev}, in.Key, c.method+" "+c.path+" "+string(in.Env))
		})
	}
}

func (s *Server) environment(ctx context.Context, name wire.EnvName) (*environmentAnswer, error) {
	e, ok := s.world(ctx).Environment(name)
	if !ok {
		return nil, operator.NewProblem(operator.NotFound, "environments/"+string(name), "there is no such environment", "see hnctl env list")
	}
	return &environmentAnswer{strconv.Quote(e.Revision.String()), e}, nil
}

func revision(etag string) (wire.Revision, error) {
	if etag == "" || etag == "*" {
		return 0, nil
	}
	n, err := strconv.ParseInt(strings.Trim(strings.TrimPrefix(etag, "W/"), `"`), 10, 64)
	if err != nil || n < 1 {
		return 0, operator.NewProblem(operator.Invalid, "If-Match", fmt.Sprintf("%q is no ETag of an environment", etag), "send the ETag that reading it answered with")
	}
	return wire.Revision(n), nil
}

func (s *Server) createEnvironment(ctx context.Context, spec operator.EnvironmentSpec, key string, dry, undo bool) (*acceptedAnswer, error) {
	fingerprint, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	what := "POST /environments " + string(fingerprint)
	if undo {
		what = "POST /environments?undo=true " + string(fingerprint)
	}
	if !dry {
		if again, err := s.repeated(ctx, key, what); again != nil || err != nil {
			return again, err
		}
	}
	s.templates.RLock()
	defer s.templates.RUnlock()
	plan, problem := s.DryRun(spec)
	if problem != nil && problem.Code == operator.NotFound && s.RefreshTemplates != nil {
		// The template may have been pushed a moment ago.
		if err := s.RefreshTemplates(ctx); err != nil {
			logging.Or(s.Log).Info("templates are as last known", logging.Reason, err)
			problem.Reason += "; and the registry was not reached just now: " + err.Error()
		} else {
			plan, problem = s.DryRun(spec)
		}
	}
	if problem != nil {
		return nil, s.explained(problem, spec)
	}
	if dry {
		return &acceptedAnswer{Status: 200, Body: operator.Accepted{Plan: plan}}, nil
	}
	return s.accept(ctx, ops.Request{Kind: "env.create", Env: spec.Name, Spec: &spec, Remove: undo}, key, what)
}

// accept audits and accepts one request, once per idempotency key.
func (s *Server) accept(ctx context.Context, r ops.Request, key, what string) (*acceptedAnswer, error) {
	if again, err := s.repeated(ctx, key, what); again != nil || err != nil {
		return again, err
	}
	r.By = caller(ctx).Name
	if key != "" {
		name, sum := keyName(ctx, key), fingerprintOf(what)
		r.Also = func(tx *store.Tx, op store.Operation) {
			store.Keys.Put(tx, name, store.IdempotencyKey{Name: name, Body: sum, Operation: op.ID, Created: op.Created})
			for _, old := range store.Keys.All(tx.View()) {
				if op.Created.Sub(old.Created) > keyFor {
					store.Keys.Delete(tx, old.Name)
				}
			}
		}
	}
	var op operator.Operation
	err := s.do(ctx, r.Kind, "environments/"+string(r.Env), func() (err error) {
		op, err = s.Ops.Accept(ctx, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.accepted(op), nil
}

func (s *Server) accepted(op operator.Operation) *acceptedAnswer {
	return &acceptedAnswer{Status: 202, Location: operator.Prefix + "/operations/" + string(op.ID), Body: operator.Accepted{Operation: &op}}
}

func keyName(ctx context.Context, key string) string {
	return fingerprintOf(caller(ctx).ID + "\n" + key)
}

func fingerprintOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// repeated is the answer to a request whose key was used before; nil when it was not. The same key for something else is refused.
func (s *Server) repeated(ctx context.Context, key, what string) (*acceptedAnswer, error) {
	if key == "" {
		return nil, nil
	}
	rec, ok := store.Keys.Get(s.Store.View(), keyName(ctx, key))
	if !ok || time.Since(rec.Created) > keyFor {
		return nil, nil
	}
	if rec.Body != fingerprintOf(what) {
		return nil, operator.NewProblem(operator.Invalid, "Idempotency-Key", "the key was used for another request", "use a new key for each thing you ask")
	}
	op, ok := s.world(ctx).Operation(rec.Operation)
	if !ok {
		return nil, ops.NoOperation(rec.Operation)
	}
	return s.accepted(op), nil
}
