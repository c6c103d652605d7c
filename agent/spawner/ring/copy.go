package ring

import (
	"bytes"
	"errors"
	"io"
	"time"
)

// pipeBytes is what a pipe holds (pipe(7)).
const pipeBytes = 64 << 10

// Copy stores everything r gives, line by line, until it ends. It goes on reading when the log can't be written, so that a full disk
// stops no container, and returns the first such error at the end. A flood is read in few, large pieces, and no faster than Flood: what it
// costs is the host's time, not the container's.
func Copy(w *Writer, s Stream, r io.Reader) error {
	var first error
	over, more := false, int64(0) // a line of this piece was dropped, and so many after it, without a look at the clock for each
	store := func(line []byte) {
		if over {
			more++
			return
		}
		var err error
		if over, err = w.line(s, line); err != nil && first == nil {
			first = err
		}
	}
	buf := make([]byte, 512)
	have := 0
	for {
		n, err := r.Read(buf[have:])
		have += n
		rest := split(buf[:have], store)
		have = copy(buf, rest)
		w.drop(more)
		over, more = false, 0
		flood := w.floods()
		if flood && err == nil {
			<-time.After(time.Duration(n) * time.Second / Flood)
		}
		switch {
		case err != nil:
			if have > 0 {
				store(buf[:have])
			}
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return errors.Join(first, err)
		case have == len(buf) && have < LineBytes:
			buf = append(buf, make([]byte, len(buf))...)
		case flood && len(buf) < pipeBytes:
			buf = append(make([]byte, 0, pipeBytes), buf...)[:pipeBytes]
		case !flood && have == 0 && len(buf) > 4096:
			buf = make([]byte, 512) // a quiet container costs little
		}
	}
}

// split stores the complete lines of b, and pieces of LineBytes of longer ones, and returns the rest, shorter than LineBytes.
func split(b []byte, store func([]byte)) []byte {
	for {
		i := bytes.IndexByte(b, '\n')
		switch {
		case i < 0 && len(b) < LineBytes:
			return b
		case i < 0 || i > LineBytes:
			store(b[:LineBytes])
			b = b[LineBytes:]
		default:
			store(b[:i])
			b = b[i+1:]
		}
	}
}
