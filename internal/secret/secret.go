// Package secret holds values that must never be printed.
//
// Owns: Text and Bytes, whose every printed form is "(secret)".
// In: values from configuration, bundles and the wire.
// Out: the value, only through Reveal; JSON carries it (the wire needs it), logs and fmt don't.
// Never: encrypts, stores or compares in variable time.
package secret

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"log/slog"
)

const hidden = "(secret)"

// Text is a secret string: a token, a password.
type Text string

// Reveal is the value itself.
func (t Text) Reveal() string { return string(t) }

// Equal compares in constant time.
func (t Text) Equal(o Text) bool { return subtle.ConstantTimeCompare([]byte(t), []byte(o)) == 1 }

func (t Text) String() string               { return hidden }
func (t Text) GoString() string             { return hidden }
func (t Text) Format(s fmt.State, _ rune)   { fmt.Fprint(s, hidden) }
func (t Text) LogValue() slog.Value         { return slog.StringValue(hidden) }
func (t Text) MarshalJSON() ([]byte, error) { return json.Marshal(string(t)) }

// Bytes is a secret of raw bytes: a key. JSON carries it as base64.
type Bytes []byte

// Reveal is the value itself, not a copy.
func (b Bytes) Reveal() []byte { return []byte(b) }

// Equal compares in constant time.
func (b Bytes) Equal(o Bytes) bool { return subtle.ConstantTimeCompare(b, o) == 1 }

func (b Bytes) String() string               { return hidden }
func (b Bytes) GoString() string             { return hidden }
func (b Bytes) Format(s fmt.State, _ rune)   { fmt.Fprint(s, hidden) }
func (b Bytes) LogValue() slog.Value         { return slog.StringValue(hidden) }
func (b Bytes) MarshalJSON() ([]byte, error) { return json.Marshal([]byte(b)) }

// UnmarshalJSON reads base64.
func (b *Bytes) UnmarshalJSON(data []byte) error {
	var raw []byte
	if err := json.Unmarshal(data, &raw); err != nil {
		return fmt.Errorf("secret bytes: %v", err)
	}
	*b = raw
	return nil
}
