// Package nodecall is what is asked of one container beside commands, logs and JEM's actions: host calls that are sessions.
//
// Owns: the questions, their limits, and the lines that a question about use is answered with.
// In: what a person asks through the API; documents of a neighbouring version.
// Out: checked values.
// Never: knows how a host answers, or who may ask.
//
// History: 2026-11-27 the first ones; Console; Backup and TakeBack; Sample.NetIn, NetOut and Strain.
package nodecall

import (
	"fmt"
	"time"

	"hardnode.dev/internal/wire/backup"
	"hardnode.dev/internal/wire/strain"
)

// Ask is one question; exactly one of its parts is set.
type Ask struct {
	Restart *Restart `json:"restart,omitempty"`
	Forward *Forward `json:"forward,omitempty"`
	Top     *Top     `json:"top,omitempty"`
	Console *Console `json:"console,omitempty"`
	// Backup sends a backup on stdout; TakeBack makes a snapshot of those on stdin.
	Backup   *backup.Create `json:"backup,omitempty"`
	TakeBack *backup.Take   `json:"takeBack,omitempty"`
}

// Restart stops the container in its time and has it started again; the session ends when it has stopped.
type Restart struct{}

// Forward carries the session's stdin and stdout to a TCP port inside the container, on its loopback or its own address.
type Forward struct {
	Port uint16 `json:"port"`
}

// Top asks what the container uses: a Sample as one line of JSON, and another one each time, until the session is closed.
type Top struct {
	Every int `json:"every,omitempty"` // seconds between samples, 1 to MaxEvery; 0 is 2
	Count int `json:"count,omitempty"` // samples, then the session ends; 0 is no end
}

// Console carries the session to the console of a full OS: what it says from now on, and what is typed. Several may be there at once.
type Console struct {
	Rows uint16 `json:"rows,omitempty"` // of the person's terminal; 0 leaves it as it is
	Cols uint16 `json:"cols,omitempty"`
	// an app container, which has no console and nothing at its stdin, shows what it writes from now on instead
	Follow bool `json:"follow,omitempty"`
}

// MaxEvery is the longest time between two samples, in seconds.
const MaxEvery = 60

// Pause is the time between samples.
func (t Top) Pause() time.Duration {
	if t.Every == 0 {
		return 2 * time.Second
	}
	return time.Duration(t.Every) * time.Second
}

// Validate says what is wrong with a question, or nil.
func (a Ask) Validate() error {
	n := 0
	for _, set := range []bool{a.Restart != nil, a.Forward != nil, a.Top != nil, a.Console != nil, a.Backup != nil,
		a.TakeBack != nil} {
		if set {
			n++
		}
	}
	switch {
	case n != 1:
		return fmt.Errorf("the question has %d parts that this host knows, want one: update its release", n)
	case a.Forward != nil && a.Forward.Port == 0:
		return fmt.Errorf("port 0: want 1 to 65535")
	case a.Top != nil && (a.Top.Every < 0 || a.Top.Every > MaxEvery):
		return fmt.Errorf("every %d seconds: want 1 to %d", a.Top.Every, MaxEvery)
	case a.Top != nil && a.Top.Count < 0:
		return fmt.Errorf("%d samples: want 0, which is no end, or more", a.Top.Count)
	case a.Backup != nil:
		return a.Backup.Validate()
	case a.TakeBack != nil:
		return a.TakeBack.Validate()
	}
	return nil
}

// Sample is what a container has used by a moment. Counters begin with its start.
type Sample struct {
	At        time.Time `json:"at"`
	CPUMicros int64     `json:"cpuMicros"` // counter, µs of one processor
	CPUMax    int64     `json:"cpuMax"`    // µs of CPU time in 100 ms that it may use; 0 is no limit
	Memory    int64     `json:"memory"`    // bytes, what it caches of files too
	MemoryMax int64     `json:"memoryMax"` // bytes; 0 is no limit
	PIDs      int64     `json:"pids"`
	PIDsMax   int64     `json:"pidsMax"`          // 0 is no limit
	Read      int64     `json:"read"`             // counter, bytes from disks
	Written   int64     `json:"written"`          // counter, bytes to disks
	NetIn     int64     `json:"netIn,omitempty"`  // counter, bytes that came to it
	NetOut    int64     `json:"netOut,omitempty"` // counter, bytes that it sent
	// Strain is what it lacks; its counters are those since its last start.
	Strain    strain.Strain `json:"strain,omitzero"`
	Processes []Process     `json:"processes"`
	More      int           `json:"more,omitempty"` // processes that are not listed
}

// MaxProcesses is how many of them a Sample lists.
const MaxProcesses = 500

// Process is one of the container's, commands of `node exec` too.
type Process struct {
	PID       int    `json:"pid"`  // inside
	UID       int64  `json:"uid"`  // inside; -1 if it has none there
	Name      string `json:"name"` // of its program, 15 bytes at most, as it has set it itself
	State     string `json:"state"`
	CPUMicros int64  `json:"cpuMicros"` // counter
	Memory    int64  `json:"memory"`    // resident bytes
	Threads   int    `json:"threads"`
}
