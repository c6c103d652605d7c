// Package steady holds what is written to so many bytes a second.
//
// Owns: when each piece goes on.
// In: a writer; a rate.
// Out: the same bytes, at most so many a second.
// Never: keeps any of them, or goes faster later because it was slower before.
package steady

import (
	"context"
	"io"
	"time"

	"hardnode.dev/internal/run"
)

// Writer passes on what is written to it. Whoever writes waits. It is for one goroutine.
type Writer struct {
	ctx  context.Context
	to   io.Writer
	rate int64
	pace *Pace
}

// Pace is what several writers, one after another, keep to together: one begins when what the one before it wrote has had its time. The
// zero Pace is ready. It is for one goroutine.
type Pace struct {
	due time.Time // of the next piece
}

// piece is how much time's worth of bytes goes on at once.
const piece = time.Second / 10

// To is a writer of at most so many bytes a second, until ctx ends; 0 is no bound.
func To(ctx context.Context, w io.Writer, rate int64) io.Writer { return new(Pace).To(ctx, w, rate) }

// To is the next writer of this pace, as the function To makes one; its rate is its own.
func (p *Pace) To(ctx context.Context, w io.Writer, rate int64) io.Writer {
	if rate <= 0 {
		return w
	}
	return &Writer{ctx: ctx, to: w, rate: rate, pace: p}
}

func (w *Writer) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		now := time.Now()
		if w.pace.due.Before(now) {
			w.pace.due = now
		} else if !run.Wait(w.ctx, w.pace.due.Sub(now)) {
			return n, context.Cause(w.ctx)
		}
		part := b[:min(int64(len(b)), max(w.rate*int64(piece)/int64(time.Second), 1))]
		k, err := w.to.Write(part)
		n += k
		if err != nil {
			return n, err
		}
		w.pace.due = w.pace.due.Add(time.Duration(k) * time.Second / time.Duration(w.rate))
		b = b[k:]
	}
	return n, nil
}
