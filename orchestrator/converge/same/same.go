// Package same compares documents by what is written of them.
//
// Owns: the rule: a list or map that is empty and one that is nil count as equal, as do times of one moment.
// In: two values of one type, of exported fields.
// Out: whether they are the same.
// Never: allocates, or goes through JSON: it is asked for each container of a host at each change.
package same

import (
	"net/netip"
	"reflect"
	"time"
)

// Documents tells whether two documents are written alike.
func Documents[T any](a, b T) bool {
	return value(reflect.ValueOf(&a).Elem(), reflect.ValueOf(&b).Elem())
}

var (
	timeType   = reflect.TypeFor[time.Time]()
	addrType   = reflect.TypeFor[netip.Addr]()
	prefixType = reflect.TypeFor[netip.Prefix]()
)

func value(a, b reflect.Value) bool {
	switch a.Type() {
	case timeType:
		return a.Interface().(time.Time).Equal(b.Interface().(time.Time))
	case addrType, prefixType:
		return a.Equal(b)
	}
	switch a.Kind() {
	case reflect.Struct:
		for i := range a.NumField() {
			if !value(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	case reflect.Slice:
		if a.Len() != b.Len() {
			return false
		}
		if a.Len() == 0 || a.Pointer() == b.Pointer() {
			return true
		}
		for i := range a.Len() {
			if !value(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Map:
		if a.Len() != b.Len() {
			return false
		}
		for m := a.MapRange(); m.Next(); {
			if v := b.MapIndex(m.Key()); !v.IsValid() || !value(m.Value(), v) {
				return false
			}
		}
		return true
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() == b.IsNil()
		}
		return value(a.Elem(), b.Elem())
	}
	return a.Equal(b)
}
