package supervise

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// promise is what one run of a service owes: to say that it is ready, and then to beat.
type promise struct {
	began time.Time
	ready time.Duration // how long it may take to say that it is ready; 0: as long as it likes
	beat  time.Duration // how long it may be silent once it is; 0: it promised nothing
	asked bool          // silence counts only while somebody waits for it

	isReady bool
	last    time.Time // what it is silent since: its last beat, or when somebody began to wait
	waits   time.Time // when somebody was last known to wait
}

// hear takes in what the service said; true: it is ready, and was not before.
func (p *promise) hear(m message, now time.Time) (first bool) {
	if m.Interval > 0 {
		p.beat = m.Interval
	}
	if m.Beat || m.Ready {
		p.last = now
	}
	first = m.Ready && !p.isReady
	p.isReady = p.isReady || m.Ready
	return first
}

// wanted: somebody waits for it now, and somebody has all the time since then: its silence counts from there.
func (p *promise) wanted(since, now time.Time) {
	if since.After(p.last) {
		p.last = since
	}
	p.waits = now
}

// slack is how many times as long a service that is asked may be silent while it has the processor or waits for it: a machine that is too
// busy to let it answer has no more of another process, which must be started first.
const slack = 4

// broken says which promise is broken; "": none. busy tells whether the service has the processor, or would have it.
func (p *promise) broken(now time.Time, busy func() bool) string {
	silent := now.Sub(p.last)
	switch {
	case !p.isReady && p.ready > 0 && now.Sub(p.began) > p.ready:
		return fmt.Sprintf("not ready after %s", p.ready)
	case !p.isReady || p.beat == 0 || silent <= p.beat:
		return ""
	case p.asked && now.Sub(p.waits) > p.beat: // nobody waits any more
		return ""
	case p.asked && silent <= slack*p.beat && busy():
		return ""
	}
	return fmt.Sprintf("hung: no WATCHDOG=1 for %s", silent.Round(time.Millisecond))
}

// busy tells whether a thread of a process runs, could, or waits for memory that is read from a disk (proc_pid_stat(5)): one that is
// stopped, or waits for itself, has none.
func busy(pid int) bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, path := range threads {
		b, _ := os.ReadFile(path)
		rest := b[bytes.LastIndexByte(b, ')')+1:] // a name may have anything in it
		if bytes.HasPrefix(rest, []byte(" R")) || bytes.HasPrefix(rest, []byte(" D")) {
			return true
		}
	}
	return false
}

// look is how long after now a promise can be broken at the earliest, if nothing is heard until then; an hour at most.
func (p *promise) look(now time.Time) time.Duration {
	const never = time.Hour
	end := now.Add(never)
	switch {
	case !p.isReady && p.ready > 0:
		end = p.began.Add(p.ready)
	case p.isReady && p.beat > 0 && !p.asked:
		end = p.last.Add(p.beat)
	}
	return min(max(end.Sub(now), 0)+time.Millisecond, never)
}
