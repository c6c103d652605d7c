package importer

import (
	"context"
	"sync"

	"hardnode.dev/internal/wire"
	"hardnode.dev/orchestrator/registry/flatten"
)

// What an import keeps in memory is bound by its limits: about 500 bytes an entry, twice Meta, and the window of a zstd frame. With the
// full limits that is some 450 MiB, with the small ones 60: one large and three small imports fit in 640 MiB together, and no small
// one waits for a large one.
const (
	smallAtOnce  = 3
	largeAtOnce  = 1
	smallPacked  = 48 << 20 // bytes of all layers as pushed: more is large from the start
	smallEntries = 50_000
	smallMeta    = 8 << 20
	smallArchive = 2 << 30
	smallWindow  = 8 << 20 // what zstd's levels up to 19 use
)

// small are l for an import that must not take much.
func small(l flatten.Limits) flatten.Limits {
	l.Entries, l.Meta, l.Archive = min(l.Entries, smallEntries), min(l.Meta, smallMeta), min(l.Archive, smallArchive)
	return l
}

// lanes let so many small and so many large imports run at once. The zero value is ready.
type lanes struct {
	once         sync.Once
	small, large chan struct{}
}

// enter waits for a place in a lane; leave gives it back.
func (n *lanes) enter(ctx context.Context, large bool) (leave func(), err error) {
	n.once.Do(func() { n.small, n.large = make(chan struct{}, smallAtOnce), make(chan struct{}, largeAtOnce) })
	lane := n.small
	if large {
		lane = n.large
	}
	select {
	case lane <- struct{}{}:
		return func() { <-lane }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// flights hold who imports which manifest: it is imported once, however many ask. The zero value is ready.
type flights struct {
	mu sync.Mutex
	of map[wire.Digest]*flight
}

type flight struct {
	done chan struct{}
	err  error // once done is closed
}

// join makes the caller the one who imports d; land ends that. Or somebody else does: then land is nil, and the flight is to be waited for.
func (f *flights) join(d wire.Digest) (other *flight, land func(error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if other = f.of[d]; other != nil {
		return other, nil
	}
	if f.of == nil {
		f.of = map[wire.Digest]*flight{}
	}
	mine := &flight{done: make(chan struct{})}
	f.of[d] = mine
	return nil, func(err error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		mine.err = err
		delete(f.of, d)
		close(mine.done)
	}
}
