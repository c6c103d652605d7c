package talk

// Editor takes what is typed, byte by byte, and makes lines of it. Its zero value is ready.
type Editor struct {
	// Hidden: nothing is echoed (a password).
	Hidden bool
	line   []byte
	cr     bool // the last byte was CR: an LF behind it is the same end of a line
	seq    int  // within an escape sequence: 1 behind ESC, 2 within CSI, 3 behind SS3
}

// Key is what a byte has come to.
type Key int

// The keys.
const (
	None      Key = iota
	Enter         // the line is ended: Take gives it
	Interrupt     // Ctrl-C: the line is dropped
	End           // Ctrl-D on an empty line
	Open          // Ctrl-T: the screen
	Full          // the line is longer than MaxLine: it is dropped
)

// Byte takes one byte. Echo is what the terminal shows for it.
func (e *Editor) Byte(b byte) (echo string, k Key) {
	cr := e.cr
	e.cr = b == '\r'
	switch e.seq {
	case 1:
		e.seq = map[byte]int{'[': 2, 'O': 3}[b]
		if e.seq != 0 || b == 0x1b {
			return "", None
		}
	case 2: // CSI ends with a byte of 0x40 to 0x7e (ECMA-48, 5.4); Linux' terminal has one more [ in its function keys
		if b >= 0x40 && b <= 0x7e && b != '[' || b < 0x20 {
			e.seq = 0
		}
		return "", None
	case 3:
		e.seq = 0
		return "", None
	}
	switch {
	case b == '\n' && cr:
	case b == '\r' || b == '\n':
		return "\n", Enter
	case b == 0x1b:
		e.seq = 1
	case b == 0x03:
		e.line = e.line[:0]
		return "^C\n", Interrupt
	case b == 0x04 && len(e.line) == 0:
		return "\n", End
	case b == 0x14:
		return "", Open
	case (b == 0x08 || b == 0x7f) && len(e.line) > 0:
		e.line = e.line[:len(e.line)-1]
		if !e.Hidden {
			return "\b \b", None
		}
	case b == 0x15: // Ctrl-U
		n := len(e.line)
		e.line = e.line[:0]
		if e.Hidden {
			return "", None
		}
		for range n {
			echo += "\b \b"
		}
	case b >= 0x20 && b < 0x7f:
		if len(e.line) >= MaxLine {
			e.line = e.line[:0]
			return "\n", Full
		}
		e.line = append(e.line, b)
		if !e.Hidden {
			return string(rune(b)), None
		}
	}
	return echo, None
}

// Take is the line; the next one begins.
func (e *Editor) Take() string {
	s := string(e.line)
	clear(e.line)
	e.line = e.line[:0]
	return s
}

// Typed is what is shown of the line so far.
func (e *Editor) Typed() string {
	if e.Hidden {
		return ""
	}
	return string(e.line)
}
