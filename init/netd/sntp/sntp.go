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

// Keep asks the servers in turn until ctx ends. set sets the clock, and right tells that it agrees with a server; floor is the earliest
// time that can be.
func Keep(ctx context.Context, log *slog.Logger, servers []string, floor time.Time, set func(time.Time) error, right func() error) error {
	log = logging.Or(log)
	if len(servers) == 0 {
		return nil
	}
	for n := 0; ; {
		offset, server, err := ask(servers)
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
		if !run.Wait(ctx, wait) {
			return nil
		}
	}
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
