package main

import (
	"context"
	"log/slog"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// queue imports what was pushed, one after the other.
type queue struct {
	names  chan wire.TemplateName
	log    *slog.Logger
	do     func(context.Context, wire.TemplateName) (host.Template, error)
	pushed func(context.Context) ([]wire.TemplateName, error)
}

// add never blocks: what does not fit is found by the next start, or by POST /import.
func (q *queue) add(n wire.TemplateName) {
	select {
	case q.names <- n:
	default:
		q.log.Warn("too many pushes at once: import it by name", "template", n)
	}
}

// run first imports what was pushed before an earlier run ended, then what comes.
func (q *queue) run(ctx context.Context) error {
	names, err := q.pushed(ctx)
	if err != nil {
		q.log.Warn("pushed images could not be listed", logging.Err, err)
	}
	for _, n := range names {
		q.one(ctx, n)
	}
	for {
		select {
		case n := <-q.names:
			q.one(ctx, n)
		case <-ctx.Done():
			return nil
		}
	}
}

func (q *queue) one(ctx context.Context, n wire.TemplateName) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	if _, err := q.do(ctx, n); err != nil && ctx.Err() == nil {
		q.log.Warn("template not imported", "template", n, logging.Err, err)
	}
}
