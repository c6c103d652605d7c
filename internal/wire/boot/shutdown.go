package boot

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// ShutdownFile exists while the machine is being left: the agent tells an ordered end of the host from a restart of its own by it.
const ShutdownFile = RunDir + "/shutdown"

// BootsFile is the last boots of this host and why they came, the newest first: JSON, []upkeep.Boot, written by init. CrashFile is the text
// of what a kernel of this host said last, if one was kept: that of the newest of them with Crash.
const (
	BootsFile = RunDir + "/boots.json"
	CrashFile = StateDir + "/crash.txt"
)

// StopContainers is how long all containers of a host together may take to end when the machine is left; those that have not ended by then
// are killed. Each has the time of its template too, whichever is less.
const StopContainers = 90 * time.Second

// Shutdown is the document of ShutdownFile.
type Shutdown struct {
	What   string `json:"what"`         // "reboot", "poweroff" or "kexec"
	Reason string `json:"reason"`       // why, or what asked for it
	By     string `json:"by,omitempty"` // who ordered it from outside the machine
	// Began is when, in milliseconds since the kernel's start, sleep included; 0: not known. The time of the containers counts from then:
	// an agent that takes up what another one has begun has what is left of it.
	Began int64 `json:"beganMs,omitempty"`
}

// Left is how much of StopContainers is left when the kernel has run for uptime.
func (s Shutdown) Left(uptime time.Duration) time.Duration {
	if s.Began <= 0 {
		return StopContainers
	}
	past := uptime - time.Duration(s.Began)*time.Millisecond
	return StopContainers - min(max(0, past), StopContainers)
}

// ReadShutdown reads a ShutdownFile; nil: the machine is not being left.
func ReadShutdown(path string) (*Shutdown, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read why the machine is left: %v", err)
	}
	var s Shutdown
	if err := json.Unmarshal(raw, &s); err != nil {
		return &Shutdown{What: "shutdown", Reason: "unknown"}, nil // it is there: that is what counts
	}
	return &s, nil
}
