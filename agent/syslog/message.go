package syslog

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"hardnode.dev/internal/wire/host"
)

// The facilities and severities of RFC 5424, section 6.2.1, that are used.
const (
	kern     = 0
	daemon   = 3
	errorLvl = 3
	warning  = 4
	info     = 6
	debug    = 7
)

// maxText is the longest text of a message, in bytes: servers must take 2048 and should take 8192 (RFC 5424, section 6.1).
const maxText = 8000

// stamp is the timestamp of RFC 5424, section 6.2.3.
const stamp = "2006-01-02T15:04:05.000000Z07:00"

// frame is a line as it is sent: its length in bytes, a blank, the message (RFC 5425, section 4.3).
func frame(name string, unit host.Unit, at time.Time, text []byte) []byte {
	facility := daemon
	if unit == host.UnitKernel {
		facility = kern
	}
	when := "-"
	if !at.IsZero() {
		when = at.UTC().Format(stamp)
	}
	m := fmt.Appendf(nil, "<%d>1 %s %s %s - - - %s", facility*8+severity(text), when, field(name, 255), field(string(unit), 48),
		clean(text))
	return append(strconv.AppendInt(nil, int64(len(m)), 10), append([]byte{' '}, m...)...)
}

// severity is that of a line of log/slog's text; info of others.
func severity(text []byte) int {
	_, rest, ok := bytes.Cut(text, []byte(" level="))
	if !ok {
		return info
	}
	level, _, _ := bytes.Cut(rest, []byte(" "))
	switch string(level) {
	case "ERROR":
		return errorLvl
	case "WARN":
		return warning
	case "DEBUG":
		return debug
	}
	return info
}

// field is a field of the header: printable ASCII without blanks, "-" for none.
func field(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(len(s), most)]
}

// clean is a text as one line of UTF-8, not longer than servers take.
func clean(text []byte) string {
	s := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\t' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(string(text), "?"))
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}
