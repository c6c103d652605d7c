// Package leaving is the way out of a machine: steps that cannot hold each other up, whatever they wait for.
//
// Owns: the bound of each step, and that of all of them.
// In: a table of steps, in order, and where to say things.
// Out: a line for each step that did not end in time or failed; the last step's end, if it has one.
// Never: knows what a step does, or waits for one in the goroutine that it was called in.
package leaving

import (
	"fmt"
	"time"
)

// Step is one row of the way out.
type Step struct {
	Name string
	// Within bounds the step. A system call that waits for a dead disk can't be interrupted: its goroutine is left behind then.
	Within time.Duration
	Do     func() error
}

// least is what a step gets though the time of all of them is over: one that has no need to wait is done in that.
const least = time.Second

// Run carries the steps out, in order, all of them within about limit: a step that comes late gets what is left, or least.
func Run(table []Step, limit time.Duration, say func(format string, args ...any)) {
	end := time.Now().Add(limit)
	for _, s := range table {
		if err := Within(min(s.Within, max(least, time.Until(end))), s.Do); err != nil {
			say("%s: %v; going on", s.Name, err)
		}
	}
}

// Last carries out steps that have no end when they do what they shall, each a harder one than the last: the first that returns, or does
// not end the machine in time, is followed by the next. It returns when there is no other.
func Last(table []Step, say func(format string, args ...any)) {
	for _, s := range table {
		err := Within(s.Within, s.Do)
		if err == nil { // the kernel took it, and is at it
			err = Within(s.Within, func() error { select {} })
		}
		say("%s: %v", s.Name, err)
	}
}

// Within is do's error, or that it was not done in time: do goes on then, and nobody waits for it.
func Within(limit time.Duration, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("not done after %s", limit.Round(time.Millisecond))
	}
}
