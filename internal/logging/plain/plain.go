// Package plain makes text that a terminal can't be steered with.
//
// Owns: what may reach a terminal: printable ASCII, in lines.
// In: whatever a container, a server or a disk has put into a name, a reason or a log.
// Out: the same with everything else replaced; lines of a width.
// Never: writes a control character but the end of a line.
package plain

import (
	"strings"
	"unicode/utf8"
)

// Line is s as one line: tabs and ends of lines are spaces, what is no printable ASCII is a question mark. A terminal may not know UTF-8,
// and what it does not know it may take for an order (C1 codes, ECMA-48).
func Line(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case r < 0x20 || r >= 0x7f || r == utf8.RuneError:
			return '?'
		}
		return r
	}, s)
}

// JSON is a JSON document with all that is no printable ASCII escaped (RFC 8259, section 7): it means the same, and steers nothing.
func JSON(raw []byte) string {
	var b strings.Builder
	for _, r := range string(raw) {
		switch {
		case r >= 0x20 && r < 0x7f:
			b.WriteRune(r)
		case r == '\n' || r == '\t' || r == '\r':
			b.WriteByte(' ') // between tokens: within a text they are escaped already
		case r > 0xffff:
			r -= 0x10000
			escape(&b, 0xd800+r>>10)
			escape(&b, 0xdc00+r&0x3ff)
		default:
			escape(&b, r)
		}
	}
	return strings.TrimSpace(b.String())
}

func escape(b *strings.Builder, unit rune) {
	const digits = "0123456789abcdef"
	b.WriteString(`\u`)
	for shift := 12; shift >= 0; shift -= 4 {
		b.WriteByte(digits[unit>>shift&0xf])
	}
}

// Clip is Line(s), cut to a width of columns.
func Clip(s string, width int) string {
	s = Line(s)
	if len(s) > width {
		return s[:max(0, width-3)] + "..."[:min(3, width)]
	}
	return s
}

// Wrap is Line(s) in lines of at most width columns, broken at spaces where there are some. Width 0 breaks nothing.
func Wrap(s string, width int) (lines []string) {
	s = strings.TrimRight(Line(s), " ")
	for width > 0 && len(s) > width {
		at := strings.LastIndexByte(s[:width+1], ' ')
		if at <= 0 {
			lines, s = append(lines, s[:width]), s[width:]
			continue
		}
		lines, s = append(lines, s[:at]), strings.TrimLeft(s[at:], " ")
	}
	return append(lines, s)
}
