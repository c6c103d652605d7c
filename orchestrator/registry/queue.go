package main

import (
	"context"
	"errors"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/registry/importer"
)

// waiting is how many imports may wait for their turn.
const waiting = 256

// queue imports what was pushed. How many run at once, the importer decides.
type queue struct {
	names  chan wire.TemplateName
	log    *slog.Logger
	do     func(context.Context, wire.TemplateName) (host.Template, error) // of a push
	again  func(context.Context, wire.TemplateName) (host.Template, error) // of what was pushed before the registry started
	pushed func(context.Context) ([]wire.TemplateName, error)
	states *importer.States
}

// add never blocks: what does not fit is found by the next start, or by POST /import.
func (q *queue) add(n wire.TemplateName) {
	q.states.Waiting(n)
	select {
	case q.names <- n:
	default:
		q.states.Missed(n)
		q.log.Warn("too many pushes at once: import it by name", "template", n)
	}
}

// run first imports what was pushed before an earlier run ended, then what comes.
func (q *queue) run(ctx context.Context) error {
	names, err := q.pushed(ctx)
	if err != nil {
		q.log.Warn("pushed images could not be listed", logging.Err, err)
	}
	q.states.Left(names, err)
	var all errgroup.Group
	all.SetLimit(waiting)
	one := func(n wire.TemplateName, do func(context.Context, wire.TemplateName) (host.Template, error)) {
		all.Go(func() error { q.one(ctx, n, do); return nil })
	}
	for _, n := range names {
		one(n, q.again)
	}
	for {
		select {
		case n := <-q.names:
			one(n, q.do)
		case <-ctx.Done():
			return all.Wait()
		}
	}
}

func (q *queue) one(ctx context.Context, n wire.TemplateName, do func(context.Context, wire.TemplateName) (host.Template, error)) {
	_, err := do(ctx, n)
	switch {
	case err == nil || ctx.Err() != nil:
	case errors.Is(err, importer.ErrArtifact):
		q.log.Info("stored, but no template", "template", n, logging.Reason, err)
	default:
		q.log.Warn("template not imported", "template", n, logging.Err, err)
	}
}
