// Package ring keeps a container's output in two files of bounded size.
//
// Owns: the line format, the limits (file size, line length, rate), rotation, and reading back.
// In: bytes of stdout and stderr, the time.
// Out: files "log" and "log.old" in the container's log directory; lines, oldest first.
// Never: lets a container fill the host's disk or keep the spawner busy: what is over the limits is counted and dropped.
package ring

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// Limits of one container's log.
const (
	FileBytes = 1 << 20  // a file is turned at this size; two are kept
	LineBytes = 16 << 10 // longer lines are cut into pieces
	Rate      = 256 << 10
	Burst     = 1 << 20 // bytes that may come at once; after that Rate bytes a second are kept
	Flood     = 2 << 20 // bytes a second that are read of a stream of which lines are dropped: whoever writes more waits for its pipe
)

// Names of the two files.
const (
	current = "log"
	older   = "log.old"
)

// Writer keeps one container's output. Close it when both streams have ended.
type Writer struct {
	dir string
	now func() time.Time

	mu struct {
		sync.Mutex
		file    *os.File
		size    int64
		budget  int64
		filled  time.Time
		dropped int64
	}
}

// Open continues the log in dir, which it makes if needed.
func Open(dir string, now func() time.Time) (*Writer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make log directory: %w", err)
	}
	w := &Writer{dir: dir, now: now}
	w.mu.budget, w.mu.filled = Burst, now()
	if err := w.open(); err != nil {
		return nil, err
	}
	return w, nil
}

func (w *Writer) open() error {
	f, err := os.OpenFile(filepath.Join(w.dir, current), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return fmt.Errorf("open log: %w", err)
	}
	w.mu.file, w.mu.size = f, st.Size()
	return nil
}

// Stream names where a line came from, as the second field of a stored line.
type Stream byte

// The streams; Host is the spawner's own remark.
const (
	Stdout Stream = 'o'
	Stderr Stream = 'e'
	Host   Stream = 'h'
)

// Line stores one line without its newline.
func (w *Writer) Line(s Stream, text []byte) error {
	_, err := w.line(s, text)
	return err
}

// line is Line; dropped tells that there was no room for it.
func (w *Writer) line(s Stream, text []byte) (dropped bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	if !w.afford(now, int64(len(text))+24) {
		w.mu.dropped++
		return true, nil
	}
	if n := w.mu.dropped; n > 0 {
		w.mu.dropped = 0
		if err := w.put(now, Host, fmt.Appendf(nil, "%d lines dropped: more than %d bytes a second", n, Rate)); err != nil {
			return false, err
		}
	}
	return false, w.put(now, s, text)
}

// drop counts lines for which there was no room either.
func (w *Writer) drop(n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.dropped += n
}

// floods tells whether lines are being dropped.
func (w *Writer) floods() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.dropped > 0
}

// afford takes n bytes from the budget, which grows by Rate each second up to Burst.
func (w *Writer) afford(now time.Time, n int64) bool {
	if d := now.Sub(w.mu.filled); d > 0 {
		w.mu.budget = min(Burst, w.mu.budget+int64(d.Seconds()*Rate))
		w.mu.filled = now
	}
	if w.mu.budget < n {
		return false
	}
	w.mu.budget -= n
	return true
}

func (w *Writer) put(now time.Time, s Stream, text []byte) error {
	b := make([]byte, 0, len(text)+24)
	b = strconv.AppendInt(b, now.UnixMicro(), 10)
	b = append(b, ' ', byte(s), ' ')
	b = append(append(b, text...), '\n')
	if w.mu.size+int64(len(b)) > FileBytes {
		if err := w.turn(); err != nil {
			return err
		}
	}
	n, err := w.mu.file.Write(b)
	w.mu.size += int64(n)
	if err != nil {
		return fmt.Errorf("write log: %w", err)
	}
	return nil
}

func (w *Writer) turn() error {
	if err := os.Rename(filepath.Join(w.dir, current), filepath.Join(w.dir, older)); err != nil {
		return fmt.Errorf("turn log: %w", err)
	}
	w.mu.file.Close()
	return w.open()
}

// Close ends the log, with a last remark if lines were dropped.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := w.mu.dropped; n > 0 {
		w.mu.dropped = 0
		w.put(w.now(), Host, fmt.Appendf(nil, "%d lines dropped: more than %d bytes a second", n, Rate))
	}
	return w.mu.file.Close()
}

// Line is one stored line.
type Line struct {
	Time   time.Time
	Stream Stream
	Text   []byte
}

// Parse takes a stored line apart; Text is a view into b. A line that does not follow the format (a power cut tore it) is not ok.
func Parse(b []byte) (l Line, ok bool) {
	stamp, rest, found := bytes.Cut(b, []byte(" "))
	if !found || len(rest) < 2 || rest[1] != ' ' {
		return Line{}, false
	}
	us, err := strconv.ParseInt(string(stamp), 10, 64)
	if err != nil {
		return Line{}, false
	}
	return Line{time.UnixMicro(us).UTC(), Stream(rest[0]), rest[2:]}, true
}
