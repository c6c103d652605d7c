// Package accesslog keeps a line of each request to the environments that asked for it.
//
// Owns: <dir>/<environment>.<when it was created>.log and the file before it, 4 MiB each; how much all of them take.
// In: entries, from requests at work.
// Out: lines of JSON, in files; a part of them, to whoever reads.
// Never: has a request wait for the disk, keeps a query string, a cookie or a body, or shows one environment's lines as another's.
package accesslog

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
)

// The bounds.
const (
	MaxFile = 4 << 20   // bytes: then a file becomes the one before, and what was that goes
	MaxAll  = 256 << 20 // bytes of all files: the volume has 1 GiB
	waiting = 8192      // entries on their way to the disk; those beyond are counted instead
	maxOpen = 256       // files
	flushed = 250 * time.Millisecond
	looked  = time.Minute
)

// Entry is one line.
type Entry struct {
	Time     time.Time `json:"time"` // when the request had come
	Client   string    `json:"client"`
	Method   string    `json:"method"`
	Scheme   string    `json:"scheme"`
	Host     string    `json:"host"`
	Path     string    `json:"path"` // without the query
	Protocol string    `json:"protocol"`
	Status   int       `json:"status"`         // 0: the client went before there was an answer
	Sent     int64     `json:"sent"`           // bytes of the answer's body; none of a tunnel are counted
	Millis   float64   `json:"ms"`             // until the answer's end
	Node     wire.CTID `json:"node,omitempty"` // 0: the resolver itself answered
	Referrer string    `json:"referrer,omitempty"`
	Agent    string    `json:"agent,omitempty"`
}

// Log takes entries. Its Run writes them.
type Log struct {
	Dir  string
	Keep func(name string) bool // whether files are still wanted; nil: all are
	Log  *slog.Logger

	entries chan line
	lost    atomic.Int64
	files   map[string]*file // open ones; Run's
}

type line struct {
	name string
	Entry
}

type file struct {
	*os.File
	buffer *bufio.Writer
	size   int64 // with what is in buffer
	kept   int64 // without it
	lines  int64 // in buffer
	used   time.Time
}

// New makes a log in dir.
func New(dir string, keep func(name string) bool, l *slog.Logger) *Log {
	return &Log{Dir: dir, Keep: keep, Log: logging.Or(l), entries: make(chan line, waiting), files: map[string]*file{}}
}

// Add takes an entry, or counts it as lost when the disk does not keep up.
func (l *Log) Add(name string, e Entry) {
	select {
	case l.entries <- line{name, e}:
	default:
		l.lost.Add(1)
	}
}

// Run writes until ctx ends, and then what there is. What can't be written is lost and said once a minute.
func (l *Log) Run(ctx context.Context) error {
	if err := os.MkdirAll(l.Dir, 0o700); err != nil {
		return fmt.Errorf("keep access logs: %v", err)
	}
	flush, look := time.NewTicker(flushed), time.NewTicker(looked)
	defer flush.Stop()
	defer look.Stop()
	l.look()
	var failed error
	note := func(err error) {
		if err != nil {
			failed = err
		}
	}
	for {
		select {
		case e := <-l.entries:
			note(l.write(e))
		case <-flush.C:
			note(l.flush())
		case <-look.C:
			note(l.look())
			if n := l.lost.Swap(0); n > 0 || failed != nil {
				l.Log.Warn("lines of access logs were lost", "lines", n, logging.Err, failed)
			}
			failed = nil
		case <-ctx.Done():
			for {
				select {
				case e := <-l.entries:
					note(l.write(e))
					continue
				default:
				}
				break
			}
			l.flush()
			for name := range l.files {
				l.close(name)
			}
			return nil
		}
	}
}

func (l *Log) path(name string) string { return filepath.Join(l.Dir, name+".log") }

func before(path string) string { return path + ".1" }

func (l *Log) write(e line) error {
	err := l.put(e)
	if err != nil {
		l.lost.Add(1)
	}
	return err
}

func (l *Log) put(e line) error {
	raw, err := json.Marshal(e.Entry)
	if err != nil {
		return err
	}
	f, err := l.open(e.name)
	if err != nil {
		return err
	}
	if f.size+int64(len(raw)) >= MaxFile {
		err := l.out(e.name, f)
		l.close(e.name)
		if err = cmp.Or(err, os.Rename(l.path(e.name), before(l.path(e.name)))); err != nil {
			return err
		}
		if f, err = l.open(e.name); err != nil {
			return err
		}
	}
	if f.buffer.Available() <= len(raw) { // who reads finds whole lines
		if err := l.out(e.name, f); err != nil {
			return err
		}
	}
	n, err := f.buffer.Write(append(raw, '\n'))
	f.size, f.used, f.lines = f.size+int64(n), time.Now(), f.lines+1
	return err
}

// out writes what is in a file's buffer. What the disk does not take is lost and counted, and no part of a line stays. A buffer that failed
// once fails for ever: the next line makes another.
func (l *Log) out(name string, f *file) error {
	err := f.buffer.Flush()
	if err == nil {
		f.kept, f.lines = f.size, 0
		return nil
	}
	l.lost.Add(f.lines)
	err = errors.Join(err, f.Truncate(f.kept))
	l.close(name)
	return err
}

func (l *Log) open(name string) (*file, error) {
	if f := l.files[name]; f != nil {
		return f, nil
	}
	if len(l.files) >= maxOpen {
		oldest := ""
		for n, f := range l.files {
			if oldest == "" || f.used.Before(l.files[oldest].used) {
				oldest = n
			}
		}
		l.out(oldest, l.files[oldest]) // what it loses is counted
		l.close(oldest)
	}
	f, err := os.OpenFile(l.path(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	l.files[name] = &file{File: f, buffer: bufio.NewWriterSize(f, 16<<10), size: info.Size(), kept: info.Size()}
	return l.files[name], nil
}

func (l *Log) close(name string) {
	if f := l.files[name]; f != nil {
		f.Close()
		delete(l.files, name)
	}
}

func (l *Log) flush() (failed error) {
	for name, f := range l.files {
		if err := l.out(name, f); err != nil {
			failed = err
		}
	}
	return failed
}

// look removes what nobody wants any more, and the oldest files while all of them take too much.
func (l *Log) look() error {
	type kept struct {
		path, name string
		size       int64
		at         time.Time
	}
	var all []kept
	sum := int64(0)
	entries, err := os.ReadDir(l.Dir)
	if err != nil {
		return err
	}
	remove := func(k kept) {
		l.close(k.name)
		if err := os.Remove(k.path); err == nil {
			sum -= k.size
		}
	}
	for _, e := range entries {
		name, is := strings.CutSuffix(strings.TrimSuffix(e.Name(), ".1"), ".log")
		info, err := e.Info()
		if !is || err != nil {
			continue
		}
		k := kept{filepath.Join(l.Dir, e.Name()), name, info.Size(), info.ModTime()}
		sum += k.size
		if l.Keep != nil && !l.Keep(name) {
			remove(k)
			continue
		}
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b kept) int { return a.at.Compare(b.at) })
	for _, k := range all {
		if sum <= MaxAll {
			break
		}
		remove(k)
	}
	return nil
}

// there opens a file; nil and no error if there is none.
func there(path string) (*os.File, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return f, err
}
