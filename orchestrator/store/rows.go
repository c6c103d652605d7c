package store

import (
	"cmp"
	"iter"
	"strings"

	"github.com/google/btree"
)

// rows are the records of one kind in one View, in order of their names, and the groups of each Index of the kind. They are trees that are
// copied on write: those of the next View share with them all that no event changed, so a View costs what changed times the depth.
type rows struct {
	records *btree.BTreeG[row]
	groups  []*btree.BTreeG[grouped] // one for each of indices[kind]
}

type row struct {
	name string
	*entry
}

// grouped is a row below the key of its group.
type grouped struct {
	key string
	row
}

// degree is how wide the trees are: a change copies a few nodes of twice as many rows.
const degree = 32

// indices are the keys by which the records of a kind are grouped. Like the tables, they are made before the first View.
var indices = map[string][]func(val any) string{}

func newRows(kind string) *rows {
	r := &rows{records: btree.NewG(degree, func(a, b row) bool { return compareNames(a.name, b.name) < 0 })}
	for range indices[kind] {
		r.groups = append(r.groups, btree.NewG(degree, func(a, b grouped) bool {
			return cmp.Or(strings.Compare(a.key, b.key), compareNames(a.name, b.name)) < 0
		}))
	}
	return r
}

// clone is for who makes the next View: r and what it returns may be read by many, and each changed by one.
func (r *rows) clone() *rows {
	next := &rows{records: r.records.Clone()}
	for _, g := range r.groups {
		next.groups = append(next.groups, g.Clone())
	}
	return next
}

func (r *rows) put(kind, name string, e *entry) {
	old, there := r.records.ReplaceOrInsert(row{name, e})
	for i, key := range indices[kind] {
		if there {
			r.groups[i].Delete(grouped{key(old.val), old})
		}
		r.groups[i].ReplaceOrInsert(grouped{key(e.val), row{name, e}})
	}
}

func (r *rows) remove(kind, name string) {
	old, there := r.records.Delete(row{name: name})
	if !there {
		return
	}
	for i, key := range indices[kind] {
		r.groups[i].Delete(grouped{key(old.val), old})
	}
}

// entry is the record of that name; the zero entry if there is none.
func (v *View) entry(kind, name string) entry {
	if r := v.tables[kind]; r != nil {
		if got, ok := r.records.Get(row{name: name}); ok {
			return *got.entry
		}
	}
	return entry{}
}

// Index groups the records of a table by a key.
type Index[T any] struct {
	table Table[T]
	at    int // in rows.groups
}

func index[T any](t Table[T], key func(*T) string) Index[T] {
	indices[t.name] = append(indices[t.name], func(val any) string { return key(val.(*T)) })
	return Index[T]{t, len(indices[t.name]) - 1}
}

// Of goes through the records of one group by name: it costs the group.
func (x Index[T]) Of(v *View, key string) iter.Seq[T] {
	return func(yield func(T) bool) {
		r := v.tables[x.table.name]
		if r == nil {
			return
		}
		r.groups[x.at].AscendGreaterOrEqual(grouped{key: key}, func(g grouped) bool {
			return g.key == key && yield(*g.val.(*T))
		})
	}
}

// compareNames orders numbers by value and before other names, which are ordered as text: container 99 comes before 100.
func compareNames(a, b string) int {
	switch x, y := digits(a), digits(b); {
	case a == "" || b == "": // the first of all
		return len(a) - len(b)
	case x && y && len(a) != len(b):
		return len(a) - len(b)
	case x && !y:
		return -1
	case y && !x:
		return 1
	}
	return strings.Compare(a, b)
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
