package golden

import (
	"encoding"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"time"
)

// Free is the key of an example's maps that are no objects of a type.
const Free = "anyKey"

// Example is a T with every field set, always in the same way. What the values mean is nobody's matter here.
func Example[T any]() T {
	var v T
	fill(reflect.ValueOf(&v).Elem(), map[reflect.Type]bool{})
	return v
}

var known = map[reflect.Type]any{
	reflect.TypeFor[time.Time]():       time.Date(2026, 11, 22, 10, 20, 30, 0, time.UTC),
	reflect.TypeFor[netip.Addr]():      netip.MustParseAddr("10.96.1.2"),
	reflect.TypeFor[netip.Prefix]():    netip.MustParsePrefix("10.96.1.0/24"),
	reflect.TypeFor[netip.AddrPort]():  netip.MustParseAddrPort("10.96.1.2:80"),
	reflect.TypeFor[json.RawMessage](): json.RawMessage(`{"anyKey":1}`),
}

// fill sets v and all in it. A type inside itself stays empty.
func fill(v reflect.Value, above map[reflect.Type]bool) {
	t := v.Type()
	if k, ok := known[t]; ok {
		v.Set(reflect.ValueOf(k))
		return
	}
	if _, own := reflect.New(t).Interface().(encoding.TextUnmarshaler); own && t.Kind() == reflect.Struct {
		panic(fmt.Sprintf("golden: no example of a %s", t))
	}
	switch t.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString("text")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(101)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(101)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(1.5)
	case reflect.Pointer:
		if !above[t.Elem()] {
			v.Set(reflect.New(t.Elem()))
			fill(v.Elem(), above)
		}
	case reflect.Slice:
		if above[t.Elem()] {
			return
		}
		v.Set(reflect.MakeSlice(t, 1, 1))
		fill(v.Index(0), above)
	case reflect.Array:
		for i := range t.Len() {
			fill(v.Index(i), above)
		}
	case reflect.Map:
		key, elem := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
		if fill(key, above); key.Kind() == reflect.String {
			key.SetString(Free)
		}
		fill(elem, above)
		v.Set(reflect.MakeMap(t))
		v.SetMapIndex(key, elem)
	case reflect.Struct:
		above[t] = true
		for i := range t.NumField() {
			if f := v.Field(i); f.CanSet() || t.Field(i).Anonymous && f.Kind() == reflect.Struct {
				fill(f, above)
			}
		}
		delete(above, t)
	}
}
