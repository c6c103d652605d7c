package hostlog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// ring is the log that init keeps of a program: a file, and the one before it with ".1" behind its name. It may not be there yet.
type ring struct {
	path string
	file *os.File
	rest []byte    // of a line that has no end yet
	last time.Time // of the last line that had a time
	old  bool      // the file before was read, or is behind us
}

func (r *ring) more() ([]Line, error) {
	if !r.old {
		r.old = true
		f, err := os.Open(r.path) // opened before the older one is read: if the files are turned in between, no line is missed
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		r.file = f
		before, err := os.ReadFile(r.path + ".1")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if f != nil && r.turnedTo(f) {
			before = nil // the file that is open is the older one by now
		}
		r.rest = before
	}
	var out []Line
	for {
		if r.file != nil {
			now, err := io.ReadAll(r.file)
			if err != nil {
				return nil, err
			}
			r.rest = append(r.rest, now...)
		}
		out = append(out, r.lines()...)
		next, err := r.next()
		if err != nil || next == nil {
			return out, err
		}
		if r.file != nil {
			r.file.Close()
		}
		r.file = next
	}
}

// turnedTo tells whether f is what is called the older file now.
func (r *ring) turnedTo(f *os.File) bool {
	have, err := f.Stat()
	if err != nil {
		return false
	}
	old, err := os.Stat(r.path + ".1")
	return err == nil && os.SameFile(have, old)
}

// next is the current file if that is another one than is open; nil if not.
func (r *ring) next() (*os.File, error) {
	f, err := os.Open(r.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case r.file == nil:
		return f, nil
	}
	have, err := r.file.Stat()
	if err == nil {
		var now os.FileInfo
		if now, err = f.Stat(); err == nil && !os.SameFile(have, now) {
			return f, nil
		}
	}
	f.Close()
	if err != nil {
		return nil, fmt.Errorf("look at %q: %w", r.path, err)
	}
	return nil, nil
}

// lines takes the whole lines out of what was read.
func (r *ring) lines() (out []Line) {
	for {
		i := bytes.IndexByte(r.rest, '\n')
		if i < 0 {
			r.rest = bytes.Clone(r.rest)
			return out
		}
		text := r.rest[:i]
		r.rest = r.rest[i+1:]
		if t, ok := lineTime(text); ok {
			r.last = t
		}
		out = append(out, Line{r.last, text})
	}
}

// lineTime is the time that a line of log/slog begins with: time=2026-11-25T22:00:00.000Z.
func lineTime(text []byte) (time.Time, bool) {
	rest, ok := bytes.CutPrefix(text, []byte("time="))
	if !ok {
		return time.Time{}, false
	}
	stamp, _, _ := bytes.Cut(rest, []byte(" "))
	t, err := time.Parse(time.RFC3339, string(stamp))
	return t, err == nil
}

func (r *ring) close() {
	if r.file != nil {
		r.file.Close()
	}
}
