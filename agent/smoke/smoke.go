// Package smoke says whether a container could be run on this host, for a system that is on trial.
//
// Owns: when one is run: not before somebody asks, one at a time, again after a while until one went well.
// In: how one is run (agent/apply).
// Out: what is wrong, in words; nothing once one has gone well, for as long as this program runs.
// Never: waits when it is asked, or runs one on a host that nobody judges.
package smoke

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
)

// again is how long after one that failed the next is run.
const again = 5 * time.Second

// Test is the question and its answer. New makes one.
type Test struct {
	run   func(context.Context) error
	log   *slog.Logger
	asked chan struct{} // closed when somebody has asked
	ask   func()
	mu    struct {
		sync.Mutex
		why string
	}
}

// New makes a Test that runs a container by run. log nil discards.
func New(run func(context.Context) error, log *slog.Logger) *Test {
	t := &Test{run: run, log: logging.Or(log), asked: make(chan struct{})}
	t.ask = sync.OnceFunc(func() { close(t.asked) })
	t.mu.why = "no smoke container has run yet"
	return t
}

// Why is what is wrong, or "" when one ran and ended well. Being asked is what has one run.
func (t *Test) Why() string {
	t.ask()
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.why
}

// Run runs one when it was asked for, and others until one goes well or ctx ends.
func (t *Test) Run(ctx context.Context) error {
	select {
	case <-t.asked:
	case <-ctx.Done():
		return nil
	}
	for ctx.Err() == nil {
		began := time.Now()
		err := t.run(ctx)
		if ctx.Err() != nil {
			return nil
		}
		t.became(err)
		if err == nil {
			t.log.Info("a smoke container ran and ended well", logging.Took, time.Since(began))
			break
		}
		t.log.Warn("smoke container", logging.Err, err, logging.Took, time.Since(began))
		run.Wait(ctx, again)
	}
	<-ctx.Done()
	return nil
}

func (t *Test) became(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.why = ""; err != nil {
		t.mu.why = "the smoke container: " + strings.ReplaceAll(err.Error(), "\n", "; ")
	}
}
