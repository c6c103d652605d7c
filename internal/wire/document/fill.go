package document

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"hardnode.dev/internal/wire/form"
)

// mostNodes bounds what aliases may blow a document up to.
const mostNodes = 200_000

// filler turns one parsed document into a Go value and collects what is wrong with it. Scalars are taken as they are written: which type a
// plain 0022, 1.10 or yes has is the field's business, not YAML's.
type filler struct {
	name    string
	at      map[string]place // of every field, by its path
	anchors map[string]ast.Node
	active  map[string]bool // anchors whose alias is being followed
	nodes   int
	faults  []*Error
}

type place struct{ line, column int }

func (f *filler) fault(n ast.Node, path, format string, args ...any) {
	e := &Error{Name: f.name, Path: path, Reason: fmt.Sprintf(format, args...)}
	if path != "" {
		e.Reason = path + ": " + e.Reason
	}
	if p := placeOf(n); p.line > 0 {
		e.Line, e.Column = p.line, p.column
	}
	f.faults = append(f.faults, e)
}

func placeOf(n ast.Node) place {
	switch n := n.(type) {
	case nil:
		return place{}
	case *ast.MappingNode: // its own token is the first ":"
		if n.Start.Type != token.MappingStartType && len(n.Values) > 0 {
			return placeOf(n.Values[0])
		}
	case *ast.MappingValueNode:
		return placeOf(n.Key)
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return place{t.Position.Line, max(1, t.Position.Column)}
	}
	return place{}
}

// resolve is the value behind anchors, aliases and the tag !!str; nil after a fault.
func (f *filler) resolve(n ast.Node, path string) (value ast.Node, done func()) {
	done = func() {}
	if f.nodes++; f.nodes > mostNodes {
		if f.nodes == mostNodes+1 {
			f.fault(n, path, "its aliases stand for more than %d values: write less, or each out", mostNodes)
		}
		return nil, done
	}
	switch n := n.(type) {
	case *ast.AnchorNode:
		f.anchors[n.Name.GetToken().Value] = n.Value
		return f.resolve(n.Value, path)
	case *ast.AliasNode:
		name := n.Value.GetToken().Value
		target := f.anchors[name]
		switch {
		case target == nil:
			f.fault(n, path, "there is no anchor &%s before this alias", name)
			return nil, done
		case f.active[name]:
			f.fault(n, path, "the alias *%s stands inside what it stands for", name)
			return nil, done
		}
		f.active[name] = true
		value, inner := f.resolve(target, path)
		return value, func() { inner(); delete(f.active, name) }
	case *ast.TagNode:
		tag := n.Start.Value
		if tag != "!!str" && tag != "!!int" && tag != "!!bool" && tag != "!!map" && tag != "!!seq" {
			f.fault(n, path, "the tag %s is not known: leave it out", tag)
			return nil, done
		}
		if text, quoted, ok := scalar(n.Value); ok && !quoted && tag == "!!str" {
			t := *n.Value.GetToken() // a text, as if it were quoted
			t.Type, t.Value = token.DoubleQuoteType, text
			return ast.String(&t), done
		}
		return f.resolve(n.Value, path)
	case *ast.MappingValueNode:
		return &ast.MappingNode{Start: n.Start, BaseNode: n.BaseNode, Values: []*ast.MappingValueNode{n}}, done
	}
	return n, done
}

var (
	whole       = form.New(`^-?(0|[1-9][0-9]*)$`)
	numeric     = form.New(`^[-+]?([0-9][0-9_]*|0[xob][0-9a-fA-F_]+)$`)
	innerName   = form.New(`(netip|net|time|url|strconv)?\.?(Parse[A-Za-z]*|parse) ?\(?("(\\.|[^"\\])*")?\)?: `)
	unmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// fill writes the value n into v.
func (f *filler) fill(n ast.Node, v reflect.Value, path string) {
	n, done := f.resolve(n, path)
	defer done()
	if n == nil {
		return
	}
	if v.CanAddr() && v.Addr().Type().Implements(unmarshaler) && v.Kind() != reflect.Pointer {
		f.text(n, v, path)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		f.fill(n, v.Elem(), path)
	case reflect.Struct:
		f.structure(n, v, path)
	case reflect.Map:
		f.table(n, v, path)
	case reflect.Slice:
		f.list(n, v, path)
	case reflect.String:
		text, _, ok := scalar(n)
		switch {
		case !ok:
			f.fault(n, path, "is %s, want a text", kindOf(n))
		case absent(n):
			f.fault(n, path, `has no value; write "" for an empty text`)
		default:
			v.SetString(text)
		}
	case reflect.Bool:
		switch text, quoted, ok := scalar(n); {
		case !ok || quoted || text != "true" && text != "false":
			f.fault(n, path, "is %s, want true or false", kindOf(n))
		default:
			v.SetBool(text == "true")
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16,
		reflect.Uint32, reflect.Uint64:
		f.number(n, v, path)
	default:
		panic("BUG: no document holds a " + v.Type().String())
	}
}

func (f *filler) list(n ast.Node, v reflect.Value, path string) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		if !absent(n) {
			f.fault(n, path, "is %s, want a list", kindOf(n))
		}
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values)))
	for i, x := range seq.Values {
		at := fmt.Sprintf("%s[%d]", path, i)
		f.at[at] = placeOf(x)
		f.fill(x, v.Index(i), at)
	}
}

// pair is one key of a map with its value.
type pair struct {
	name  string
	key   ast.Node
	value ast.Node
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// pairs are a map's keys, each once, with what merge keys bring in behind its own.
func (f *filler) pairs(m *ast.MappingNode, path string) (out []pair) {
	seen := map[string]place{}
	var merges []ast.Node
	for _, x := range m.Values {
		if x.Key.IsMergeKey() {
			merges = append(merges, x.Value)
			continue
		}
		var key ast.Node = x.Key
		if k, ok := key.(*ast.MappingKeyNode); ok {
			key = k.Value
		}
		key, done := f.resolve(key, path)
		done()
		if key == nil {
			continue
		}
		name, _, ok := scalar(key)
		if !ok {
			f.fault(key, path, "a key is %s, want a text", kindOf(key))
			continue
		}
		if before, twice := seen[name]; twice {
			f.fault(key, join(path, name), "is there twice; the first is in line %d", before.line)
			continue
		}
		seen[name] = placeOf(key)
		out = append(out, pair{name, key, x.Value})
	}
	for _, merge := range merges {
		from, done := f.resolve(merge, path)
		switch from := from.(type) {
		case nil:
		case *ast.MappingNode:
			for _, p := range f.pairs(from, path) {
				if _, own := seen[p.name]; !own {
					seen[p.name] = placeOf(p.key)
					out = append(out, p)
				}
			}
		default:
			f.fault(merge, path, "what << merges is %s, want a map", kindOf(from))
		}
		done()
	}
	return out
}

func (f *filler) table(n ast.Node, v reflect.Value, path string) {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		if !absent(n) {
			f.fault(n, path, "is %s, want a map", kindOf(n))
		}
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, p := range f.pairs(m, path) {
		at := join(path, p.name)
		f.at[at] = placeOf(p.key)
		value := reflect.New(v.Type().Elem()).Elem()
		f.fill(p.value, value, at)
		v.SetMapIndex(reflect.ValueOf(p.name).Convert(v.Type().Key()), value)
	}
}

func (f *filler) structure(n ast.Node, v reflect.Value, path string) {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		if !absent(n) {
			f.fault(n, path, "is %s, want a map", kindOf(n))
			return
		}
		m = &ast.MappingNode{}
	}
	fields := fieldsOf(v.Type())
	given := map[string]bool{}
	for _, p := range f.pairs(m, path) {
		at := join(path, p.name)
		f.at[at] = placeOf(p.key)
		i := slices.IndexFunc(fields, func(x field) bool { return x.name == p.name })
		if i < 0 {
			f.fault(p.key, "", "%s", f.unknown(p.name, path, fields))
			continue
		}
		given[p.name] = true
		if value, done := f.resolve(p.value, at); value == nil || absent(value) {
			done()
			if fields[i].required {
				f.fault(p.key, at, "is required: it has no value")
			} else if kind := v.Field(fields[i].index).Kind(); value != nil && kind != reflect.Slice && kind != reflect.Map &&
				kind != reflect.Struct && kind != reflect.Pointer {
				f.fault(p.key, at, "has no value: write one, or leave the line out")
			}
			continue
		} else {
			done()
		}
		f.fill(p.value, v.Field(fields[i].index), at)
	}
	for _, x := range fields {
		if x.required && !given[x.name] {
			f.fault(n, join(path, x.name), "is required")
		}
	}
}

func (f *filler) unknown(name, path string, fields []field) string {
	where := ""
	if path != "" {
		where = " in " + path
	}
	names := make([]string, len(fields))
	for i, x := range fields {
		names[i] = x.name
	}
	if near := Nearest(name, names); near != "" {
		return fmt.Sprintf("unknown field %q%s; did you mean %q?", name, where, near)
	}
	return fmt.Sprintf("unknown field %q%s; it has %s", name, where, strings.Join(names, ", "))
}

// field is one field of a document: its name in YAML, and whether it may be left out.
type field struct {
	name     string
	index    int
	required bool
}

func fieldsOf(t reflect.Type) (out []field) {
	for i := range t.NumField() {
		x := t.Field(i)
		name, _, _ := strings.Cut(x.Tag.Get("yaml"), ",")
		if !x.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = strings.ToLower(x.Name)
		}
		out = append(out, field{name, i, x.Tag.Get("required") == "true"})
	}
	return out
}
