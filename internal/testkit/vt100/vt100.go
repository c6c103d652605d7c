// Package vt100 is a terminal of 24 lines and 80 columns for tests, which knows less than any that is sold.
//
// Owns: what stands where after what was written.
// In: bytes: lines with CR and LF; ECMA-48's CUP, ED and EL; while pages are on it, those only.
// Out: its lines; a word for each fault: what a dumb terminal would show in the wrong place, or be steered by.
// Never: answers.
package vt100

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// The terminal's size.
const (
	Height = 24
	Width  = 80
)

// Terminal is one. Its zero value is empty, with the cursor at the top left.
type Terminal struct {
	Fault func(text string) // told of each; nil: nobody is
	mu    struct {
		sync.Mutex
		cells    [Height][Width]byte
		row, col int
		seq      string // the control sequence that has begun
		paged    bool
		placed   bool // the last that came placed the cursor
	}
}

// Write takes what is sent to the terminal. It never fails.
func (t *Terminal) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, b := range p {
		t.mu.placed = false
		switch {
		case t.mu.seq != "" || b == 0x1b:
			if t.mu.seq += string(rune(b)); b >= 0x40 && b <= 0x7e && b != '[' {
				t.order(t.mu.seq)
				t.mu.seq = ""
			}
		case !t.mu.paged && (b == '\r' || b == '\n' || b == '\b'):
			t.line(b)
		case b < 0x20 || b > 0x7e:
			t.fault("a byte %#x came", b)
		case t.mu.paged && t.mu.col >= Width-1: // some terminals move on behind it, and scroll
			t.fault("the last column was written: line %d", t.mu.row+1)
		default:
			t.mu.cells[t.mu.row][min(t.mu.col, Width-1)] = b
			t.mu.col++
		}
	}
	return len(p), nil
}

// Paged tells whether a program has the terminal for its pages, which no line may come between. At first none has.
func (t *Terminal) Paged(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.paged = on
}

func (t *Terminal) fault(format string, args ...any) {
	if t.Fault != nil {
		t.Fault(fmt.Sprintf(format, args...))
	}
}

// line moves the cursor as lines do; the lock is held.
func (t *Terminal) line(b byte) {
	switch {
	case b == '\r':
		t.mu.col = 0
	case b == '\b':
		t.mu.col = max(0, t.mu.col-1)
	case t.mu.row < Height-1:
		t.mu.row++
	default:
		copy(t.mu.cells[:], t.mu.cells[1:])
		t.mu.cells[Height-1] = [Width]byte{}
	}
}

// order carries out a control sequence; the lock is held.
func (t *Terminal) order(seq string) {
	args, ok := strings.CutPrefix(seq[:len(seq)-1], "\x1b[")
	row, col, two := strings.Cut(args, ";")
	r, errRow := strconv.Atoi(row)
	c, errCol := strconv.Atoi(col)
	switch end := seq[len(seq)-1]; {
	case ok && end == 'H' && two && errRow == nil && errCol == nil && r >= 1 && r <= Height && c >= 1 && c <= Width:
		t.mu.row, t.mu.col, t.mu.placed = r-1, c-1, true
	case ok && end == 'J' && args == "2":
		t.mu.cells = [Height][Width]byte{}
	case ok && end == 'K' && args == "":
		clear(t.mu.cells[t.mu.row][t.mu.col:])
	default:
		t.fault("%q came", seq)
	}
}

// Cursor is where the cursor is, from 1 on, and whether the last that came placed it there: what paints a page ends with that.
func (t *Terminal) Cursor() (row, col int, placed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.row + 1, t.mu.col + 1, t.mu.placed
}

// String is its lines, without the spaces at their ends.
func (t *Terminal) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var lines []string
	for _, l := range t.mu.cells {
		lines = append(lines, strings.TrimRight(strings.ReplaceAll(string(l[:]), "\x00", " "), " "))
	}
	return strings.Join(lines, "\n")
}
