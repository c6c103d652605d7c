package run

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestGroup(t *testing.T) {
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
			err := Group(context.Background(), slog.New(slog.DiscardHandler), tt.tasks...)
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
