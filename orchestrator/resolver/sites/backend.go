package sites

import (
	"context"
	"errors"
	"sync"

	"hardnode.dev/internal/wire"
)

// ErrDown is the cause of Backend.Life's end.
var ErrDown = errors.New("the node does not answer any more")

// Backend is one node's address. It starts up: the orchestrator names only nodes that passed their check.
type Backend struct {
	CTID wire.CTID
	Addr string // host:port

	mu   sync.Mutex
	life context.Context
	end  context.CancelCauseFunc
	up   bool
	held *hold // nil: it is not
}

func newBackend(ctid wire.CTID, addr string) *Backend {
	b := &Backend{CTID: ctid, Addr: addr, up: true}
	b.life, b.end = context.WithCancelCause(context.Background())
	return b
}

// Up tells whether the backend answered last time.
func (b *Backend) Up() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.up
}

// Life ends, with the cause ErrDown, when the backend goes down: whoever waits for an answer of it then stops waiting.
func (b *Backend) Life() context.Context {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.life
}

// SetUp records what a check or a request found; it tells whether that changed anything.
func (b *Backend) SetUp(up bool) (changed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.up == up {
		return false
	}
	b.up = up
	if up {
		b.life, b.end = context.WithCancelCause(context.Background())
	} else {
		b.end(ErrDown)
	}
	return true
}
