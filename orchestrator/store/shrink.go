package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sys/unix"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
)

// The member's file never shrinks by itself: what compaction gives up stays in it as free pages, all mapped into memory. It is written
// anew when it is at least shrinkFrom large, three times what is stored, and twice what it was after the last time.
const (
	shrinkFrom = 64 << 20 // bytes
	// shrinkSpare is what must be left free on the volume beside the copy, in bytes.
	shrinkSpare = 256 << 20
	// calm is how long nothing must have been written: the member neither reads nor writes while its file is copied (a second for 100 MiB).
	calm = 10 * time.Second
)

// extent is how large the member's file is, in bytes.
type extent struct {
	file, stored int64
	last         int64 // the file after it was written anew the last time; 0: it was not
	free         int64 // of its volume
}

// wasteful tells whether it is worth it to write the file anew, and there is room for the copy.
func (e extent) wasteful() bool {
	return e.file >= shrinkFrom && e.file >= 3*e.stored && e.file >= 2*e.last && e.free >= 2*e.stored+shrinkSpare
}

// shrink writes the member's file anew in calm moments, until ctx ends. Killed meanwhile, the member has the file that it had: the copy
// takes its place by a rename when it is whole, and one that is not is removed at the next start (dropCopies).
func (s *Store) shrink(ctx context.Context, every time.Duration) {
	var seen, compacted, last int64 // revisions; bytes
	for run.Wait(ctx, every) {
		v := s.View()
		written := v.rev != seen
		if seen = v.rev; written || s.m.server.Server.Backend().Size() < shrinkFrom {
			continue
		}
		if compacted != v.rev { // what was written last may have been too little for compact to run
			if compacted = v.rev; s.giveUp(ctx, v.rev, clientv3.WithCompactPhysical()) {
				continue // the next look finds what that freed
			}
		}
		before, err := s.m.extent(v, last)
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
		last = s.m.server.Server.Backend().Size()
		s.log.Info("the store's file was written anew", "bytes", before.file, "now", last, logging.Took, time.Since(began))
	}
}

func (m *member) extent(v *View, last int64) (extent, error) {
	var st unix.Statfs_t
	dir := filepath.Join(m.server.Config().Dir, "member")
	if err := unix.Statfs(dir, &st); err != nil {
		return extent{}, fmt.Errorf("free space of %q: %v", dir, err)
	}
	return extent{file: m.server.Server.Backend().Size(), stored: v.bytes(), last: last, free: int64(st.Bavail) * st.Bsize}, nil
}

// dropCopies removes the copies of a member's file that were not finished when it was killed; each has the size of all that is stored. The
// member itself removes them only when it looks for a snapshot that it does not always need.
func dropCopies(member string) {
	left, _ := filepath.Glob(filepath.Join(member, "member", "snap", "db.tmp.*")) // the pattern is a good one
	for _, path := range left {
		os.Remove(path)
	}
}
