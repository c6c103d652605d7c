// Package neighbour is how programs of two versions next to each other read each other's JSON: on the wire, and in documents kept on disk.
//
// Owns: what is let pass (fields the reader does not know), what must be there (fields without omitempty), what a rewrite carries over.
// In: one JSON document and the Go type it is read into.
// Out: the value, or an error that names the field; for a rewrite, the new document with the old one's unknown fields.
// Never: reads what people write (that is strict: wire/document), does I/O, or knows any type of the project.
//
// The rule for whoever changes a type: a new field has omitempty or omitzero, and its absence means what was so before. A field that has
// neither is required. What cannot keep to that is negotiated (host.Protocols), or raises the document's Readers or Writers
// (internal/keep).
package neighbour

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Decode reads one JSON document into v, which is a pointer. Fields that v's type does not have are let pass, at every depth. A field
// without omitempty or omitzero must be there, if only as null. Nothing but white space may follow.
func Decode(raw []byte, v any) error {
	_, err := DecodeRecord(raw, v)
	return err
}

// DecodeRecord is Decode, and tells whether there are fields that v's type does not have: a rewrite has to Carry them.
func DecodeRecord(raw []byte, v any) (foreign bool, err error) {
	if err := json.Unmarshal(raw, v); err != nil {
		return false, plain(err)
	}
	return required(raw, v)
}

// Read is Decode of at most limit bytes of r.
func Read(r io.Reader, limit int64, v any) error {
	raw, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return err
	}
	if int64(len(raw)) > limit {
		return fmt.Errorf("it is longer than %d bytes", limit)
	}
	return Decode(raw, v)
}

// plain is an error of encoding/json in words for people.
func plain(err error) error {
	var wrong *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &wrong) && wrong.Field != "":
		return fmt.Errorf("field %q: this can't be a JSON %s", fieldPath(wrong.Field), wrong.Value)
	case errors.As(err, &wrong):
		return fmt.Errorf("the document can't be a JSON %s", wrong.Value)
	case errors.As(err, &syntax) && syntax.Offset == 0:
		return errors.New("it is empty")
	case errors.As(err, &syntax) && strings.HasPrefix(err.Error(), "unexpected end"):
		return errors.New("it ends in the middle")
	case errors.As(err, &syntax) && strings.HasSuffix(err.Error(), "after top-level value"):
		return fmt.Errorf("there is more behind the document, from byte %d on", syntax.Offset)
	case errors.As(err, &syntax):
		return fmt.Errorf("byte %d: %v", syntax.Offset, err)
	}
	return errors.New(strings.TrimPrefix(err.Error(), "json: "))
}

// fieldPath leaves out the names of embedded types: they are no fields of the document, whose names all begin with a small letter.
func fieldPath(p string) string {
	parts := strings.Split(p, ".")
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s != "" && s[0] >= 'A' && s[0] <= 'Z' }), ".")
}
