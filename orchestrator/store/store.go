// Package store keeps the orchestrator's control state: typed records in one embedded etcd member.
//
// Owns: the records and who writes each of them, the schema version and its upgrades, the copy in memory that every read comes from.
// In: transactions of typed records; each names the revision of every record it touches, so two writers can't overwrite each other.
// Out: Views: immutable, consistent, in memory, fed by one watch, and what changed from one to the other; the revision a transaction was
// accepted at.
// Never: holds reports, heartbeats or metrics (orchestrator/live does, in memory); decides anything; destroys what it can't read.
package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
)

// prefix is where all records lie; schemaKey beside them holds the schema version.
const (
	prefix    = "/hardnode/record/"
	schemaKey = "/hardnode/schema"
)

// ErrNewer: the store was written by a later orchestrator; nothing is read or written.
var ErrNewer = errors.New("the store is newer than this orchestrator")

// ErrBusy: the same records were changed by others again and again; trying later is safe.
var ErrBusy = errors.New("the records kept changing")

// Store is open until Close.
type Store struct {
	m       *member
	commits *commits
	log     *slog.Logger
	view    atomic.Pointer[View]
	stop    context.CancelFunc
	done    sync.WaitGroup
	once    sync.Once
}

// Open starts the member, upgrades the schema, reads all records and follows them.
func Open(ctx context.Context, o Options) (*Store, error) { return open(ctx, o, upgrades) }

func open(ctx context.Context, o Options, list []upgrade) (*Store, error) {
	m, err := startMember(ctx, o)
	if err != nil {
		return nil, err
	}
	s := &Store{m: m, log: logging.Or(o.Log)}
	if err := migrate(ctx, m, list); err != nil {
		m.close()
		return nil, err
	}
	if err := s.load(ctx); err != nil {
		m.close()
		return nil, err
	}
	watching, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.commits = newCommits(m, rand.Text(), watching.Done())
	due := make(chan struct{}, 1)
	s.done.Go(func() { s.compact(watching, due) })
	s.done.Go(func() { s.shrink(watching, calm) })
	s.done.Go(func() { s.follow(watching, due) })
	return s, nil
}

// Close stops the watch and the member. Closing twice is closing once.
func (s *Store) Close() {
	s.once.Do(func() {
		s.stop()
		s.done.Wait()
		s.m.close()
	})
}

// View is the newest state in memory.
func (s *Store) View() *View { return s.view.Load() }

// load replaces the view by everything in the member.
func (s *Store) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	got, err := s.m.Get(ctx, prefix, clientv3.WithPrefix())
	if err != nil {
		return fmt.Errorf("read store: %v", err)
	}
	v := newView(got.Header.Revision)
	for _, kv := range got.Kvs {
		if err := v.set(string(kv.Key), kv.Value, kv.ModRevision); err != nil {
			return err
		}
	}
	s.replace(v)
	return nil
}

func (s *Store) replace(v *View) {
	if old := s.view.Swap(v); old != nil {
		close(old.over)
	}
}

// follow feeds the view from one watch until ctx ends; a broken watch is closed, and repaired by reading everything again. What goes on
// failing in the same way is told once.
func (s *Store) follow(ctx context.Context, due chan<- struct{}) {
	told := ""
	var written history
	for n := 0; ; n++ {
		err := s.watch(ctx, func(events []*clientv3.Event) {
			if written.add(events) {
				select {
				case due <- struct{}{}:
				default: // one is under way
				}
			}
		})
		if !run.Wait(ctx, run.Backoff(n, 100*time.Millisecond, 5*time.Second, 0.5)) {
			return
		}
		if lerr := s.load(ctx); lerr != nil {
			err = errors.Join(err, lerr)
		} else {
			n = 0
		}
		switch {
		case err == nil:
			told = ""
		case ctx.Err() == nil && err.Error() != told:
			told = err.Error()
			s.log.Error("the store can't be followed", logging.Err, err)
		}
	}
}

// watch feeds the view until the watch breaks: an error when what it brought can't be read. It gives what came to seen.
func (s *Store) watch(ctx context.Context, seen func([]*clientv3.Event)) error {
	ctx, cancel := context.WithCancel(ctx) // the member keeps a watch until its context ends
	defer cancel()
	for w := range s.m.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(s.View().rev+1)) {
		if w.Err() != nil {
			return nil
		}
		if len(w.Events) == 0 {
			continue
		}
		next, err := s.View().after(w.Events)
		if err != nil {
			return err
		}
		s.replace(next)
		seen(w.Events)
	}
	return nil
}

// await waits until the view has what is asked for.
func (s *Store) await(ctx context.Context, what string, has func(*View) bool) error {
	for {
		v := s.View()
		if has(v) {
			return nil
		}
		select {
		case <-v.over:
		case <-ctx.Done():
			return fmt.Errorf("wait for %s of the store: %w", what, ctx.Err())
		}
	}
}

// Update runs f on the newest view and commits what it put, all or nothing; f runs again when a record it touched changed meanwhile.
// It returns when the view holds the result. An error of f ends it with nothing stored. The revision is the store's at the commit, or
// the present one when f changed nothing.
func (s *Store) Update(ctx context.Context, f func(*Tx) error) (wire.Revision, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for conflicts := 0; conflicts < 20; {
		if err := ctx.Err(); err != nil {
			return 0, unconfirmed(fmt.Errorf("write to the store: %w", err)) // nothing is begun: the member might still take it
		}
		tx := newTx(s.View())
		if err := f(tx); err != nil {
			return 0, err
		}
		if len(tx.write) == 0 {
			return wire.Revision(tx.view.rev), nil
		}
		cmps := make([]clientv3.Cmp, 0, len(tx.touched))
		for k, rev := range tx.touched {
			cmps = append(cmps, clientv3.Compare(clientv3.ModRevision(k), "=", rev))
		}
		ops := make([]clientv3.Op, 0, len(tx.write))
		for k, raw := range tx.write {
			if raw == nil {
				ops = append(ops, clientv3.OpDelete(k))
			} else {
				ops = append(ops, clientv3.OpPut(k, string(raw)))
			}
		}
		rev, how, err := s.commits.do(ctx, cmps, ops)
		switch {
		case err != nil:
			s.log.Warn("a write is not confirmed", logging.Err, err, "records", len(ops), "bytes", tx.bytes)
			return 0, unconfirmed(err)
		case how == lost:
			continue
		case how == carriedOut:
			if err := s.await(ctx, fmt.Sprintf("revision %d", rev), func(v *View) bool { return v.rev >= rev }); err != nil {
				return 0, unconfirmed(err)
			}
			return wire.Revision(rev), nil
		}
		conflicts++
		// One of the records is another one now, which the view is sure to show. The revision of the answer says nothing: it may be that of
		// something the view doesn't hold.
		if err := s.await(ctx, "the newer record", tx.outdated); err != nil {
			return 0, unconfirmed(err)
		}
	}
	return 0, unconfirmed(ErrBusy)
}

// Tx is one transaction in the making. It is valid inside Update's function only.
type Tx struct {
	view    *View
	touched map[string]int64 // key → the revision it must still have
	write   map[string][]byte
	bytes   int // of write
}

func newTx(v *View) *Tx {
	return &Tx{view: v, touched: map[string]int64{}, write: map[string][]byte{}}
}

// Size is how large the transaction is so far: the records it names, and the bytes it writes. The member takes 8192 records and 8 MiB.
func (t *Tx) Size() (records, bytes int) { return len(t.touched), t.bytes }

// set writes a record, nil: none.
func (t *Tx) set(key string, raw []byte) {
	t.keep(key)
	t.write[key] = raw
	t.bytes += len(key) + len(raw)
}

// keep takes back what was written of a record.
func (t *Tx) keep(key string) {
	if raw, there := t.write[key]; there {
		t.bytes -= len(key) + len(raw)
		delete(t.write, key)
	}
}

// View is the state the transaction started from: its own writes are not in it, and reading it guards nothing (Table.Read does).
func (t *Tx) View() *View { return t.view }

// outdated tells whether a record that the transaction touched is another one in v.
func (t *Tx) outdated(v *View) bool {
	for key, rev := range t.touched {
		if kind, name, _ := split(key); v.entry(kind, name).rev != rev {
			return true
		}
	}
	return false
}
