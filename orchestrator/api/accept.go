package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/ops"
	"hardnode.dev/orchestrator/ops/progress"
	"hardnode.dev/orchestrator/store"
)

// keyFor is how long an idempotency key is remembered.
const keyFor = 24 * time.Hour

type acceptedAnswer struct {
	Status   int    `json:"-"`
	Location string `header:"Location" doc:"The operation to watch"`
	Body     operator.Accepted
}

// accept audits and accepts one request, once per idempotency key.
func (s *Server) accept(ctx context.Context, c caller, r ops.Request, key, what string) (*acceptedAnswer, error) {
	if again, err := s.repeated(c, key, what); again != nil || err != nil {
		return again, err
	}
	r.By, r.Account, r.Also = c.asker(), c.Account, remember(c, key, what)
	r.Stays = func(tx *store.Tx) error { return c.stays(tx, r.Env) }
	var op operator.Operation
	err := s.do(c, r.Kind, "environments/"+string(r.Env), func() (err error) {
		op, err = s.Ops.Accept(ctx, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	return accepted(op), nil
}

// remember notes, with an operation that is accepted, the key it was asked with; nil without one.
func remember(c caller, key, what string) func(*store.Tx, store.Operation) {
	if key == "" {
		return nil
	}
	name, sum := keyName(c, key), fingerprintOf(what)
	return func(tx *store.Tx, op store.Operation) {
		store.Keys.Put(tx, name, store.IdempotencyKey{Name: name, Body: sum, Operation: op.ID, Created: op.Created})
		for _, old := range store.Keys.All(tx.View()) {
			if op.Created.Sub(old.Created) > keyFor {
				store.Keys.Delete(tx, old.Name)
			}
		}
	}
}

func accepted(op operator.Operation) *acceptedAnswer {
	at := operator.Prefix + "/operations/" + string(op.ID)
	return &acceptedAnswer{Status: 202, Location: at, Body: operator.Accepted{Operation: &op}}
}

func keyName(c caller, key string) string {
	return fingerprintOf(c.ID + "\n" + key)
}

func fingerprintOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// repeated is the answer to a request whose key was used before; nil when it was not. The same key for something else is refused.
func (s *Server) repeated(c caller, key, what string) (*acceptedAnswer, error) {
	if key == "" {
		return nil, nil
	}
	rec, ok := store.Keys.Get(s.Store.View(), keyName(c, key))
	if !ok || time.Since(rec.Created) > keyFor {
		return nil, nil
	}
	if rec.Body != fingerprintOf(what) {
		return nil, operator.NewProblem(operator.Invalid, "Idempotency-Key", "the key was used for another request",
			"use a new key for each thing you ask")
	}
	op, ok := c.world().Operation(rec.Operation)
	if !ok {
		return nil, progress.NoOperation(rec.Operation)
	}
	return accepted(op), nil
}
