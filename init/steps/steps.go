// Package steps runs a boot as a table of rows.
//
// Owns: the order, the deadline of each row, what a failure means, and the account of what happened.
// In: rows; a clock since kernel start; where to say things.
// Out: one line and one boot.StepStatus a row; the first fatal failure.
// Never: knows what a row does.
package steps

import (
	"context"
	"fmt"
	"sync"
	"time"

	"hardnode.dev/internal/wire/boot"
)

// Step is one row.
type Step struct {
	Name string
	// Fatal: without it the host is of no use; the boot ends here.
	Fatal bool
	// Deadline bounds the row; 0: it waits for a person, as long as it takes.
	Deadline time.Duration
	// Run does it and may return a few words for the log.
	Run func(ctx context.Context) (note string, err error)
}

// Failure is the error of a fatal row.
type Failure struct {
	Step string
	Err  error
}

func (f *Failure) Error() string { return fmt.Sprintf("boot step %s: %v", f.Step, f.Err) }
func (f *Failure) Unwrap() error { return f.Err }

// Runner carries rows out and remembers them.
type Runner struct {
	Uptime func() time.Duration
	Say    func(format string, args ...any)
	mu     struct {
		sync.Mutex
		done []boot.StepStatus
	}
}

// Account is what has been done so far.
func (r *Runner) Account() []boot.StepStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]boot.StepStatus{}, r.mu.done...)
}

// Run carries the rows out, top to bottom. It returns a *Failure for the first fatal row that fails, or ctx's error.
func (r *Runner) Run(ctx context.Context, table []Step) error {
	for _, s := range table {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		began := r.Uptime()
		note, err := bounded(ctx, s)
		took := r.Uptime() - began
		status := boot.StepStatus{Name: s.Name, Millis: took.Milliseconds(), At: r.Uptime().Milliseconds()}
		switch {
		case err != nil:
			status.Err = err.Error()
			r.Say("step %s: %v (%d ms)", s.Name, err, took.Milliseconds())
		case note != "":
			r.Say("step %s: %s (%d ms)", s.Name, note, took.Milliseconds())
		default:
			r.Say("step %s: done (%d ms)", s.Name, took.Milliseconds())
		}
		r.mu.Lock()
		r.mu.done = append(r.mu.done, status)
		r.mu.Unlock()
		if err != nil && s.Fatal && ctx.Err() == nil {
			return &Failure{s.Name, err}
		}
	}
	return ctx.Err()
}

// bounded runs a row within its deadline. A system call that hangs can't be interrupted: then its goroutine is left behind, which only
// a boot that has failed or lost a minor row ever sees.
func bounded(ctx context.Context, s Step) (string, error) {
	if s.Deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.Deadline)
		defer cancel()
	}
	type result struct {
		note string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		var res result
		defer func() {
			if p := recover(); p != nil {
				res.err = fmt.Errorf("panic: %v", p)
			}
			done <- res
		}()
		res.note, res.err = s.Run(ctx)
	}()
	select {
	case res := <-done:
		return res.note, res.err
	case <-ctx.Done():
	}
	grace := time.NewTimer(200 * time.Millisecond) // most rows see ctx and can say more
	defer grace.Stop()
	select {
	case res := <-done:
		return res.note, res.err
	case <-grace.C:
		if s.Deadline > 0 && context.Cause(ctx) == context.DeadlineExceeded {
			return "", fmt.Errorf("not done after %s", s.Deadline)
		}
		return "", ctx.Err()
	}
}
