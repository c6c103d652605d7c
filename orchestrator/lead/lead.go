package lead

import (
	"context"
	"log/slog"

	"hardnode.dev/internal/run"
)

// Lead is being the leader: all that only the leader runs hangs from it, and none of it goes on once it has returned. ctx is the
// leadership; it ends with that, or with the program. An error is that of the task that could not go on.
func Lead(ctx context.Context, log *slog.Logger, tasks ...run.Task) error {
	return run.Group(ctx, log, tasks...)
}
