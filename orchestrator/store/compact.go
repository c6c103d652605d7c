package store

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"hardnode.dev/internal/logging"
)

// keptBytes is how much may be written before what it replaced is given up. The member keeps every value that a record ever had until then,
// in a file that never shrinks, is mapped into memory, and ends all writing at 1 GiB (QuotaBackendBytes): a fleet of thousands of hosts
// writes that much in minutes.
const keptBytes = 16 << 20

// history counts what was written since the last compaction.
type history struct{ bytes int64 }

// add tells whether it is time for one.
func (h *history) add(events []*clientv3.Event) (due bool) {
	for _, e := range events {
		h.bytes += int64(len(e.Kv.Key) + len(e.Kv.Value))
	}
	if due = h.bytes >= keptBytes; due {
		h.bytes = 0
	}
	return due
}

// compact gives up what is older than the view, each time it is told that much was written, until ctx ends. Nobody reads what is older: the
// watch goes on from the view, or everything is read again.
func (s *Store) compact(ctx context.Context, due <-chan struct{}) {
	for {
		select {
		case <-due:
		case <-ctx.Done():
			return
		}
		s.giveUp(ctx, s.View().rev)
	}
}

// giveUp gives up what is older than rev; false: it was before, or can't be.
func (s *Store) giveUp(ctx context.Context, rev int64, opts ...clientv3.CompactOption) bool {
	_, err := s.m.Compact(ctx, rev, opts...)
	if err != nil && ctx.Err() == nil && !errors.Is(err, rpctypes.ErrCompacted) {
		s.log.Warn("the store keeps what was replaced", logging.Err, err)
	}
	return err == nil
}
