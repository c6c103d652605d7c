// Package audit keeps the record of who did what.
//
// Owns: one append-only file of JSON lines, each with the SHA-256 of the line before it.
// In: who, what, on which object, and later the result.
// Out: the newest records, those from before there were accounts with their owner's; an error when the file can't be written: then the
// action must not be carried out.
// Never: changes or removes a record, or records a secret. It is not a log: it holds what people did, nothing else.
package audit

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/wire/operator"
)

// InMemory is how many of the newest records are held for reading.
const InMemory = 1000

// Log is the open record.
type Log struct {
	mu struct {
		sync.Mutex
		file *os.File
		end  int64  // bytes of whole lines
		last string // hex SHA-256 of the last line
		seq  int64
		ring []operator.Audit
	}
}

// line is a record as stored.
type line struct {
	operator.Audit
	Before string `json:"before"` // hex SHA-256 of the line before; "" for the first
}

// Open opens the record, or makes it. A last line that a power cut left unfinished is cut off; a chain that does not hold is an error.
func Open(path string) (*Log, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open audit record: %v", err)
	}
	l := &Log{}
	l.mu.file = f
	end, err := l.read(f)
	if err == nil {
		err = errors.Join(f.Truncate(end), keep.SyncDir(filepath.Dir(path)))
	}
	l.mu.end = end
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open audit record %q: %w", path, err)
	}
	return l, nil
}

// ErrChain: a line was changed or removed after it had been written.
var ErrChain = errors.New("the chain of records is broken")

func (l *Log) read(f *os.File) (end int64, err error) {
	r := bufio.NewReader(f)
	for {
		raw, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return end, nil // an unfinished line, or none
		}
		if err != nil {
			return 0, err
		}
		var rec line
		if err := json.Unmarshal(raw, &rec); err != nil || rec.Before != l.mu.last || rec.Seq != l.mu.seq+1 {
			return 0, fmt.Errorf("%w after record %d", ErrChain, l.mu.seq)
		}
		end += int64(len(raw))
		rec.Account = rec.Account.Owner()
		l.remember(rec.Audit, raw)
	}
}

func (l *Log) remember(a operator.Audit, raw []byte) {
	sum := sha256.Sum256(bytes.TrimSuffix(raw, []byte("\n")))
	l.mu.last, l.mu.seq = hex.EncodeToString(sum[:]), a.Seq
	l.mu.ring = append(l.mu.ring, a)
	if len(l.mu.ring) >= 2*InMemory {
		l.mu.ring = slices.Clone(l.mu.ring[len(l.mu.ring)-InMemory:])
	}
}

// Write appends one record durably. Seq and At are filled in.
func (l *Log) Write(a operator.Audit) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.Seq, a.At = l.mu.seq+1, time.Now().UTC()
	raw, err := json.Marshal(line{a, l.mu.last})
	if err != nil {
		return fmt.Errorf("write audit record: %v", err)
	}
	raw = append(raw, '\n')
	_, err = l.mu.file.WriteAt(raw, l.mu.end)
	if err == nil {
		err = l.mu.file.Sync()
	}
	if err != nil {
		// Half a line must not stay before the next one.
		return errors.Join(fmt.Errorf("write audit record: %v", err), l.mu.file.Truncate(l.mu.end))
	}
	l.mu.end += int64(len(raw))
	l.remember(a, raw)
	return nil
}

// Do records an action before its effect and its result after it. Without the first record nothing is done.
func (l *Log) Do(a operator.Audit, effect func() error) error {
	a.Result = "begun"
	if err := l.Write(a); err != nil {
		return operator.NewProblem(operator.Unavailable, "audit", "the audit record can't be written, so nothing was done",
			"check the orchestrator's disk")
	}
	err := effect()
	a.Result = "ok"
	if err != nil {
		p := operator.AsProblem(err)
		a.Result = string(p.Code) + ": " + p.Reason
	}
	return errors.Join(err, l.Write(a))
}

// Newest are the last n records, newest first.
func (l *Log) Newest(n int) []operator.Audit {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := slices.Clone(l.mu.ring[max(0, len(l.mu.ring)-n):])
	slices.Reverse(out)
	return out
}

// mostLooked is how many records one call of Back looks at: a search for what is rare ends, and goes on with the next call.
const mostLooked = 20000

// ErrPlace: a place in the record is none that Back gave.
var ErrPlace = errors.New("there is no record at this place")

// Back goes through the record from a place towards its start, newest first, and gives up to n records that want keeps, until want ends it.
// A place is a number of bytes, which stays what it is, for the record only grows; -1 is the end. next is where to go on, 0 when there is
// no more.
func (l *Log) Back(from int64, n int, want func(operator.Audit) (keep, goOn bool)) (out []operator.Audit, next int64, err error) {
	l.mu.Lock()
	file, end := l.mu.file, l.mu.end
	l.mu.Unlock()
	if from < 0 {
		from = end
	}
	last := make([]byte, 1)
	if from > 0 {
		if _, err := file.ReadAt(last, from-1); from > end || err != nil && errors.Is(err, io.EOF) || err == nil && last[0] != '\n' {
			return nil, 0, ErrPlace
		} else if err != nil {
			return nil, 0, fmt.Errorf("read audit record: %v", err)
		}
	}
	for looked := 0; from > 0; looked++ {
		if len(out) == n || looked == mostLooked {
			return out, from, nil
		}
		raw, err := lineBefore(file, from)
		if err != nil {
			return nil, 0, fmt.Errorf("read audit record: %v", err)
		}
		var rec line
		if err := json.Unmarshal(raw, &rec); err != nil {
			return nil, 0, fmt.Errorf("read audit record: %w before byte %d", ErrChain, from)
		}
		rec.Account = rec.Account.Owner()
		keep, goOn := want(rec.Audit)
		if !goOn {
			return out, 0, nil
		}
		if keep {
			out = append(out, rec.Audit)
		}
		from -= int64(len(raw))
	}
	return out, 0, nil
}

// lineBefore is the line that ends at a place, with its newline.
func lineBefore(file io.ReaderAt, end int64) ([]byte, error) {
	for size := min(end, 1<<10); ; size = min(end, 4*size) {
		b := make([]byte, size)
		if _, err := file.ReadAt(b, end-size); err != nil {
			return nil, err
		}
		if i := bytes.LastIndexByte(b[:size-1], '\n'); i >= 0 {
			return b[i+1:], nil
		}
		if size == end {
			return b, nil
		}
	}
}

// Close ends writing.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.file.Close()
}
