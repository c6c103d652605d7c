package listen

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hardnode.dev/internal/limit"
)

// drainMost is how much of a body that the handler did not read is taken in, so that its answer arrives: closing a connection with unread
// bytes resets it, and the client then loses the answer (RFC 9112, section 9.6).
const drainMost = 64 << 20

// Bodies bounds the time a request's body may take, whether the handler reads it or not: BodyWait without a byte, or less than BodyRate,
// and reading it fails. Only waiting for the client counts, not what the handler does meanwhile. An answer given before the body was read
// is sent at once, and ends the connection.
func Bodies(h http.Handler, limits Limits) http.Handler {
	limits = limits.filled()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
			h.ServeHTTP(w, r)
			return
		}
		b := &body{ReadCloser: r.Body, ctl: http.NewResponseController(w), limits: limits}
		defer b.open.End()
		b.arm()
		with := new(http.Request)
		*with = *r
		with.Body = b
		w = own{w}
		if r.ProtoMajor != 1 { // HTTP/2 ends the stream alone
			h.ServeHTTP(w, with)
			return
		}
		h.ServeHTTP(&early{ResponseWriter: w, b: b}, with)
		if b.over.Load() {
			return
		}
		w.Header().Set("Connection", "close")
		b.ctl.Flush()
		if !strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
			io.CopyN(io.Discard, b, drainMost)
		}
	})
}

// own is an answer that keeps the deadline of reading to body: one that a handler's framework sets once the body was read (huma: five
// seconds) would end the request's context, as if the client had gone.
type own struct{ http.ResponseWriter }

// SetReadDeadline does nothing.
func (own) SetReadDeadline(time.Time) error { return nil }

// Unwrap serves http.ResponseController.
func (o own) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// early is an HTTP/1 answer. One that begins before the body has ended ends the connection: what follows can't be told from a body's rest.
// It also keeps the server from reading 256 KiB of the body before it sends the answer.
type early struct {
	http.ResponseWriter
	b     *body
	wrote bool
}

// WriteHeader sends the status.
func (e *early) WriteHeader(status int) {
	if !e.wrote && status >= 200 {
		e.wrote = true
		if !e.b.over.Load() {
			e.Header().Set("Connection", "close")
		}
	}
	e.ResponseWriter.WriteHeader(status)
}

// Write sends a part of the answer.
func (e *early) Write(p []byte) (int, error) {
	if !e.wrote {
		e.WriteHeader(http.StatusOK)
	}
	return e.ResponseWriter.Write(p)
}

// Unwrap serves http.ResponseController.
func (e *early) Unwrap() http.ResponseWriter { return e.ResponseWriter }

// body is a request's body with a deadline that moves on as it comes.
type body struct {
	io.ReadCloser
	ctl    *http.ResponseController
	limits Limits
	read   int64
	waited time.Duration // in Read
	over   atomic.Bool   // it came to its end, or broke off

	reads sync.Mutex // one at a time: what is left is taken in beside whoever reads on
	open  limit.While
}

func (b *body) deadline(t time.Time) { b.open.Do(func() { b.ctl.SetReadDeadline(t) }) }

// left is how long the next Read may wait.
func (b *body) left() time.Duration {
	due := b.limits.BodyWait + time.Duration(float64(b.read)/float64(b.limits.BodyRate)*float64(time.Second)) - b.waited
	return max(0, min(b.limits.BodyWait, due))
}

func (b *body) arm() { b.deadline(time.Now().Add(b.left())) }

// Read reads on; a client that is too slow gets an error that is os.ErrDeadlineExceeded.
func (b *body) Read(p []byte) (int, error) {
	b.reads.Lock()
	defer b.reads.Unlock()
	if !b.over.Load() {
		b.arm()
	}
	began := time.Now()
	n, err := b.ReadCloser.Read(p)
	b.waited += time.Since(began)
	b.read += int64(n)
	var tooLarge *http.MaxBytesError
	if err != nil && !errors.As(err, &tooLarge) {
		b.over.Store(true)
	}
	if errors.Is(err, io.EOF) {
		b.deadline(time.Time{}) // the handler may take its time now, and the server looks whether the client is still there
	}
	return n, err
}

// Close does not end the body: what is left is taken in once the answer is given.
func (b *body) Close() error { return nil }
