package licensing

import (
	"context"
	"errors"
	"time"

	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/internal/wire/operator"
)

// Errors are told an hour after they were told before, and a JLS that does not take them is asked again after a quarter of a day: one of an
// earlier release has no such path.
const (
	tellEvery   = time.Hour
	tellRefused = 6 * time.Hour
)

// tell gives the JLS the errors that wait. They wait on when it is away, or refuses them: that is nothing against the licence.
func (k *Keeper) tell(ctx context.Context) error {
	now := k.Now()
	k.mu.Lock()
	due := !now.Before(k.mu.errors)
	k.mu.Unlock()
	if k.Errors == nil || !due {
		return nil
	}
	waiting, err := k.Errors.Waiting()
	if err != nil || len(waiting.Errors) == 0 && waiting.Lost == 0 {
		return err
	}
	var reply jls.ErrorsReply
	next := now.Add(tellEvery)
	err = k.JLS.call(ctx, jls.PathErrors, func(seq int64) any {
		return jls.Errors{Head: jls.Head{Installation: k.Installation(), Seq: seq}, ErrorReport: waiting}
	}, &reply)
	var refused *operator.Problem
	switch {
	case errors.As(err, &refused):
		next = now.Add(tellRefused)
	case err == nil:
		if err = k.Errors.Taken(waiting); reply.Stop.After(next) {
			next = reply.Stop
		}
	}
	k.mu.Lock()
	k.mu.errors = next
	k.mu.Unlock()
	return err
}
