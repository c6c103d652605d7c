// Package sntp sets the clock from the configured time servers, as far as they answer.
//
// Owns: when a server is asked, and when its answer moves the clock.
// In: server names; the clock.
// Out: a set clock, and word that it is right; silence when there is no server or no answer (TLS works on the clock init raised).
// Never: moves the clock back before the floor init set, or believes an answer that fails the protocol's checks.
package sntp

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/beevik/ntp"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
)

const (
	tooFar   = 100 * time.Millisecond // a clock this close is left alone
	every    = 15 * time.Minute
	retryMin = 2 * time.Second
	retryMax = 5 * time.Minute
	answer   = 3 * time.Second
)

// move decides the clock's new value; ok is false when it stays.
func move(now time.Time, offset time.Duration, floor time.Time) (to time.Time, ok bool) {
	if offset.Abs() < tooFar {
		return now, false
	}
	to = now.Add(offset)
	return to, !to.Before(floor)
}

// Servers are whom to ask, and a channel that is closed when they may be others.
type Servers = func() (names []string, changed <-chan struct{})

// Keep asks the servers in turn until ctx ends, others at once. set sets the clock, and right tells that it agrees with a server; floor is
// the earliest time that can be.
func Keep(ctx context.Context, log *slog.Logger, servers Servers, floor time.Time, set func(time.Time) error, right func() error) error {
	log = logging.Or(log)
	var last []string
	for n := 0; ; {
		names, changed := servers()
		if !slices.Equal(names, last) {
			n, last = 0, names
		}
		if len(names) == 0 {
			if !until(ctx, changed, nil) {
				return nil
			}
			continue
		}
		offset, server, err := ask(names)
		wait := time.Duration(0)
		if err != nil {
			if n == 0 {
				log.Warn("no time server answers", logging.Err, err)
			}
			wait = run.Backoff(n, retryMin, retryMax, rand.Float64())
			n++
		} else {
			n, wait = 0, every
			to, moved := move(time.Now(), offset, floor)
			if moved {
				if err := set(to); err != nil {
					return err
				}
				log.Info("clock set", "server", server, "offset", offset)
			}
			if moved || offset.Abs() < tooFar {
				if err := right(); err != nil {
					return err
				}
			}
		}
		timer := time.NewTimer(wait)
		on := until(ctx, changed, timer.C)
		timer.Stop()
		if !on {
			return nil
		}
	}
}

// until waits for other servers or for the time; false when ctx ends.
func until(ctx context.Context, changed <-chan struct{}, due <-chan time.Time) bool {
	select {
	case <-ctx.Done():
		return false
	case <-changed:
	case <-due:
	}
	return true
}

func ask(servers []string) (offset time.Duration, server string, err error) {
	for _, server = range servers {
		var r *ntp.Response
		r, err = ntp.QueryWithOptions(server, ntp.QueryOptions{Timeout: answer})
		if err == nil {
			err = r.Validate()
		}
		if err == nil {
			return r.ClockOffset, server, nil
		}
		err = fmt.Errorf("ask time server %s: %w", server, err)
	}
	return 0, "", err
}
