package store

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
)

// The member's file never shrinks by itself: what compaction gives up stays in it as free pages, all of it mapped into memory. It is
// written anew when it is at least shrinkFrom large and at most half of it is in use.
const (
	shrinkFrom = 64 << 20 // bytes
	// shrinkSpare is what must be left free on the volume beside the copy, in bytes.
	shrinkSpare = 256 << 20
	// calm is how long nothing must have been written: the member neither reads nor writes while its file is copied (a second for 100 MiB).
	calm = 10 * time.Second
)

// extent is how large the member's file is.
type extent struct {
	size, used int64 // bytes
	free       int64 // bytes, of its volume
}

// wasteful tells whether it is worth it to write the file anew, and there is room for the copy.
func (e extent) wasteful() bool {
	return e.size >= shrinkFrom && e.used <= e.size/2 && e.free >= e.used+shrinkSpare
}

// shrink writes the member's file anew in calm moments, until ctx ends. Killed meanwhile, the member has the file that it had: the copy
// takes its place by a rename when it is whole, and one that is not is removed at the next start.
func (s *Store) shrink(ctx context.Context, every time.Duration) {
	for last := int64(0); run.Wait(ctx, every); {
		now := s.View().rev
		written := now != last
		if last = now; written {
			continue
		}
		before, err := s.m.extent()
		if err != nil {
			s.log.Warn("the store's file can't be looked at", logging.Err, err)
			continue
		}
		if !before.wasteful() {
			continue
		}
		began := time.Now()
		if err := s.m.server.Server.Backend().Defrag(); err != nil {
			s.log.Warn("the store's file stays as large as it is", logging.Err, err)
			continue
		}
		s.log.Info("the store's file was written anew", "bytes", before.size, "now", s.m.server.Server.Backend().Size(), "took",
			time.Since(began).Round(time.Millisecond))
	}
}

func (m *member) extent() (extent, error) {
	b := m.server.Server.Backend()
	var st unix.Statfs_t
	dir := filepath.Join(m.server.Config().Dir, "member")
	if err := unix.Statfs(dir, &st); err != nil {
		return extent{}, fmt.Errorf("free space of %q: %v", dir, err)
	}
	return extent{size: b.Size(), used: b.SizeInUse(), free: int64(st.Bavail) * st.Bsize}, nil
}
