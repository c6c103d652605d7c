// Package document reads the YAML documents people write.
//
// Owns: strict reading: one document, no unknown and no duplicate field, errors with line and column.
// In: the bytes of a file, its name for the error, the type it shall become.
// Out: the value; an *Error that says where.
// Never: fills defaults, or opens the file.
package document

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

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
	Reason       string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Name + ": " + e.Reason
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.Name, e.Line, e.Column, e.Reason)
}

// Read fills out, a pointer to a struct, from raw. Every error is an *Error.
func Read(name string, raw []byte, out any) (err error) {
	defer func() { // the YAML library is young: a panic of its is the document's fault, not ours
		if p := recover(); p != nil {
			err = &Error{Name: name, Reason: fmt.Sprintf("can't be read as YAML: %v", p)}
		}
	}()
	if len(raw) > MaxBytes {
		return &Error{Name: name, Reason: fmt.Sprintf("has %d bytes, at most %d are read", len(raw), MaxBytes)}
	}
	if line := tooDeep(raw); line > 0 {
		return &Error{Name: name, Line: line, Column: 1, Reason: fmt.Sprintf("is nested more than %d levels deep", maxDepth)}
	}
	dec := yaml.NewDecoder(bytes.NewReader(raw), yaml.DisallowUnknownField())
	if err := dec.Decode(out); err != nil {
		if errors.Is(err, io.EOF) {
			return &Error{Name: name, Reason: "is empty"}
		}
		return locate(name, raw, err)
	}
	var more any
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return &Error{Name: name, Reason: "holds more than one document: give each a file of its own"}
	}
	return nil
}

func locate(name string, raw []byte, err error) error {
	var y yaml.Error
	if !errors.As(err, &y) {
		e := &Error{Name: name, Reason: err.Error()}
		e.Line, e.Column = find(raw, e.Reason)
		return e
	}
	e := &Error{Name: name, Reason: strings.TrimSpace(y.GetMessage())}
	if t := y.GetToken(); t != nil && t.Position != nil {
		e.Line, e.Column = t.Position.Line, t.Position.Column
	}
	return e
}

// find places an error of a value's own parser (an address, a duration), which knows the value and not its place: where the text it
// quotes stands, if it stands in one place only.
func find(raw []byte, reason string) (line, column int) {
	quoted, err := strconv.QuotedPrefix(reason[max(0, strings.IndexByte(reason, '"')):])
	if err != nil {
		return 0, 0
	}
	value, err := strconv.Unquote(quoted)
	if err != nil || value == "" || bytes.Count(raw, []byte(value)) != 1 {
		return 0, 0
	}
	before := raw[:bytes.Index(raw, []byte(value))]
	return bytes.Count(before, []byte("\n")) + 1, len(before) - bytes.LastIndexByte(before, '\n')
}

// tooDeep is the first line that is nested too deep, or 0: a guess from indentation and brackets, made before the parser recurses.
func tooDeep(raw []byte) int {
	for n, line := range bytes.Split(raw, []byte("\n")) {
		if trimmed := bytes.TrimLeft(line, " "); len(line)-len(trimmed) > 8*maxDepth || bytes.Count(line, []byte("- ")) > maxDepth ||
			bytes.Count(line, []byte("["))+bytes.Count(line, []byte("{"))+bytes.Count(line, []byte("? ")) > maxDepth {
			return n + 1
		}
	}
	return 0
}

// HostConfig reads a host's configuration and checks it.
func HostConfig(name string, raw []byte) (boot.HostConfig, error) {
	var c boot.HostConfig
	if err := Read(name, raw, &c); err != nil {
		return boot.HostConfig{}, err
	}
	if err := c.Validate(); err != nil {
		return boot.HostConfig{}, &Error{Name: name, Reason: err.Error()}
	}
	return c, nil
}
