package syslog

import (
	"sync"
	"time"

	"hardnode.dev/internal/wire/host"
)

// line is one line that waits for a server.
type line struct {
	unit  host.Unit
	at    time.Time
	frame []byte
}

// queue holds what a server has not got yet, in bounds: when it is full the oldest lines are dropped, and counted.
type queue struct {
	most int // bytes
	more chan struct{}

	mu struct {
		sync.Mutex
		lines   []line
		bytes   int
		dropped int                     // since the server was told of it
		lost    int                     // in all
		done    map[host.Unit]time.Time // of the last line of each log that was sent or dropped
	}
}

func newQueue(most int) *queue {
	q := &queue{most: most, more: make(chan struct{}, 1)}
	q.mu.done = map[host.Unit]time.Time{}
	return q
}

func (q *queue) put(l line) {
	q.mu.Lock()
	q.mu.lines, q.mu.bytes = append(q.mu.lines, l), q.mu.bytes+len(l.frame)
	for q.mu.bytes > q.most && len(q.mu.lines) > 1 {
		q.drop()
		q.mu.dropped++
		q.mu.lost++
	}
	q.mu.Unlock()
	select {
	case q.more <- struct{}{}:
	default:
	}
}

// drop takes the oldest line away; the caller holds the lock.
func (q *queue) drop() {
	l := q.mu.lines[0]
	q.mu.lines[0] = line{}
	q.mu.lines, q.mu.bytes = q.mu.lines[1:], q.mu.bytes-len(l.frame)
	if l.at.After(q.mu.done[l.unit]) {
		q.mu.done[l.unit] = l.at
	}
}

// first is the oldest line, and how many were dropped before it since the server was told; not ok: there is none.
func (q *queue) first() (l line, dropped int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.mu.lines) == 0 {
		return l, 0, false
	}
	return q.mu.lines[0], q.mu.dropped, true
}

// sent says that the server got the line that was the first, and was told of so many that were dropped.
func (q *queue) sent(l line, dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.dropped -= dropped
	if len(q.mu.lines) > 0 && &q.mu.lines[0].frame[0] == &l.frame[0] { // else it was dropped meanwhile
		q.drop()
	}
}

// waiting is how many lines wait, and how many were dropped in all.
func (q *queue) waiting() (lines, lost int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.mu.lines), q.mu.lost
}

// place is up to when lines of a log are done with.
func (q *queue) place(unit host.Unit) time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.done[unit]
}
