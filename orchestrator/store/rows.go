package store

import (
	"iter"
	"maps"
	"slices"
	"sync"
)

// rows are the records of one kind in one View. A table that no event changed is shared by the views that follow, with what was derived from it.
type rows struct {
	records map[string]entry
	names   func() []string // in order; sorted when first asked for
	groups  sync.Map        // name of an Index → func() map[string][]string
}

// newRows begins with the records of old, which may be nil.
func newRows(old *rows) *rows {
	r := &rows{records: map[string]entry{}}
	if old != nil {
		r.records, r.names = maps.Clone(old.records), old.names
	} else {
		r.resort()
	}
	return r
}

// put and remove are for who makes the view; nobody reads it yet.
func (r *rows) put(name string, e entry) {
	if _, there := r.records[name]; !there {
		r.resort()
	}
	r.records[name] = e
}

func (r *rows) remove(name string) {
	delete(r.records, name)
	r.resort()
}

func (r *rows) resort() {
	r.names = sync.OnceValue(func() []string { return slices.SortedFunc(maps.Keys(r.records), compareNames) })
}

// table is the records of one kind, nil if there are none.
func (v *View) table(name string) map[string]entry {
	if r := v.tables[name]; r != nil {
		return r.records
	}
	return nil
}

// Index groups the records of a table by a key. A view's groups are made when the first is asked for: that costs all records once, then each
// group costs its own.
type Index[T any] struct {
	table Table[T]
	name  string
	key   func(T) string
}

func index[T any](t Table[T], name string, key func(T) string) Index[T] {
	return Index[T]{t, name, key}
}

// Of goes through the records of one group by name.
func (x Index[T]) Of(v *View, key string) iter.Seq[T] {
	return func(yield func(T) bool) {
		r := v.tables[x.table.name]
		if r == nil {
			return
		}
		made, _ := r.groups.LoadOrStore(x.name, sync.OnceValue(func() map[string][]string {
			groups := map[string][]string{}
			for _, n := range r.names() {
				k := x.key(r.records[n].val.(T))
				groups[k] = append(groups[k], n)
			}
			return groups
		}))
		for _, n := range made.(func() map[string][]string)()[key] {
			if !yield(r.records[n].val.(T)) {
				return
			}
		}
	}
}
