package steady

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"
)

// TestRate: what is written takes its time, in pieces, and comes whole.
func TestRate(t *testing.T) {
	var out bytes.Buffer
	began := time.Now()
	w := To(t.Context(), &out, 10_000)
	in := bytes.Repeat([]byte("0123456789"), 300)
	for _, b := range [][]byte{in[:1], in[1:2000], in[2000:]} {
		if n, err := w.Write(b); n != len(b) || err != nil {
			t.Fatalf("%d of %d, %v", n, len(b), err)
		}
	}
	// the last piece of 1,000 bytes goes when those before it have had their time
	if took := time.Since(began); took < 190*time.Millisecond || !bytes.Equal(out.Bytes(), in) {
		t.Errorf("%d bytes at 10,000 a second took %s", out.Len(), took)
	}
	if To(t.Context(), &out, 0) != &out {
		t.Error("without a rate there is something between")
	}
}

// TestEnd: one that waits ends with its context; an error of the writer below comes through.
func TestEnd(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	w := To(ctx, failing{cancel, gone}, 1)
	if n, err := w.Write([]byte("ab")); n != 1 || !errors.Is(err, gone) {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := To(t.Context(), broken{gone}, 1).Write([]byte("ab")); n != 0 || !errors.Is(err, gone) {
		t.Errorf("%d, %v", n, err)
	}
}

// failing has the context end with what is written.
type failing struct {
	cancel context.CancelCauseFunc
	err    error
}

func (f failing) Write(b []byte) (int, error) { f.cancel(f.err); return len(b), nil }

type broken struct{ error }

func (b broken) Write([]byte) (int, error) { return 0, b.error }

// TestPace: many writers of a pace, each with less than may go at once, take their time together; one without a rate has none.
func TestPace(t *testing.T) {
	var p Pace
	var out bytes.Buffer
	began := time.Now()
	for range 5 {
		if _, err := p.To(t.Context(), &out, 10_000).Write(make([]byte, 500)); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took < 200*time.Millisecond || out.Len() != 2500 {
		t.Errorf("5 times 500 bytes at 10,000 a second took %s", took)
	}
	if p.To(t.Context(), &out, 0) != &out {
		t.Error("without a rate there is something between")
	}
}
