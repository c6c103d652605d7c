package same

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"hardnode.dev/internal/testkit/golden"
	"hardnode.dev/internal/wire/host"
)

// Every field of a document counts: a change of any single one makes it another.
func TestSame(t *testing.T) {
	check[host.Work](t)
	check[host.Peers](t)
	a, b := golden.Example[host.Container](), golden.Example[host.Container]()
	a.Volumes, b.Volumes = nil, []host.Volume{}
	a.Labels, b.Labels = nil, map[string]string{}
	b.ConfirmBy = a.ConfirmBy.In(time.FixedZone("x", 3600))
	if !Documents(a, b) {
		t.Error("empty and nil, or one moment in two zones, count as different")
	}
}

func check[T any](t *testing.T) {
	t.Helper()
	if a, b := golden.Example[T](), golden.Example[T](); !Documents(a, b) {
		t.Errorf("two equal values of %T are different", a)
	}
	changes := 0
	for n := 0; ; n++ {
		a, b := golden.Example[T](), golden.Example[T]()
		left := n
		if !change(reflect.ValueOf(&b).Elem(), &left) {
			break
		}
		changes++
		x, _ := json.Marshal(a)
		if y, _ := json.Marshal(b); string(x) == string(y) {
			t.Fatalf("change %d of %T changes nothing", n, a)
		}
		if Documents(a, b) {
			y, _ := json.Marshal(b)
			t.Errorf("a change of %T is not seen: %s", a, y)
		}
	}
	if changes < 10 {
		t.Errorf("only %d changes were tried", changes)
	}
}

// change changes the field number *left of v, counted through all of them; false when there are fewer.
func change(v reflect.Value, left *int) bool {
	switch v.Type() {
	case timeType, addrType, prefixType:
		if *left--; *left < 0 {
			v.SetZero()
		}
		return *left < 0
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if change(v.Field(i), left) {
				return true
			}
		}
		return false
	case reflect.Pointer:
		return change(v.Elem(), left)
	case reflect.Slice:
		if v.Len() > 0 && change(v.Index(0), left) {
			return true
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			e := reflect.New(v.Type().Elem()).Elem()
			e.Set(v.MapIndex(k))
			if change(e, left) {
				v.SetMapIndex(k, e)
				return true
			}
		}
	}
	if *left--; *left < 0 {
		v.SetZero()
	}
	return *left < 0
}
