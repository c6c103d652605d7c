package store

import (
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"sort"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"hardnode.dev/internal/wire"
)

// View is the state at one revision. It never changes; what it returns must not be changed either.
type View struct {
	rev    int64
	tables map[string]*rows
	over   chan struct{}
	// The last changes that led here, by revision. The views of one watch share the list: each reads what was there when it was made.
	changes []Change
	floor   int64 // the revision up to which changes are not kept
}

type entry struct {
	val  any    // *T of its Table[T]
	sum  uint64 // of what is stored: sumOf
	raw  []byte // what is stored, where it has fields that this orchestrator does not know; else nil, being val's
	rev  int64
	size int // of what is stored and its key, in bytes
}

// seed makes the sums of this process: nobody else can know which texts have the same one.
var seed = maphash.MakeSeed()

// sumOf tells what is stored from what is to be, without keeping either.
func sumOf(raw []byte) uint64 { return maphash.Bytes(seed, raw) }

// Change names a record that was put or deleted.
type Change struct {
	Kind string // of its table: Table.Kind
	Name string
	rev  int64
}

// keptChanges is how many changes a View remembers at least, once there were so many. A transaction has at most 8192.
const keptChanges = 1 << 16

// Revision orders views.
func (v *View) Revision() wire.Revision { return wire.Revision(v.rev) }

// Over is closed once a newer view exists.
func (v *View) Over() <-chan struct{} { return v.over }

// Since is what changed after that revision, in order; a record that changed twice is there twice. Not ok: it is not known any more, and
// everything may be another one. The list must not be changed.
func (v *View) Since(rev wire.Revision) (changes []Change, ok bool) {
	if int64(rev) < v.floor || int64(rev) > v.rev {
		return nil, false
	}
	at := sort.Search(len(v.changes), func(i int) bool { return v.changes[i].rev > int64(rev) })
	return v.changes[at:], true
}

// newView has nothing but its revision.
func newView(rev int64) *View {
	return &View{rev: rev, floor: rev, tables: map[string]*rows{}, over: make(chan struct{})}
}

// split is the kind and the name of a key.
func split(key string) (kind, name string, ok bool) {
	return strings.Cut(strings.TrimPrefix(key, prefix), "/")
}

// set and its like are for who makes the view; nobody reads it yet.
func (v *View) set(key string, raw []byte, rev int64) error {
	kind, name, ok := split(key)
	decode := decoders[kind]
	if !ok {
		return fmt.Errorf("read record %q: %w: it has no kind", key, ErrNewer)
	}
	if decode == nil {
		return nil // the schema says that this orchestrator may be at work here: a later one's records are for it to read
	}
	val, foreign, err := decode(raw)
	if err != nil {
		return fmt.Errorf("read record %q: %w: %v", key, ErrNewer, err)
	}
	if v.tables[kind] == nil {
		v.tables[kind] = newRows(kind)
	}
	e := &entry{val: val, sum: sumOf(raw), rev: rev, size: len(key) + len(raw)}
	if foreign {
		e.raw = raw
	}
	v.tables[kind].put(kind, name, e)
	return nil
}

// bytes is how much is stored, in bytes. It costs a walk over all records.
func (v *View) bytes() (n int64) {
	for _, r := range v.tables {
		r.records.Ascend(func(r row) bool {
			n += int64(r.size)
			return true
		})
	}
	return n
}

// after is the view that follows v with the events applied, which are in order and not none. Only one may be made of v.
func (v *View) after(events []*clientv3.Event) (*View, error) {
	next := &View{rev: v.rev, tables: maps.Clone(v.tables), over: make(chan struct{}), changes: v.changes, floor: v.floor}
	cloned := map[string]bool{}
	for _, e := range events {
		kind, name, _ := split(string(e.Kv.Key))
		if r := next.tables[kind]; r != nil && !cloned[kind] {
			next.tables[kind] = r.clone()
		}
		cloned[kind] = true
		if e.Type != clientv3.EventTypeDelete {
			if err := next.set(string(e.Kv.Key), e.Kv.Value, e.Kv.ModRevision); err != nil {
				return nil, err
			}
		} else if r := next.tables[kind]; r != nil {
			r.remove(kind, name)
		}
		next.rev = e.Kv.ModRevision
		next.changes = append(next.changes, Change{kind, name, next.rev})
	}
	if n := len(next.changes); n > 2*keptChanges {
		next.floor = next.changes[n-keptChanges-1].rev
		next.changes = slices.Clone(next.changes[n-keptChanges:])
	}
	return next, nil
}
