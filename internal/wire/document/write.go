package document

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Write is a value as a document that Read makes the same value of: fields in the order of the type, maps by key, what is left out where
// JSON leaves it out. v is made of structs, lists, maps with keys of text, pointers, texts, whole numbers and truth values.
func Write(v any) []byte {
	w := &writer{}
	w.value(reflect.ValueOf(v), 0, true)
	return w.Bytes()
}

type writer struct{ bytes.Buffer }

// value writes what stands behind a colon or a dash, or a whole document. line: the writer is at the beginning of a line.
func (w *writer) value(v reflect.Value, depth int, line bool) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	switch {
	case v.Kind() == reflect.Struct:
		w.fields(v, depth, line)
	case v.Kind() == reflect.Map && v.Len() > 0:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) })
		for i, k := range keys {
			w.field(written(k.String()), v.MapIndex(k), depth, line || i > 0)
		}
	case v.Kind() == reflect.Slice && v.Len() > 0:
		for i := range v.Len() {
			if line || i > 0 {
				w.indent(depth)
			}
			w.WriteString("- ")
			w.value(v.Index(i), depth+1, false)
		}
	default:
		w.WriteString(scalarOf(v) + "\n")
	}
}

func (w *writer) fields(v reflect.Value, depth int, line bool) {
	empty := true
	for _, f := range reflect.VisibleFields(v.Type()) {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		_, how, _ := strings.Cut(f.Tag.Get("json"), ",")
		is := v.FieldByIndex(f.Index)
		if name == "" || name == "-" || strings.Contains(how, "omit") && left(is) {
			continue
		}
		w.field(name, is, depth, line || !empty)
		empty = false
	}
	if empty {
		w.WriteString("{}\n")
	}
}

// left tells whether a field that may be left out says nothing.
func left(v reflect.Value) bool {
	return v.IsZero() || (v.Kind() == reflect.Map || v.Kind() == reflect.Slice) && v.Len() == 0
}

func (w *writer) field(name string, v reflect.Value, depth int, line bool) {
	if line {
		w.indent(depth)
	}
	w.WriteString(name + ":")
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	switch k := v.Kind(); {
	case k == reflect.Struct && v.NumField() > 0, (k == reflect.Map || k == reflect.Slice) && v.Len() > 0:
		w.WriteString("\n")
		w.value(v, depth+1, true)
	default:
		w.WriteString(" ")
		w.value(v, depth+1, false)
	}
}

func (w *writer) indent(depth int) { w.WriteString(strings.Repeat("  ", depth)) }

func scalarOf(v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		return written(v.String())
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.FormatUint(v.Uint(), 10)
	case reflect.Map:
		return "{}"
	case reflect.Slice:
		return "[]"
	}
	panic(fmt.Sprintf("BUG: a document can't hold a %s", v.Type()))
}

// plain are the texts that need no quotes; those that YAML or one of its readers takes for something else have them (YAML 1.1 and 1.2.2,
// section 10).
var (
	plain = regexp.MustCompile(`^[A-Za-z_/][A-Za-z0-9_./-]*(:[A-Za-z0-9_./-]+)*$`)
	words = regexp.MustCompile(`(?i)^(y|yes|n|no|on|off|true|false|null)$`)
)

// written is a text as YAML: with the quotes of JSON, which YAML reads alike (section 5.7), where it needs some.
func written(s string) string {
	if plain.MatchString(s) && !words.MatchString(s) {
		return s
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic("BUG: a text can't be written: " + err.Error())
	}
	return strings.TrimSuffix(b.String(), "\n")
}
