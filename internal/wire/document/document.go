// Package document reads the YAML documents people write.
//
// Owns: strict reading: one document, no unknown and no duplicate field, scalars as they are written; all mistakes, each with line and
// column.
// In: the bytes of a file, its name for the error, the type it shall become.
// Out: the value; an *Error that says where.
// Never: fills defaults, or opens the file.
package document

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"hardnode.dev/internal/wire/boot"
)

// MaxBytes is the longest document read.
const MaxBytes = 1 << 20

// maxDepth is the deepest nesting read; none of our documents comes near it.
const maxDepth = 64

// Error says what is wrong with a document, and where. Line and Column count from 1; 0 means the document as a whole.
type Error struct {
	Name         string // file name
	Line, Column int
	Path         string // of the field, e.g. layers[0].nodes; "" is no field's
	Reason       string
	More         []*Error // what else is wrong, in the order of the file
}

// Error is one line for each mistake.
func (e *Error) Error() string {
	s := e.Name + ": " + e.Reason
	if e.Line > 0 {
		s = fmt.Sprintf("%s:%d:%d: %s", e.Name, e.Line, e.Column, e.Reason)
	}
	for _, m := range e.More {
		s += "\n" + m.Error()
	}
	return s
}

// mostFaults is how many mistakes are told at once.
const mostFaults = 20

// Join makes one error of several, in the order of the file; nil of none.
func Join(faults []*Error) error {
	if len(faults) == 0 {
		return nil
	}
	slices.SortStableFunc(faults, func(a, b *Error) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column)) })
	if n := len(faults); n > mostFaults {
		faults = append(faults[:mostFaults:mostFaults],
			&Error{Name: faults[0].Name, Reason: fmt.Sprintf("and %d more mistakes", n-mostFaults)})
	}
	first := *faults[0]
	first.More = append(slices.Clone(first.More), faults[1:]...)
	return &first
}

// Source remembers where in a document each field stands.
type Source struct {
	name string
	at   map[string]place
	// Parsed: it is a map in YAML, so what could be read of it was read.
	Parsed bool
}

// Fault is an Error about the field at path, such as layers[0].nodes, placed where the field stands, or what holds it.
func (s *Source) Fault(path, reason string) *Error {
	e := &Error{Name: s.name, Path: path, Reason: reason}
	if path != "" {
		e.Reason = path + ": " + reason
	}
	for at := path; at != ""; at = at[:max(0, strings.LastIndexAny(at, ".["))] {
		if p, ok := s.at[at]; ok {
			e.Line, e.Column = p.line, p.column
			break
		}
	}
	return e
}

// Read fills out, a pointer to a struct, from raw. Every error is an *Error that holds all mistakes. A field with the tag required:"true"
// must be there. Scalars are read as written: a text takes 0022, 1.10 and yes as they stand, a number takes decimal digits only.
func Read(name string, raw []byte, out any) error {
	_, err := Parse(name, raw, out)
	return err
}

// Parse is Read, and remembers where everything stands, for mistakes that are found later. The Source is there even with an error, as far
// as the document could be parsed.
func Parse(name string, raw []byte, out any) (src *Source, err error) {
	src = &Source{name: name, at: map[string]place{}}
	defer func() { // the YAML library is young: a panic of its is the document's fault, not ours
		if p := recover(); p != nil {
			if bug, ok := p.(string); ok && strings.HasPrefix(bug, "BUG") {
				panic(p)
			}
			err = &Error{Name: name, Reason: fmt.Sprintf("can't be read as YAML: %v", p)}
		}
	}()
	if len(raw) > MaxBytes {
		return src, &Error{Name: name, Reason: fmt.Sprintf("has %d bytes, at most %d are read", len(raw), MaxBytes)}
	}
	raw, err = text(name, raw)
	if err != nil {
		return src, err
	}
	if n := bytes.Count(raw, []byte("\n")); n > mostLines {
		return src, &Error{Name: name, Reason: fmt.Sprintf("has %d lines, at most %d are read", n, mostLines)}
	}
	if line := tooDeep(raw); line > 0 {
		return src, &Error{Name: name, Line: line, Column: 1, Reason: fmt.Sprintf("is nested more than %d levels deep", maxDepth)}
	}
	parsed, err := parser.ParseBytes(raw, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return src, locate(name, err)
	}
	docs := slices.DeleteFunc(slices.Clone(parsed.Docs), func(d *ast.DocumentNode) bool {
		switch d.Body.(type) {
		case nil, *ast.CommentGroupNode, *ast.DirectiveNode: // "%YAML 1.2" is no document of its own (YAML 1.2.2, section 6.8)
			return true
		}
		return false
	})
	switch {
	case len(docs) == 0:
		return src, &Error{Name: name, Reason: "is empty"}
	case len(docs) > 1:
		p := placeOf(docs[1].Body)
		return src, &Error{Name: name, Line: p.line, Column: p.column, Reason: "holds more than one document: give each a file of its own"}
	}
	_, src.Parsed = docs[0].Body.(ast.MapNode)
	f := &filler{name: name, at: src.at, anchors: map[string]ast.Node{}, active: map[string]bool{}}
	f.fill(docs[0].Body, reflect.ValueOf(out).Elem(), "")
	return src, Join(f.faults)
}

// text is raw without a byte order mark (YAML 1.2.2, section 5.2) and with line feeds only.
func text(name string, raw []byte) ([]byte, error) {
	for mark, encoding := range map[string]string{"\xff\xfe": "UTF-16", "\xfe\xff": "UTF-16", "\x00\x00\xfe\xff": "UTF-32"} {
		if bytes.HasPrefix(raw, []byte(mark)) {
			return nil, &Error{Name: name, Reason: "is encoded as " + encoding + ": save it as UTF-8"}
		}
	}
	raw = bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
	raw = bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
	// as in JSON; white space means nothing there (YAML 1.2.2, section 7.4)
	flow := bytes.HasPrefix(bytes.TrimLeft(raw, " \t\n"), []byte("{"))
	for n, line := range bytes.Split(raw, []byte("\n")) {
		if !utf8.Valid(line) {
			return nil, &Error{Name: name, Line: n + 1, Column: 1, Reason: "holds bytes that are no UTF-8: save it as UTF-8"}
		}
		if i := bytes.IndexByte(line, 0); i >= 0 {
			return nil, &Error{Name: name, Line: n + 1, Column: i + 1, Reason: "holds a zero byte: this is no text file"}
		}
		if blank := len(line) - len(bytes.TrimLeft(line, " \t")); flow {
			for i := range line[:blank] {
				line[i] = ' ' // of our own copy
			}
		} else if bytes.HasPrefix(line, []byte("\t")) && blank < len(line) {
			return nil, &Error{Name: name, Line: n + 1, Column: 1, Reason: "is indented with a tab: YAML takes spaces only"}
		}
	}
	return raw, nil
}

func locate(name string, err error) error {
	e := &Error{Name: name, Reason: err.Error()}
	var y yaml.Error
	if errors.As(err, &y) {
		e.Reason = strings.TrimSpace(y.GetMessage())
		if t := y.GetToken(); t != nil && t.Position != nil {
			e.Line, e.Column = t.Position.Line, max(1, t.Position.Column)
		}
	}
	return e
}

// mostLines is the most lines read: the parser's time grows with their square.
const mostLines = 10_000

// tooDeep is the first line that is nested too deep, or 0: a guess from indentation and brackets, made before the parser recurses. Brackets
// that are open count over all lines; those in a text count too, which no document of ours has so many of.
func tooDeep(raw []byte) int {
	open := 0
	for n, line := range bytes.Split(raw, []byte("\n")) {
		trimmed := bytes.TrimLeft(line, " ")
		for _, c := range trimmed {
			switch c {
			case '[', '{':
				open++
			case ']', '}':
				open = max(0, open-1)
			}
		}
		if open > maxDepth || len(line)-len(trimmed) > 8*maxDepth || bytes.Count(line, []byte("- ")) > maxDepth ||
			bytes.Count(line, []byte("? ")) > maxDepth {
			return n + 1
		}
	}
	return 0
}

// HostConfig reads a host's configuration and checks it.
func HostConfig(name string, raw []byte) (boot.HostConfig, error) {
	var c boot.HostConfig
	src, err := Parse(name, raw, &c)
	if err != nil {
		return boot.HostConfig{}, err
	}
	if err := c.Validate(); err != nil {
		return boot.HostConfig{}, src.Faults(err)
	}
	return c, nil
}

// Faults places the lines of err, each "field: reason", where their fields stand.
func (s *Source) Faults(err error) error {
	var faults []*Error
	for line := range strings.SplitSeq(err.Error(), "\n") {
		path, reason, ok := strings.Cut(line, ": ")
		if !ok || strings.ContainsAny(path, " \"") {
			path, reason = "", line
		}
		faults = append(faults, s.Fault(path, reason))
	}
	return Join(faults)
}
