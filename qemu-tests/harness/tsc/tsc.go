// Package tsc measures how fast this machine's time stamp counter counts. An emulated processor's counter is the machine's own (QEMU
// 7.2, cpu_get_host_ticks), and a guest's kernel measures it while it boots: on a busy machine it was wrong by a third, and the guest's
// clock ran that much too fast for as long as it was up.
//
// Owns: the measurement.
// In: the counter and the monotonic clock.
// Out: kHz, for the kernel's argument tsc_early_khz (kernel-parameters.txt); 0 where there is no such counter.
// Never: measures twice in a process.
package tsc

import (
	"sync"
	"time"
)

// span is how long is measured for: an error of some microseconds at its ends is one part in ten thousand.
const span = 50 * time.Millisecond

// KHz is the counter's speed, or 0 where it can't be read.
var KHz = sync.OnceValue(func() uint64 {
	if ticks() == 0 {
		return 0
	}
	c1, t1 := now()
	time.Sleep(span) // what passes is measured below
	c2, t2 := now()
	return rate(c2-c1, t2.Sub(t1))
})

// now reads both clocks at one moment: of some readings the one that took least.
func now() (count uint64, at time.Time) {
	best := time.Hour
	for range 100 {
		before := time.Now()
		c := ticks()
		if took := time.Since(before); took < best {
			best, count, at = took, c, before.Add(took/2)
		}
	}
	return count, at
}

func rate(ticks uint64, d time.Duration) uint64 {
	return uint64(float64(ticks) / d.Seconds() / 1000)
}
