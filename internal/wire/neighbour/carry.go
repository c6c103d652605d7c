package neighbour

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Carry is next, which was encoded from a T, with the fields of old that T does not know: a program of an earlier version changes a record
// and loses nothing of what a later one wrote into it. Elements of a list are told apart by their field id, ctid, host, name, path or
// object, the first that they have; what was unknown of an element that is gone goes with it, and of elements that no such field tells
// apart. If there is nothing to carry, next comes back as it is.
func Carry[T any](old, next []byte) ([]byte, error) {
	if len(old) == 0 {
		return next, nil
	}
	s := of(reflect.TypeFor[T]())
	if s == nil {
		return next, nil
	}
	out, changed, err := carry(s, old, next)
	if err != nil {
		return nil, fmt.Errorf("carry over unknown fields: %v", err)
	}
	if !changed {
		return next, nil
	}
	return out, nil
}

func carry(s *shape, old, next json.RawMessage) (json.RawMessage, bool, error) {
	kind := first(next)
	if s == nil || kind != first(old) {
		return next, false, nil
	}
	switch {
	case kind == '{' && s.fields != nil:
		return carryObject(s.fields, nil, old, next)
	case kind == '{' && !s.list:
		return carryObject(nil, s.each, old, next)
	case kind == '[' && s.list && s.key != "":
		return carryList(s, old, next)
	}
	return next, false, nil
}

// carryObject carries into an object: of a struct with these fields, or of a map whose values have the shape each. What a map lacks now was
// taken out of it.
func carryObject(fields map[string]field, each *shape, old, next json.RawMessage) (json.RawMessage, bool, error) {
	was, names, err := object(old)
	if err != nil {
		return nil, false, err
	}
	is, order, err := object(next)
	if err != nil {
		return nil, false, err
	}
	changed := false
	for _, name := range names {
		f, known := fields[name]
		switch now, there := is[name]; {
		case fields != nil && !known && !there:
			is[name], order, changed = was[name], append(order, name), true
		case there:
			inner := f.shape
			if fields == nil {
				inner = each
			}
			out, c, err := carry(inner, was[name], now)
			if err != nil {
				return nil, false, err
			}
			is[name], changed = out, changed || c
		}
	}
	if !changed {
		return next, false, nil
	}
	var b bytes.Buffer
	for i, name := range order {
		b.WriteByte(",{"[btoi(i == 0)])
		key, _ := json.Marshal(name)
		b.Write(key)
		b.WriteByte(':')
		b.Write(is[name])
	}
	b.WriteByte('}')
	return b.Bytes(), true, nil
}

func carryList(s *shape, old, next json.RawMessage) (json.RawMessage, bool, error) {
	was, err := list(old)
	if err != nil {
		return nil, false, err
	}
	is, err := list(next)
	if err != nil {
		return nil, false, err
	}
	byKey := map[string]json.RawMessage{}
	for _, e := range was {
		k, ok := keyOf(e, s.key)
		if _, twice := byKey[k]; twice { // then it tells nothing apart
			e = nil
		}
		if ok {
			byKey[k] = e
		}
	}
	changed := false
	for i, e := range is {
		k, ok := keyOf(e, s.key)
		if !ok || byKey[k] == nil {
			continue
		}
		out, c, err := carry(s.each, byKey[k], e)
		if err != nil {
			return nil, false, err
		}
		is[i], changed = out, changed || c
	}
	if !changed {
		return next, false, nil
	}
	return slices.Concat([]byte{'['}, bytes.Join(rawBytes(is), []byte{','}), []byte{']'}), true, nil
}

// object takes an object apart; names are in the document's order, each once.
func object(raw json.RawMessage) (m map[string]json.RawMessage, names []string, err error) {
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, nil, err
	}
	c := cursor{b: raw}
	c.space()
	left := maps.Clone(m)
	err = c.members(func(name string) error {
		if _, ok := left[name]; ok {
			names = append(names, name)
			delete(left, name)
		}
		c.skip()
		return nil
	})
	return m, names, err
}

func list(raw json.RawMessage) (l []json.RawMessage, err error) {
	return l, json.Unmarshal(raw, &l)
}

func keyOf(raw json.RawMessage, key string) (string, bool) {
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil || len(m[key]) == 0 {
		return "", false
	}
	return string(m[key]), true
}

func first(raw []byte) byte {
	c := cursor{b: raw}
	return c.peek()
}

func rawBytes(l []json.RawMessage) [][]byte {
	out := make([][]byte, len(l))
	for i := range l {
		out[i] = l[i]
	}
	return out
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
