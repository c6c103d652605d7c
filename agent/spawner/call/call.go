// Package call is what the agent and the spawner say to each other over boot.SpawnerSocket.
//
// Owns: the messages, their framing (a length, JSON, descriptors beside it), their limits, and the client.
// In: typed requests and open descriptors.
// Out: typed replies and descriptors that the receiver owns; errors that carry the spawner's words.
// Never: decides anything, or trusts a peer that is not root.
//
// History: 2026-11-22 version 1. 2026-11-25 Start.Shared, Process.Groups; Exec.Own, Exec.Beside; Start.RunTexts, and a
// console for System. 2026-11-26 Start.Generation for Fresh, Record.Generation. 2026-11-27 Start.Handed,
// Console, Start.View, Rest.
package call

import (
	"encoding/json"
	"fmt"
	"time"
)

// Request is one message to the spawner; exactly one of its parts is set. A connection carries one request; a Start is followed by Go.
type Request struct {
	Start   *Start   `json:"start,omitempty"`
	Go      *Go      `json:"go,omitempty"`
	Exec    *Exec    `json:"exec,omitempty"`
	Signal  *Signal  `json:"signal,omitempty"`
	Forget  *Forget  `json:"forget,omitempty"`
	List    *List    `json:"list,omitempty"`
	Wait    *Wait    `json:"wait,omitempty"`
	Console *Console `json:"console,omitempty"`
	Rest    *Rest    `json:"rest,omitempty"`
}

// Reply answers a Request. Err is set when it failed, with Code telling why where the caller may care.
type Reply struct {
	Err        string   `json:"err,omitempty"`
	Code       Code     `json:"code,omitempty"`
	PID        int      `json:"pid,omitempty"`        // Exec
	Containers []Record `json:"containers,omitempty"` // List; Go: the one that runs now
	Seq        int64    `json:"seq,omitempty"`        // Wait: number of the last end told; List: of the last one so far
	Ended      []string `json:"ended,omitempty"`      // Wait: ids whose process ended
	State      string   `json:"state,omitempty"`      // List of all: what the records are as now; another one after each change
	Same       bool     `json:"same,omitempty"`       // List: State is the one that was asked with, so that there are no Containers
	Exit       *Exit    `json:"exit,omitempty"`       // Exec: the second and last message
}

// Code is why a request failed.
type Code string

// The codes.
const (
	CodeRunning    Code = "running"     // a container of that id runs already
	CodeNotRunning Code = "not_running" // no container of that id runs
	CodeProgram    Code = "program"     // the container's own program or image is at fault; Exit has 126 or 127 for Exec
	CodeInvalid    Code = "invalid"     // the request makes no sense
	CodeSystem     Code = "system"      // the kernel refused something that should work
)

// Start makes a container's first process and lets it run in two messages. Its descriptors, in this order: delegated cgroup directory,
// lower layer (attached nowhere), layer subvolume (likewise, holding "u" and "w"), then one for each Mount, then those handed to the
// program. The first reply carries
// two: the user namespace, which maps ids 0–65535 to Base…, and the network namespace. The process waits while the caller maps the
// mounts' ids and connects the network; Go lets it run, and the second reply comes when the program has been executed. Closing the
// connection before ends the process.
type Start struct {
	ID      string          `json:"id"`
	Note    json.RawMessage `json:"note"`    // the agent's own, given back by List
	Scratch string          `json:"scratch"` // a directory of the host to work on inside the new mount namespace, e.g. /run/hardnode
	IDs
	LogDir     string  `json:"logDir"`               // where its output is kept
	Fresh      bool    `json:"fresh"`                // the count of starts begins again; said by agents from before Generation
	Generation int64   `json:"generation,omitempty"` // so it does with a new one
	Hostname   string  `json:"hostname"`             //
	Dirs       []Dir   `json:"dirs,omitempty"`       // made below /run, which is a new tmpfs
	Texts      []Text  `json:"texts,omitempty"`
	RunTexts   []Text  `json:"runTexts,omitempty"` // files below /run; Dirs has the directories they need
	Mounts     []Mount `json:"mounts,omitempty"`
	// a full OS: writable cgroups and /proc/sys, and a /dev/console whose output is kept as stdout
	System  bool     `json:"system,omitempty"`
	Sysctls []Sysctl `json:"sysctls,omitempty"`
	Reaper  bool     `json:"reaper,omitempty"`
	Handed  int      `json:"handed,omitempty"` // descriptors that the program has from 3 on, at most MaxHanded
	View    string   `json:"view,omitempty"`   // directory of the host with what it sees of itself in /proc (agent/procview); "" for none
	Shared  int64    `json:"shared,omitempty"` // bytes of /dev/shm and of /run; 0 is the kernel's default, half of the host's memory
	Process
}

// Go lets the process of a Start run.
type Go struct{}

// Process is what is executed and how it is confined; Start and Exec share it.
type Process struct {
	Argv       []string `json:"argv"`
	Env        []string `json:"env"`
	Path       []string `json:"path"` // directories to look argv[0] up in when it has no slash
	Cwd        string   `json:"cwd"`
	UID        uint32   `json:"uid"`
	GID        uint32   `json:"gid"`
	Groups     []uint32 `json:"groups,omitempty"` // supplementary
	Caps       uint64   `json:"caps"`             // bounding, permitted and effective set; inheritable and ambient are empty
	NoNewPrivs bool     `json:"noNewPrivs"`
	Seccomp    []byte   `json:"seccomp"` // struct sock_filter array
	NoFile     [2]int64 `json:"noFile"`  // RLIMIT_NOFILE soft, hard
	OOMAdjust  int      `json:"oomAdjust"`
}

// Dir is a directory below /run of the container, parents first.
type Dir struct {
	Path string `json:"path"` // relative to /run
	Mode uint32 `json:"mode"`
	UID  uint32 `json:"uid"`
	GID  uint32 `json:"gid"`
}

// Text is a file written at each start, in place of whatever the image has there.
type Text struct {
	Name string `json:"name"` // in /etc, or relative to /run
	Data []byte `json:"data"`
}

// Mount attaches a descriptor's mount at Path inside.
type Mount struct {
	Path  string `json:"path"` // absolute inside; parents are made
	File  bool   `json:"file,omitempty"`
	Early bool   `json:"early,omitempty"` // before /proc, /dev, /sys and /run are mounted: volumes
}

// Sysctl is one typed kernel setting, from a fixed list of the agent.
type Sysctl struct {
	Path  string `json:"path"` // relative to /proc/sys
	Value string `json:"value"`
}

// Exec runs a command in a container, if it still runs as process PID. Its descriptors: cgroup directory, stdin, stdout, stderr. Two
// replies come: PID or an error, then Exit. Closing the connection before that kills the command, with Own all in its cgroup.
type Exec struct {
	ID  string `json:"id"`
	PID int    `json:"pid"`
	TTY bool   `json:"tty,omitempty"` // stdin is a terminal that becomes the controlling one
	Own bool   `json:"own,omitempty"` // the cgroup is this command's alone
	// Beside: the cgroup is not below the container's, so the command gets a cgroup namespace of its own. It finds the limits of the
	// container where it is told to be, at the top of /sys/fs/cgroup.
	Beside bool `json:"beside,omitempty"`
	Process
}

// Exit is how a process ended; Code is 128+n after signal n.
type Exit struct {
	Code int `json:"code"`
}

// Signal sends a signal to a container's PID 1.
type Signal struct {
	ID     string `json:"id"`
	Signal int    `json:"signal"`
}

// Forget drops the record of a container that does not run.
type Forget struct {
	ID string `json:"id"`
}

// List asks for all records, or for one; for none of all if they are as they were when the reply had this State.
type List struct {
	ID    string `json:"id,omitempty"`
	State string `json:"state,omitempty"`
}

// Wait asks for ends after Seq and is answered when there is one, or after 30 s with none.
type Wait struct {
	Seq int64 `json:"seq"`
}

// Console joins the console of a running system container. Its descriptor is the writing end of a pipe that gets what the console says from
// now on, as far as it is read; the reply comes with the end of the terminal that what is typed is written to, and its size is set at.
type Console struct {
	ID string `json:"id"`
}

// Rest has all processes of a container stand still. Its descriptor is the container's cgroup directory. Two replies come: that none of
// them runs any more, or why not; and that they go on, when the caller has closed its half of the connection. A caller that is killed
// closes it too, and after LongestRest they go on in any case: the second reply is an error then.
type Rest struct {
	ID string `json:"id"`
}

// StillWithin is how long processes may take to stand still, LongestRest how long they do at most.
const (
	StillWithin = time.Second
	LongestRest = 2 * time.Second
)

// Record is a container as the spawner knows it.
type Record struct {
	ID         string          `json:"id"`
	Note       json.RawMessage `json:"note"`
	PID        int             `json:"pid"` // 0 when it does not run
	LogDir     string          `json:"logDir"`
	Started    time.Time       `json:"started"`
	Ended      time.Time       `json:"ended,omitzero"`
	Code       int             `json:"code"`
	Known      bool            `json:"known"`                // Code is known; false when another process became its parent
	Starts     int             `json:"starts"`               // of this generation
	Generation int64           `json:"generation,omitempty"` // of the last start
}

// Validate says what is wrong with a request, or nil.
func (r *Request) Validate() error {
	n := 0
	for _, set := range []bool{r.Start != nil, r.Go != nil, r.Exec != nil, r.Signal != nil, r.Forget != nil, r.List != nil, r.Wait != nil,
		r.Console != nil, r.Rest != nil} {
		if set {
			n++
		}
	}
	switch {
	case n != 1:
		return fmt.Errorf("request: has %d parts, want one", n)
	case r.Start != nil:
		return r.Start.validate()
	case r.Exec != nil && r.Exec.ID == "":
		return fmt.Errorf("exec: has no id")
	case r.Exec != nil:
		return r.Exec.Process.validate("exec " + r.Exec.ID)
	case r.Signal != nil && (r.Signal.Signal < 1 || r.Signal.Signal > 64):
		return fmt.Errorf("signal %d: want 1 to 64", r.Signal.Signal)
	}
	return nil
}

func (s *Start) validate() error {
	what := "start " + s.ID
	switch {
	case s.ID == "":
		return fmt.Errorf("start: has no id")
	case s.IDs.Validate() != nil:
		return fmt.Errorf("%s: %v", what, s.IDs.Validate())
	case s.Scratch == "" || s.Scratch[0] != '/':
		return fmt.Errorf("%s: scratch %q: want an absolute path", what, s.Scratch)
	case s.LogDir == "" || s.LogDir[0] != '/':
		return fmt.Errorf("%s: log directory %q: want an absolute path", what, s.LogDir)
	case s.View != "" && s.View[0] != '/':
		return fmt.Errorf("%s: view %q: want an absolute path", what, s.View)
	case s.Shared < 0:
		return fmt.Errorf("%s: %d bytes of shared memory: want 0 or more", what, s.Shared)
	case s.Handed < 0 || s.Handed > MaxHanded:
		return fmt.Errorf("%s: hands %d descriptors to its program, want 0 to %d", what, s.Handed, MaxHanded)
	case len(s.Mounts) > maxFDs-startFDs-s.Handed:
		return fmt.Errorf("%s: has %d mounts, at most %d are allowed", what, len(s.Mounts), maxFDs-startFDs-s.Handed)
	}
	for _, m := range s.Mounts {
		if m.Path == "" || m.Path[0] != '/' {
			return fmt.Errorf("%s: mount %q: want an absolute path", what, m.Path)
		}
	}
	for _, id := range append([]uint32{s.UID, s.GID}, s.Groups...) {
		if _, ok := s.Host(id); !ok {
			return fmt.Errorf("%s: user %d:%d, groups %v: the container has no id %d", what, s.UID, s.GID, s.Groups, id)
		}
	}
	return s.Process.validate(what)
}

func (p *Process) validate(what string) error {
	switch {
	case len(p.Argv) == 0 || p.Argv[0] == "":
		return fmt.Errorf("%s: has no program", what)
	case p.UID == 1<<32-1 || p.GID == 1<<32-1:
		return fmt.Errorf("%s: user %d:%d: want ids up to 2^32-2", what, p.UID, p.GID)
	case len(p.Seccomp)%8 != 0 || len(p.Seccomp) > 4096*8:
		return fmt.Errorf("%s: seccomp program has %d bytes, want a multiple of 8 up to 32768", what, len(p.Seccomp))
	}
	for _, list := range [][]string{p.Argv, p.Env, p.Path, {p.Cwd}} {
		for _, s := range list {
			for i := range len(s) {
				if s[i] == 0 {
					return fmt.Errorf("%s: %q holds a zero byte", what, s)
				}
			}
		}
	}
	return nil
}

// startFDs is how many descriptors Start has before those of its mounts; maxFDs is the kernel's limit for one message (SCM_MAX_FD).
const (
	startFDs = 3
	maxFDs   = 253
)

// MaxHanded is the most descriptors that a program is handed.
const MaxHanded = 8

// FDs says how many descriptors must come with the request.
func (r *Request) FDs() int {
	switch {
	case r.Start != nil:
		return startFDs + len(r.Start.Mounts) + r.Start.Handed
	case r.Exec != nil:
		return 4
	case r.Console != nil, r.Rest != nil:
		return 1
	}
	return 0
}
