package run

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// locked is a buffer that is read while it is written.
type locked struct {
	*sync.Mutex
	*bytes.Buffer
}

func (l locked) Write(p []byte) (int, error) {
	l.Lock()
	defer l.Unlock()
	return l.Buffer.Write(p)
}

// TestGroup: what failed is the error, and is logged before the other tasks have ended.
func TestGroup(t *testing.T) {
	var mu sync.Mutex
	boom := errors.New("boom")
	until := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	tests := []struct {
		name  string
		tasks []Task
		want  string // part of the error; "" is nil
	}{
		{"one-off ends alone", []Task{{"a", func(context.Context) error { return nil }}}, ""},
		{"an error ends all", []Task{{"a", func(context.Context) error { return boom }}, {"b", until}}, "task a: boom"},
		{"a panic ends all", []Task{{"a", func(context.Context) error { panic("ouch") }}, {"b", until}}, "task a: panic: ouch"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var said bytes.Buffer
			late := append(tt.tasks, Task{"late", func(ctx context.Context) error {
				if tt.want == "" {
					return nil
				}
				<-ctx.Done()
				for range 10_000 { // it ends only once the reason was said
					mu.Lock()
					known := strings.Contains(said.String(), tt.want)
					mu.Unlock()
					if known {
						return ctx.Err()
					}
					time.Sleep(time.Millisecond)
				}
				t.Errorf("the log does not say %q while a task still works", tt.want)
				return nil
			}})
			err := Group(context.Background(), slog.New(slog.NewTextHandler(locked{&mu, &said}, nil)), late...)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestGroupEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		n := 0
		err := Group(ctx, nil, Task{"tick", func(ctx context.Context) error {
			return Every(ctx, 300*time.Millisecond, func(context.Context) error { n++; return nil })
		}})
		if err != nil || n != 4 {
			t.Errorf("got %d ticks, %v; want 4, nil", n, err)
		}
	})
}

func TestBackoff(t *testing.T) {
	for n, want := range []time.Duration{1, 2, 4, 8, 10, 10} {
		if got := Backoff(n, time.Second, 10*time.Second, 0.5); got != want*time.Second {
			t.Errorf("attempt %d: got %v, want %v", n, got, want*time.Second)
		}
	}
}

// What breaks now and then is back at once each time; only what fails over and over waits.
func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		var waits []time.Duration
		var ended time.Time
		lives := []time.Duration{0, 0, 0, 0, 0, 0, 0, time.Hour, 0, 31 * time.Second, 30 * time.Second, 0}
		Keep(ctx, time.Second, 30*time.Second, func(ctx context.Context) {
			if !ended.IsZero() {
				waits = append(waits, time.Since(ended)/time.Second)
			}
			i := len(waits)
			if i == len(lives) {
				cancel()
				return
			}
			Wait(ctx, lives[i])
			ended = time.Now()
		})
		if want := []time.Duration{1, 2, 4, 8, 16, 30, 30, 1, 2, 1, 2, 4}; !slices.Equal(waits, want) {
			t.Errorf("it waited for %d s in turn, want %d", waits, want)
		}
		cancel()
		if Keep(ctx, time.Hour, time.Hour, func(context.Context) { t.Error("called after the end") }); time.Since(began) > 3*time.Hour {
			t.Error("it waited after the end")
		}
	})
}
