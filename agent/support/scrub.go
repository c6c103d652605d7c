package support

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"reflect"
	"slices"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/form"
)

// hidden stands where a secret was.
const hidden = "(secret)"

// shape is what is taken for a secret wherever it stands in a line, and what is put in its place. Only lines with one of its hints, in
// small letters, are looked at closely: logs are long.
type shape struct {
	hints []string
	is    form.Form
	by    string
}

var shapes = []shape{
	{[]string{"age-secret-key-"}, form.New(`AGE-SECRET-KEY-[0-9A-Z]+`), hidden},
	{[]string{"hn"}, form.New(`\bhn[a-z]?1\.[0-9A-Za-z._-]{8,}`), hidden}, // this platform's tokens
	// PASETO: a licence is one
	{[]string{".public.", ".local."}, form.New(`\bv[1-4]\.(?:public|local)\.[0-9A-Za-z._-]+`), hidden},
	{[]string{"eyj"}, form.New(`\beyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z._-]+`), hidden}, // JWT
	{[]string{"bearer", "basic"}, form.New(`(?i)\b(bearer|basic)\s+[0-9A-Za-z._~+/=-]{8,}`), "$1 " + hidden},
	// who and password in an address, then what is asked of it
	{[]string{"://"}, form.New(`([A-Za-z][0-9A-Za-z+.-]*://)[^/\s@"'<>]+@`), "$1" + hidden + "@"},
	{[]string{"://"}, form.New(`([A-Za-z][0-9A-Za-z+.-]*://[^\s"'<>?]+)\?[^\s"'<>]+`), "$1?" + hidden},
	// a name that says so, and what it is given: NAME=…, NAME: …, "NAME":"…", --NAME=…
	{[]string{"pass", "secret", "token", "credential", "key", "auth"},
		form.New(`(?i)((?:pass(?:word|wd|phrase)?|secret|token|credential|api_?-?key|private_?-?key|auth)s?\\*["']?\s*[=:]\s*)` +
			`(\\+"[^"]*"|"(?:[^"\\]|\\.)*"|'[^']*'|[^\s,;&"'}\]]+)`), `$1"` + hidden + `"`},
}

// A private key in PEM (RFC 7468), and what of one is left when the text was cut within it.
var (
	key     = form.New(`(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)`)
	cutKey  = form.New(`(?s)\A(?:[^-]|-[^-])*-----END [A-Z0-9 ]*PRIVATE KEY-----`)
	keyMark = []byte("PRIVATE KEY-----")
)

// Scrub takes the secrets out of a text: those that are known by their value, and what has the shape of one. It takes out too much rather
// than too little.
func Scrub(text []byte, known []string) []byte {
	for _, k := range known {
		if len(k) >= minSecret {
			text = bytes.ReplaceAll(text, []byte(k), []byte(hidden))
		}
	}
	if bytes.Contains(text, keyMark) {
		text = key.ReplaceAll(cutKey.ReplaceAll(text, []byte(hidden)), []byte(hidden))
	}
	out := make([]byte, 0, len(text))
	for line := range bytes.Lines(text) {
		small := bytes.ToLower(line)
		for _, s := range shapes {
			if s.hinted(small) {
				line = s.is.ReplaceAll(line, []byte(s.by))
			}
		}
		out = append(out, line...)
	}
	return out
}

func (s shape) hinted(line []byte) bool {
	return slices.ContainsFunc(s.hints, func(h string) bool { return bytes.Contains(line, []byte(h)) })
}

// minSecret is how long a known value must be to be looked for everywhere: a shorter one stands in many words.
const minSecret = 6

// Redact replaces every secret in what v points to, and returns them as they may be written elsewhere: as they are, in base64, in hex.
func Redact(v any) (known []string) {
	redact(reflect.ValueOf(v), &known)
	return known
}

func redact(v reflect.Value, known *[]string) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			redact(v.Elem(), known)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() {
				redact(f, known)
			}
		}
	case reflect.Slice, reflect.Array:
		if b, ok := v.Interface().(secret.Bytes); ok {
			if len(b) > 0 {
				*known = append(*known, Written(b.Reveal())...)
				v.SetZero()
			}
			return
		}
		for i := range v.Len() {
			redact(v.Index(i), known)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			e := reflect.New(v.Type().Elem()).Elem()
			e.Set(v.MapIndex(k))
			redact(e, known)
			v.SetMapIndex(k, e)
		}
	case reflect.String:
		if t, ok := v.Interface().(secret.Text); ok && t != "" {
			*known = append(*known, t.Reveal())
			v.SetString(hidden)
		}
	}
}

// Written are the texts that bytes are written as.
func Written(b []byte) []string {
	return []string{string(b), base64.StdEncoding.EncodeToString(b), base64.RawURLEncoding.EncodeToString(b), hex.EncodeToString(b)}
}
