package limit

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// ErrSlow: the client sent less of a body than it must.
var ErrSlow = errors.New("the client is too slow")

// Pace is what is asked of a client that sends a body or reads an answer.
type Pace struct {
	// Grace is how long a body may stand still. Each byte that comes earns time back, never more than Grace in all.
	Grace time.Duration
	// PerSecond is the fewest bytes a second a body may come at when it never stands still.
	PerSecond int64
	// Write is how long one write of an answer may wait for the client to take it.
	Write time.Duration
	// Idle is how long a stream that goes both ways may be silent: a tunnel, or a body that comes while the answer is being sent.
	Idle time.Duration
	// Stream tells which requests are such streams before anything is answered; nil: none.
	Stream func(*http.Request) bool
}

// Usual is the pace of well-known servers: 60 s for a write as nginx (send_timeout), 500 bytes a second as Debian's Apache
// (mod_reqtimeout), an hour for a tunnel as HAProxy's manual proposes.
var Usual = Pace{Grace: 30 * time.Second, PerSecond: 500, Write: time.Minute, Idle: time.Hour}

const leftover = 5 * time.Second // for what nobody wants of a body

// Handler holds the clients of h to the pace: a body that comes too slowly ends with ErrSlow, and an answer nobody takes is broken off.
// Time that h itself lets pass without reading does not count. What h leaves unread of a body is read for a few seconds and no more.
func (p Pace) Handler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := &answer{ResponseWriter: w, control: http.NewResponseController(w), pace: p, old: !r.ProtoAtLeast(1, 1),
			frames: r.ProtoMajor >= 2}
		defer a.open.End()
		if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
			h.ServeHTTP(a, r)
			a.before()
			return
		}
		a.body = &body{inner: r.Body, answer: a, left: p.Grace, stream: p.Stream != nil && p.Stream(r)}
		q := *r
		q.Body, a.body.from, a.body.to = a.body, r, &q
		h.ServeHTTP(a, &q)
		a.finish()
		a.before()
	})
}

// body gives a client time by what it sends.
type body struct {
	inner  io.ReadCloser
	answer *answer
	left   time.Duration // until it is too slow
	stream bool
	done   atomic.Bool // it ended: nothing is read of this request any more

	from, to *http.Request // the trailers of the first become those of the second
}

func (b *body) Read(into []byte) (int, error) {
	p, from := b.answer.pace, time.Now()
	wait := b.left
	if b.stream || b.answer.begun.Load() {
		wait = max(wait, p.Idle)
	}
	b.answer.open.Do(func() {
		if !b.answer.frames {
			b.answer.before() // a read may send "100 Continue"
		}
		b.answer.control.SetReadDeadline(from.Add(wait))
	})
	n, err := b.inner.Read(into)
	took := time.Since(from)
	b.left += time.Duration(n) * time.Second / time.Duration(max(p.PerSecond, 1))
	b.left = max(min(b.left-took, p.Grace), 0)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.answer.slow.Store(true)
		return n, ErrSlow
	case err != nil:
		b.done.Store(true)
		b.to.Trailer = b.from.Trailer
		// from now on the server watches for the client's going away: that has no end
		b.answer.open.Do(func() { b.answer.control.SetReadDeadline(time.Time{}) })
	case b.answer.frames:
		b.answer.open.Do(func() { b.answer.control.SetReadDeadline(time.Time{}) }) // a deadline of a stream ends it even while nobody reads
	}
	return n, err
}

func (b *body) Close() error { return b.inner.Close() }

// answer is the response writer of one request.
type answer struct {
	http.ResponseWriter
	control  *http.ResponseController
	pace     Pace
	old      bool  // HTTP/1.0
	frames   bool  // HTTP/2
	body     *body // nil: the request has none
	begun    atomic.Bool
	hijacked atomic.Bool
	slow     atomic.Bool
	open     While // for deadlines of reading
}

// Slow tells whether the body of the request that w answers ended with ErrSlow. net/http ends the request's context for it, as if the
// client had gone; it still reads the answer.
func Slow(w http.ResponseWriter) bool {
	a, ok := w.(*answer)
	return ok && a.slow.Load()
}

// before gives the client time to take what is written next; after takes it back, since a deadline of an HTTP/2 stream ends it even while
// nobody writes.
func (a *answer) before() {
	if !a.hijacked.Load() {
		a.control.SetWriteDeadline(time.Now().Add(a.pace.Write))
	}
}

func (a *answer) after() {
	if a.frames && !a.hijacked.Load() {
		a.control.SetWriteDeadline(time.Time{})
	}
}

// finish bounds what net/http reads of a body that was not read to its end before it sends the answer.
func (a *answer) finish() {
	if a.body != nil && !a.body.done.Load() && !a.frames && !a.hijacked.Load() {
		a.control.SetReadDeadline(time.Now().Add(min(a.pace.Grace, leftover)))
	}
}

func (a *answer) begin() {
	if !a.begun.Swap(true) {
		a.finish()
	}
}

// WriteHeader keeps interim answers from clients that don't know them (RFC 9110, section 15.2). "100 Continue" is the server's alone, which
// sends it when the body is first read: a proxy would send its node's beside it, so that a client reads two.
func (a *answer) WriteHeader(code int) {
	interim := code >= 100 && code < 200 && code != http.StatusSwitchingProtocols
	if interim && (a.old || code == http.StatusContinue) {
		return
	}
	if !interim {
		a.begin()
	}
	a.before()
	a.ResponseWriter.WriteHeader(code)
	a.after()
}

func (a *answer) Write(p []byte) (int, error) {
	a.begin()
	a.before()
	defer a.after()
	return a.ResponseWriter.Write(p)
}

// FlushError sends what is buffered.
func (a *answer) FlushError() error {
	a.begin()
	a.before()
	defer a.after()
	return a.control.Flush()
}

// Flush is FlushError for those who don't ask.
func (a *answer) Flush() { a.FlushError() }

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
