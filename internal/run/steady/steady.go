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
	due  time.Time // of the next piece
}

// piece is how much time's worth of bytes goes on at once.
const piece = time.Second / 10

// To is a writer of at most so many bytes a second, until ctx ends; 0 is no bound.
func To(ctx context.Context, w io.Writer, rate int64) io.Writer {
	if rate <= 0 {
		return w
	}
	return &Writer{ctx: ctx, to: w, rate: rate}
}

func (w *Writer) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		now := time.Now()
		if w.due.Before(now) {
			w.due = now
		} else if !run.Wait(w.ctx, w.due.Sub(now)) {
			return n, context.Cause(w.ctx)
		}
		part := b[:min(int64(len(b)), max(w.rate*int64(piece)/int64(time.Second), 1))]
		k, err := w.to.Write(part)
		n += k
		if err != nil {
			return n, err
		}
		w.due = w.due.Add(time.Duration(k) * time.Second / time.Duration(w.rate))
		b = b[k:]
	}
	return n, nil
}
