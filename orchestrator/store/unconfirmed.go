package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/grpc/codes"

	"hardnode.dev/internal/wire/operator"
)

// unconfirmed is err of a write, as a Problem too where the member, or this machine, has more to do than it can: a caller is told that, and
// that it may try again, in place of an error nobody can do anything about. What of it was carried out is not known. So it is with a write
// that is broken off, by a caller who goes or an orchestrator that ends.
func unconfirmed(err error) error {
	var coded interface{ Code() codes.Code } // what the member answers (rpctypes.EtcdError)
	slow := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
	if errors.As(err, &coded) {
		slow = slow || slices.Contains([]codes.Code{codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Canceled},
			coded.Code())
	}
	switch {
	case errors.Is(err, ErrBusy):
		return fmt.Errorf("write store: %w: %w", err, operator.NewProblem(operator.Unavailable, "store",
			"others changed the same at this moment, again and again; nothing was carried out", "try again"))
	case slow:
		return fmt.Errorf("write store: %w: %w", err, operator.NewProblem(operator.Unavailable, "store",
			"the orchestrator did not confirm in time; it may have been carried out all the same",
			"look what is there now, then try again; hnctl cluster status and the infra host's console say what is slow"))
	}
	return fmt.Errorf("write store: %w", err)
}
