package schedule

import (
	"context"
	"errors"
	"fmt"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// letGoWithin is how long one container may be waited for: whoever starts it has it meanwhile.
const letGoWithin = 5 * time.Second

// letGo lets go of what containers were before, of each when something else is said of that than before, until it is done.
func (k *Keeper) letGo(ctx context.Context, work *host.Work) {
	if k.o.LetGo == nil {
		return
	}
	here := make(map[wire.CTID]bool, len(work.Containers))
	for _, c := range work.Containers {
		here[c.CTID] = true
		says := fmt.Sprint(c.Generation, c.Begins != nil)
		for _, f := range c.Formers {
			says += fmt.Sprint(" ", f.Generation)
		}
		if c.Remove || c.Move != nil || k.gone[c.CTID] == says || ctx.Err() != nil {
			continue
		}
		one, cancel := context.WithTimeout(ctx, letGoWithin)
		err := k.o.LetGo(one, c)
		cancel()
		switch {
		case err == nil:
			k.gone[c.CTID] = says
		case !errors.Is(err, ErrNotNow) && one.Err() == nil:
			k.o.Log.Warn("snapshots of before a redeploy stay", logging.Container, c.CTID, logging.Err, err)
		}
	}
	for id := range k.gone {
		if !here[id] {
			delete(k.gone, id)
		}
	}
}
