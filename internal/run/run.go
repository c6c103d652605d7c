// Package run starts a program's tasks and ends them together.
//
// Owns: the group of goroutines of one program, and the signal handling around it.
// In: Tasks, each a name and a Run function; a context.
// Out: the first task's error, after every task has returned.
// Never: restarts a task (init does that by restarting the program), or lets a goroutine outlive the group.
package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"hardnode.dev/internal/logging"
)

// Task is one long-running part of a program.
type Task struct {
	Name string
	// Run works until ctx ends, then returns nil; any other return ends the whole group.
	Run func(ctx context.Context) error
}

// Group runs all tasks until ctx ends or one of them returns early; it returns when all have returned.
// A task that returns nil before ctx ends is finished (a one-off); one that returns an error, or panics, ends the group, which is logged.
func Group(ctx context.Context, log *slog.Logger, tasks ...Task) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, t := range tasks {
		g.Go(func() error {
			err := t.guarded(ctx)
			switch {
			case err == nil, ctx.Err() != nil && errors.Is(err, context.Canceled):
				return nil
			case ctx.Err() == nil: // said now: how long the others take to end is not known
				logging.Or(log).Error("a task failed: the program ends", logging.Err, fmt.Errorf("task %s: %w", t.Name, err))
			}
			return fmt.Errorf("task %s: %w", t.Name, err)
		})
	}
	return g.Wait()
}

// guarded runs the task; a panic is an error.
func (t Task) guarded(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return t.Run(ctx)
}

// ErrSignal is the cause of the context that UntilSignal ends.
var ErrSignal = errors.New("signal")

// UntilSignal is a context that ends at SIGTERM, SIGINT or SIGHUP. A second signal ends the program at once with status 1.
func UntilSignal(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	ch := make(chan os.Signal, 2)
	signal.Notify(ch, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	go func() {
		select {
		case s := <-ch:
			cancel(fmt.Errorf("%w: %s", ErrSignal, s))
		case <-ctx.Done():
			signal.Stop(ch)
			return
		}
		select {
		case <-ch:
			os.Exit(1)
		case <-parent.Done():
		}
	}()
	return ctx, func() { cancel(context.Canceled) }
}

// Wait waits for d or for ctx; it returns false when ctx ended first. It takes the place of time.Sleep.
func Wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Every calls f at once and then every d until ctx ends or f returns an error.
func Every(ctx context.Context, d time.Duration, f func(context.Context) error) error {
	for {
		if err := f(ctx); err != nil {
			return err
		}
		if !Wait(ctx, d) {
			return nil
		}
	}
}

// Keep calls f again and again until ctx ends, as long as each call lasts. Between two calls it waits: min at first, then twice as long
// each time, at most max. A call that lasted longer than max was none that fails over and over: after it the wait is min again.
func Keep(ctx context.Context, min, max time.Duration, f func(context.Context)) {
	for n := 0; ctx.Err() == nil; n++ {
		began := time.Now()
		f(ctx)
		if time.Since(began) > max {
			n = 0
		}
		if !Wait(ctx, Backoff(n, min, max, 0.5)) {
			return
		}
	}
}

// Backoff is how long to wait before attempt n (0 is the first retry): min·2ⁿ, at most max, ± a fifth chosen by spread (0–1).
func Backoff(n int, min, max time.Duration, spread float64) time.Duration {
	d := min
	for ; n > 0 && d < max; n-- {
		d *= 2
	}
	if d > max {
		d = max
	}
	return time.Duration(float64(d) * (0.8 + 0.4*spread))
}
