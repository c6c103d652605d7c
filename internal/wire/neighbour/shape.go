package neighbour

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"sync"
)

// shape is what a Go type has of a JSON document. A nil one is a leaf: what is inside is not looked at.
type shape struct {
	fields map[string]field // of an object with the type's fields
	must   int              // how many of them are required
	each   *shape           // of the elements of a list, or the values of a map
	list   bool
	key    string // of a list of objects: the field that tells which is which, "" if none does
}

type field struct {
	shape *shape
	must  bool
}

// keys are the fields by which one element of a list is told from another, the first that the type has.
var keys = []string{"id", "ctid", "host", "name", "path", "object", "to"}

var shapes sync.Map // reflect.Type → *shape

// of is the shape of a type. A type that holds itself ends as a leaf at the second look.
func of(t reflect.Type) *shape {
	if s, ok := shapes.Load(t); ok {
		return s.(*shape)
	}
	s := build(t, map[reflect.Type]bool{})
	shapes.Store(t, s)
	return s
}

var (
	ownJSON = reflect.TypeFor[json.Unmarshaler]()
	ownText = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func build(t reflect.Type, above map[reflect.Type]bool) *shape {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if p := reflect.PointerTo(t); above[t] || p.Implements(ownJSON) || p.Implements(ownText) {
		return nil
	}
	above[t] = true
	defer delete(above, t)
	switch t.Kind() {
	case reflect.Struct:
		s := &shape{fields: map[string]field{}}
		s.add(t, above)
		for _, f := range s.fields {
			if f.must {
				s.must++
			}
		}
		return s
	case reflect.Map:
		if each := build(t.Elem(), above); each != nil {
			return &shape{each: each}
		}
	case reflect.Slice, reflect.Array:
		if each := build(t.Elem(), above); each != nil {
			s := &shape{each: each, list: true}
			for _, k := range keys {
				if f, ok := each.fields[k]; ok && f.shape == nil && s.key == "" {
					s.key = k
				}
			}
			return s
		}
	}
	return nil
}

// add takes in a struct's fields; those of an embedded one without a name of its own count as the outer one's, which wins.
func (s *shape) add(t reflect.Type, above map[reflect.Type]bool) {
	var embedded []reflect.Type
	for f := range fieldsOf(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		switch {
		case name == "-" && options == "":
			continue
		case f.Anonymous && name == "" && inner.Kind() == reflect.Struct:
			embedded = append(embedded, inner)
			continue
		case !f.IsExported():
			continue
		case name == "":
			name = f.Name
		}
		loose := false
		for o := range strings.SplitSeq(options, ",") {
			loose = loose || o == "omitempty" || o == "omitzero"
		}
		if _, there := s.fields[name]; !there {
			s.fields[name] = field{build(f.Type, above), !loose}
		}
	}
	for _, e := range embedded {
		s.add(e, above)
	}
}

func fieldsOf(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}
