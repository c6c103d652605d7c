package store

import (
	"bytes"
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
		return v, foreign, err
	}
	return Table[T]{name}
}

func (t Table[T]) key(name string) string { return prefix + t.name + "/" + name }

// Get is the record of that name.
func (t Table[T]) Get(v *View, name string) (rec T, ok bool) {
	e, ok := v.table(t.name)[name]
	if !ok {
		return rec, false
	}
	return e.val.(T), true
}

// Revision is the revision of the record's last change; 0 when there is none.
func (t Table[T]) Revision(v *View, name string) wire.Revision {
	return wire.Revision(v.table(t.name)[name].rev)
}

// Len is how many records there are.
func (t Table[T]) Len(v *View) int { return len(v.table(t.name)) }

// All lists the records by name. The list is the caller's.
func (t Table[T]) All(v *View) []T {
	return slices.AppendSeq(make([]T, 0, t.Len(v)), t.Rows(v))
}

// Rows goes through the records by name.
func (t Table[T]) Rows(v *View) iter.Seq[T] {
	return func(yield func(T) bool) {
		r := v.tables[t.name]
		if r == nil {
			return
		}
		for _, n := range r.names() {
			if !yield(r.records[n].val.(T)) {
				return
			}
		}
	}
}

// compareNames orders numbers by value and other names as text, so container 99 comes before 100.
func compareNames(a, b string) int {
	if d := len(a) - len(b); d != 0 && digits(a) && digits(b) {
		return d
	}
	return strings.Compare(a, b)
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// Read is Get inside a transaction: the commit fails, and is tried again, if the record changes before it.
func (t Table[T]) Read(tx *Tx, name string) (rec T, ok bool) {
	tx.touched[t.key(name)] = tx.view.table(t.name)[name].rev
	return t.Get(tx.view, name)
}

// Put writes the record; writing what is already there changes nothing. What a later orchestrator wrote into it, and this one does not know,
// stays in it.
func (t Table[T]) Put(tx *Tx, name string, rec T) {
	if name == "" || strings.Contains(name, "/") {
		panic("BUG: record name " + t.name + "/" + name)
	}
	raw, err := json.Marshal(rec)
	if err != nil {
		panic("BUG: record " + t.name + "/" + name + ": " + err.Error())
	}
	old := tx.view.table(t.name)[name]
	if old.foreign {
		if raw, err = neighbour.Carry[T](old.raw, raw); err != nil {
			panic("BUG: record " + t.name + "/" + name + ": " + err.Error())
		}
	}
	tx.touched[t.key(name)] = old.rev
	if bytes.Equal(old.raw, raw) {
		delete(tx.write, t.key(name))
		return
	}
	tx.write[t.key(name)] = raw
}

// Delete removes the record, if there is one.
func (t Table[T]) Delete(tx *Tx, name string) {
	e, ok := tx.view.table(t.name)[name]
	tx.touched[t.key(name)] = e.rev
	delete(tx.write, t.key(name))
	if ok {
		tx.write[t.key(name)] = nil
	}
}
