// Package wallclock is what this machine knows of the time of day.
//
// Owns: whether the wall clock can be believed (the kernel's STA_UNSYNC flag, adjtimex(2)), and how a moment is written for people.
// In: word from who set or checked the clock against another machine's.
// Out: a flag; text: UTC once the clock is known, the time since the kernel's start before.
// Never: sets the clock, or asks anybody what time it is.
package wallclock

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// maxError is how far a confirmed clock may be off, in microseconds. The kernel adds 500 µs a second to it and raises its flag again at 16
// s, after eight hours without another confirmation.
const maxError = 1_000_000

// Known tells whether somebody confirmed the clock since it was last set by guess.
func Known() bool {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	return err == nil && known(state, t.Status)
}

func known(state int, status int32) bool {
	return state != unix.TIME_ERROR && status&unix.STA_UNSYNC == 0
}

// Confirm says that the clock was compared with another machine's and is right. The kernel then keeps the machine's own hardware clock
// right too, where it has one. It needs CAP_SYS_TIME.
func Confirm() error {
	t := unix.Timex{Modes: unix.ADJ_STATUS | unix.ADJ_MAXERROR | unix.ADJ_ESTERROR, Maxerror: maxError, Esterror: maxError}
	if _, err := unix.Adjtimex(&t); err != nil {
		return fmt.Errorf("confirm the clock: %w", err)
	}
	return nil
}

// Stamp is the moment a line on a terminal is written: UTC with milliseconds, or while the clock is not known, seconds since the kernel's
// start in brackets, as the kernel writes them.
func Stamp(now time.Time, up time.Duration, known bool) string {
	if known {
		return now.UTC().Format("2006-01-02 15:04:05.000Z")
	}
	return fmt.Sprintf("[%8.3f]", up.Seconds())
}
