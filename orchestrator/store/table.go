package store

import (
	"encoding/json"
	"iter"
	"slices"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/neighbour"
)

// decoders knows every kind of record. A kind that is not in it is a later orchestrator's: it is left alone.
var decoders = map[string]func([]byte) (val any, foreign bool, err error){}

// Table is one kind of record. Its records are named by text without a "/".
type Table[T any] struct{ name string }

func table[T any](name string) Table[T] {
	decoders[name] = func(raw []byte) (any, bool, error) {
		var v T
		foreign, err := neighbour.DecodeRecord(raw, &v)
		return &v, foreign, err
	}
	return Table[T]{name}
}

func (t Table[T]) key(name string) string { return prefix + t.name + "/" + name }

// Kind is what a Change calls the table.
func (t Table[T]) Kind() string { return t.name }

// Get is the record of that name.
func (t Table[T]) Get(v *View, name string) (rec T, ok bool) {
	if p := t.Find(v, name); p != nil {
		return *p, true
	}
	return rec, false
}

// Find is Get without a copy: nil when there is none.
func (t Table[T]) Find(v *View, name string) *T {
	p, _ := v.entry(t.name, name).val.(*T)
	return p
}

// Revision is the revision of the record's last change; 0 when there is none.
func (t Table[T]) Revision(v *View, name string) wire.Revision {
	return wire.Revision(v.entry(t.name, name).rev)
}

// Len is how many records there are.
func (t Table[T]) Len(v *View) int {
	if r := v.tables[t.name]; r != nil {
		return r.records.Len()
	}
	return 0
}

// All lists the records by name. The list is the caller's.
func (t Table[T]) All(v *View) []T {
	return slices.AppendSeq(make([]T, 0, t.Len(v)), t.Rows(v))
}

// Rows goes through the records by name.
func (t Table[T]) Rows(v *View) iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, p := range t.Refs(v) {
			if !yield(*p) {
				return
			}
		}
	}
}

// Refs is Rows without copies, with the names.
func (t Table[T]) Refs(v *View) iter.Seq2[string, *T] {
	return func(yield func(string, *T) bool) {
		if r := v.tables[t.name]; r != nil {
			r.records.Ascend(func(r row) bool { return yield(r.name, r.val.(*T)) })
		}
	}
}

// RefsAfter is Refs of what comes after a name, which may be that of no record; "" is before the first.
func (t Table[T]) RefsAfter(v *View, name string) iter.Seq2[string, *T] {
	return func(yield func(string, *T) bool) {
		if r := v.tables[t.name]; r != nil {
			r.records.AscendGreaterOrEqual(row{name: name}, func(r row) bool { return r.name == name || yield(r.name, r.val.(*T)) })
		}
	}
}

// After is Rows of what comes after a name.
func (t Table[T]) After(v *View, name string) iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, p := range t.RefsAfter(v, name) {
			if !yield(*p) {
				return
			}
		}
	}
}

// Read is Get inside a transaction: the commit fails, and is tried again, if the record changes before it.
func (t Table[T]) Read(tx *Tx, name string) (rec T, ok bool) {
	tx.touched[t.key(name)] = tx.view.entry(t.name, name).rev
	return t.Get(tx.view, name)
}

// Put writes the record; writing what is already there changes nothing. What a later orchestrator wrote into it, and this one does not
// know, stays in it.
func (t Table[T]) Put(tx *Tx, name string, rec T) {
	if name == "" || strings.Contains(name, "/") {
		panic("BUG: record name " + t.name + "/" + name)
	}
	raw, err := json.Marshal(rec)
	if err != nil {
		panic("BUG: record " + t.name + "/" + name + ": " + err.Error())
	}
	old := tx.view.entry(t.name, name)
	if old.raw != nil {
		if raw, err = neighbour.Carry[T](old.raw, raw); err != nil {
			panic("BUG: record " + t.name + "/" + name + ": " + err.Error())
		}
	}
	tx.touched[t.key(name)] = old.rev
	if old.val != nil && old.sum == sumOf(raw) {
		tx.keep(t.key(name))
		return
	}
	tx.set(t.key(name), raw)
}

// Delete removes the record, if there is one.
func (t Table[T]) Delete(tx *Tx, name string) {
	e := tx.view.entry(t.name, name)
	tx.touched[t.key(name)] = e.rev
	tx.keep(t.key(name))
	if e.val != nil {
		tx.set(t.key(name), nil)
	}
}
