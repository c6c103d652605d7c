package screen

import (
	"fmt"
	"io"
	"strings"

	"hardnode.dev/internal/logging/plain"
)

// The screen of a VT100 (80×24). The last column stays empty: a character there would move some terminals on, and scroll them.
const (
	Width  = 79
	Height = 24
)

// painter writes screens to a terminal that knows VT100's cursor position and erasing (ECMA-48: CUP, ED, EL). It asks nothing.
type painter struct {
	out  io.Writer
	last []string // what each line shows; nil: not known
}

// paint makes the terminal show the lines, and puts the cursor at a column of a row; both count from 1. Only what changed is written.
func (p *painter) paint(lines []string, row, column int) {
	var b strings.Builder
	if p.last == nil {
		b.WriteString("\x1b[2J")
		p.last = make([]string, Height)
	}
	for n := range Height {
		line := ""
		if n < len(lines) {
			line = strings.TrimRight(plain.Clip(lines[n], Width), " ")
		}
		if line != p.last[n] {
			fmt.Fprintf(&b, "\x1b[%d;1H%s\x1b[K", n+1, line)
			p.last[n] = line
		}
	}
	fmt.Fprintf(&b, "\x1b[%d;%dH", row, min(column, Width))
	io.WriteString(p.out, b.String()) // a terminal that can't be written to ends by itself
}

// again has the next screen written whole.
func (p *painter) again() { p.last = nil }

// leave empties the terminal, for lines to go on.
func (p *painter) leave() { io.WriteString(p.out, "\x1b[2J\x1b[1;1H") }
