package link

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wallclock"
)

// Clock keeps this host's clock good enough for TLS.
type Clock interface {
	Raise()                                            // to the later of build time and last saved time, before any TLS
	Answer(orchestrator time.Time, took time.Duration) // what a verified orchestrator said
}

// SystemClock is the machine's clock. Path holds the last saved time, so that a machine without a battery does not fall back far.
type SystemClock struct {
	Path  string
	Floor time.Time // build time
	Log   *slog.Logger
	Now   func() time.Time      // nil is time.Now
	Set   func(time.Time) error // nil sets the kernel's clock
	Right func()                // told that the clock agrees with the orchestrator's; nil tells the kernel, once
}

// tolerance is how far the clock may be off before it is set; finer is SNTP's business.
const tolerance = time.Second

func (c *SystemClock) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

func (c *SystemClock) set(t time.Time, reason string) {
	f := c.Set
	if f == nil {
		f = func(t time.Time) error {
			tv := unix.NsecToTimeval(t.UnixNano())
			return unix.Settimeofday(&tv)
		}
	}
	was := c.now()
	if err := f(t); err != nil {
		logging.Or(c.Log).Error("set clock", logging.Err, err)
		return
	}
	logging.Or(c.Log).Warn("clock set", "from", was, "to", t, logging.Reason, reason)
}

// Raise never moves the clock back.
func (c *SystemClock) Raise() {
	floor, reason := c.Floor, "before the image was built"
	if saved, err := c.saved(); err == nil && saved.After(floor) {
		floor, reason = saved, "before the time saved last"
	}
	if c.now().Before(floor) {
		c.set(floor, reason)
	}
}

// Answer sets the clock when the orchestrator's differs by more than tolerance; half the round trip is taken as its age.
func (c *SystemClock) Answer(there time.Time, took time.Duration) {
	if there.IsZero() || took > 5*time.Second {
		return
	}
	there = there.Add(took / 2)
	if off := there.Sub(c.now()); off.Abs() > tolerance+took/2 {
		c.set(there, "the orchestrator's clock differs by "+off.Round(time.Millisecond).String())
	}
	c.right()
}

// right tells the kernel, while it does not know, that the clock is right.
func (c *SystemClock) right() {
	if c.Right != nil {
		c.Right()
		return
	}
	if wallclock.Known() {
		return
	}
	if err := wallclock.Confirm(); err != nil {
		logging.Or(c.Log).Debug("the clock's state is not told", logging.Err, err)
	}
}

func (c *SystemClock) saved() (time.Time, error) {
	raw, err := os.ReadFile(c.Path)
	if err != nil {
		return time.Time{}, err
	}
	return time.Parse(time.RFC3339, strings.TrimSpace(string(raw)))
}

// Keep saves the time every ten minutes and at the end: a task.
func (c *SystemClock) Keep(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(c.Path), 0o700); err != nil {
		return fmt.Errorf("save time: %v", err)
	}
	for {
		if err := keep.WriteFile(c.Path, []byte(c.now().UTC().Format(time.RFC3339)+"\n"), 0o600); err != nil &&
			!errors.Is(err, fs.ErrNotExist) {
			logging.Or(c.Log).Warn("save time", logging.Err, err)
		}
		if ctx.Err() != nil {
			return nil
		}
		run.Wait(ctx, 10*time.Minute)
	}
}
