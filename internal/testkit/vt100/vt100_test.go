package vt100

import (
	"slices"
	"strings"
	"testing"
)

func TestCursor(t *testing.T) {
	var term Terminal
	for _, c := range []struct {
		written  string
		row, col int
		placed   bool
	}{{"ab", 1, 3, false}, {"\x1b[24;5H", 24, 5, true}, {"\x1b[3;", 24, 5, false}, {"1H", 3, 1, true}, {"x\x1b[K", 3, 2, false}} {
		term.Write([]byte(c.written))
		if row, col, placed := term.Cursor(); row != c.row || col != c.col || placed != c.placed {
			t.Errorf("behind %q: got %d, %d, %v; want %d, %d, %v", c.written, row, col, placed, c.row, c.col, c.placed)
		}
	}
}

func TestTerminal(t *testing.T) {
	for _, c := range []struct {
		name, written, want string
		faults              []string
	}{
		{"lines", "one\r\ntwo\bx\r\n", "one\ntwx", nil},
		{"more lines than fit", strings.Repeat("x\r\n", 24) + "last", strings.Repeat("x\n", 23) + "last", nil},
		{"a page", "\x1b[2J\x1b[2;3Habc\x1b[1;1Htop\x1b[K", "top\n  abc", nil},
		{"a line's end erased", "\x1b[2J\x1b[1;1Hlong\x1b[1;3H\x1b[K", "lo", nil},
		{"a line on a page", "\x1b[2J\x1b[1;1Ha\nb", "ab", []string{"a byte 0xa came"}},
		{"the last column", "\x1b[2J\x1b[5;80Hx", "", []string{"the last column was written: line 5"}},
		{"a question", "\x1b[6n", "", []string{`"\x1b[6n" came`}},
		{"beyond the screen", "\x1b[25;1H", "", []string{`"\x1b[25;1H" came`}},
		{"colour and an umlaut", "\x1b[31mr\xfc", "r", []string{`"\x1b[31m" came`, "a byte 0xfc came"}},
	} {
		var faults []string
		term := Terminal{Fault: func(text string) { faults = append(faults, text) }}
		term.Paged(strings.HasPrefix(c.written, "\x1b"))
		for _, b := range []byte(c.written) { // sequences come in pieces
			term.Write([]byte{b})
		}
		if got := strings.TrimRight(term.String(), "\n"); got != c.want || !slices.Equal(faults, c.faults) {
			t.Errorf("%s: got %q, %q; want %q, %q", c.name, got, faults, c.want, c.faults)
		}
	}
}
