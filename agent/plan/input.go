package plan

import (
	"fmt"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// Seen is one container as it is on this host.
type Seen struct {
	CTID       wire.CTID
	Generation int64 // 0: nothing is left of one but volumes, or it is not known
	Boot       int64 // host.Container.Boot it was started with; that of what does not run counts for nothing
	Running    bool
	Orphan     bool      // processes nobody supervises: they must end before anything else
	Started    time.Time // of the last start
	Exited     time.Time // of the last exit; zero when it runs, was stopped or never run
	ExitCode   int
	Restarts   int    // starts of this generation after the first
	Drift      string // which limits of the kernel are not the wanted ones; "" when all are
	Trouble    string // what could not be seen of it, and why
	Memory     Memory
	Booting    bool     // a full OS that has yet to say that it is ready
	Volumes    []string // that are on disk
	Left       Left     // how it ended itself, when it has exited
}

// Left is how a full OS ended by its own will.
type Left string

// The ways; "" is any other end.
const (
	LeftReboot   Left = "reboot"
	LeftPowerOff Left = "poweroff"
)

// Memory is how a container came to be short of memory.
type Memory struct {
	Times int64     // how often within MemoryNews; 0: not
	Last  string    // the last time in words: process, size, limit
	At    time.Time // of the last time; zero when it is not known
	Ended bool      // it is why the container exited
}

// MemoryNews is how long what ran out of memory is news: in the container's status and among the host's problems.
const MemoryNews = time.Hour

// News is what is to be told now of a container that was out of memory, "" for nothing.
func (m Memory) News(now time.Time) string {
	switch {
	case m.Times == 0 || now.Sub(m.At) > MemoryNews:
		return ""
	case m.Times == 1:
		return m.Last
	}
	return fmt.Sprintf("%s; %d times within an hour", m.Last, m.Times)
}

// Image is an image as it is on this host.
type Image struct {
	Present bool
	Err     string    // why the last fetch failed
	Wrong   bool      // the content did not match the digest
	RetryAt time.Time // when to try again
}

// History is what happened to one generation of a container.
type History struct {
	Generation int64
	Boot       int64     // of the last start
	Short      int       // runs in a row that ended within MinRun, or starts that failed
	StartErr   string    // why the last start failed; "" when it succeeded
	StopErr    string    // why the last stop or remove failed
	FailedAt   time.Time // when StartErr or StopErr happened
	Permanent  bool      // StartErr can't go away until Work changes
}

// Health is what the container's check last said.
type Health struct {
	Checked bool // a check has finished since the last start
	OK      bool
	Reason  string
}

// Input is the world as one call sees it.
type Input struct {
	Work    *host.Work // nil: no Assignment has ever been seen, so nothing is touched
	Seen    map[wire.CTID]Seen
	Images  map[wire.Digest]Image
	History map[wire.CTID]History
	Health  map[wire.CTID]Health
	Now     time.Time
	// Leaving says why the machine is being left; "": it is not. Then everything that runs is stopped, and nothing is started.
	Leaving string
}
