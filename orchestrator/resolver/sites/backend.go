package sites

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"hardnode.dev/internal/wire"
)

// ErrDown is the cause of Backend.Life's end.
var ErrDown = errors.New("the node does not answer any more")

// ErrMoved is the cause of Backend.Stay's end.
var ErrMoved = errors.New("the node has gone to another host")

// Backend is one node's address. It starts up: the orchestrator names only nodes that passed their check.
type Backend struct {
	CTID wire.CTID
	Addr string // host:port

	busy atomic.Int64 // requests that are under way to it

	mu   sync.Mutex
	life context.Context
	end  context.CancelCauseFunc
	up   bool
	held *holding // nil: it is not
	host wire.HostID
	stay context.Context
	left context.CancelCauseFunc
}

func newBackend(ctid wire.CTID, addr string, host wire.HostID) *Backend {
	b := &Backend{CTID: ctid, Addr: addr, up: true, host: host}
	b.life, b.end = context.WithCancelCause(context.Background())
	b.stay, b.left = context.WithCancelCause(context.Background())
	return b
}

// Enter counts one more request that is under way to the backend, and Leave one less.
func (b *Backend) Enter() { b.busy.Add(1) }

// Leave ends an Enter.
func (b *Backend) Leave() { b.busy.Add(-1) }

// Stay ends, with the cause ErrMoved, when the backend is on another host: what was sent to it before is not answered any more.
func (b *Backend) Stay() context.Context {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stay
}

// on says which host the backend is on; it tells whether that is another one than before.
func (b *Backend) on(host wire.HostID) (moved bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.host == host {
		return false
	}
	b.host = host
	b.left(ErrMoved)
	b.stay, b.left = context.WithCancelCause(context.Background())
	return true
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
