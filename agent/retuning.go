package main

import (
	"context"
	"path/filepath"

	"hardnode.dev/agent/jemcall"
	"hardnode.dev/agent/retune"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/jem"
)

// newRetuner makes what has the servers in containers follow their size.
func (a *agent) newRetuner(data string) *retune.Retuner {
	var calls jemcall.Calls
	return retune.New(filepath.Join(data, "resized"), func(ctx context.Context, id wire.CTID) (jem.Reply, bool, error) {
		reply, err := calls.Do(ctx, id, retune.Request, a.runtime.Told(ctx, id), a.runtime.Exec)
		return reply, reply.Error != nil, err
	}, a.log)
}
