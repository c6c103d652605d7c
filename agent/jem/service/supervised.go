package service

import (
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
)

const (
	hup  = syscall.SIGHUP
	usr1 = syscall.SIGUSR1
	usr2 = syscall.SIGUSR2
	term = syscall.SIGTERM
)

// supervised is the one program of an app container.
type supervised struct {
	pid    int // 1, or the reaper's child
	comm   string
	caught uint64 // signals it has a handler for (proc(5), SigCgt)
	reaper bool   // PID 1 is the host's reaper, which passes signals on
	signal os.Signal
}

func (s supervised) catches(sig os.Signal) bool {
	n, ok := sig.(syscall.Signal)
	return ok && s.caught&(1<<(uint(n)-1)) != 0
}

func (s supervised) send(sig os.Signal) error {
	n, ok := sig.(syscall.Signal)
	if !ok {
		return fmt.Errorf("%v is no signal", sig)
	}
	return syscall.Kill(s.pid, n)
}

// reaperName is what the host's reaper is called; it has no children but the program and what that left behind.
const reaperName = "reaper"

// supervisedIn finds it in a /proc.
func supervisedIn(proc fs.FS) (supervised, error) {
	s, _, err := readProcess(proc, "1")
	if err != nil {
		return s, errNone
	}
	if s.comm != reaperName {
		return s, nil
	}
	entries, err := fs.ReadDir(proc, ".")
	if err != nil {
		return s, fmt.Errorf("list processes: %w", err)
	}
	first := supervised{}
	for _, e := range entries { // the reaper's first child is the program; orphans come later and have higher numbers, as a rule
		child, parent, err := readProcess(proc, e.Name())
		if err == nil && parent == 1 && child.pid != 1 && (first.pid == 0 || child.pid < first.pid) {
			first = child
		}
	}
	if first.pid == 0 {
		return first, errNone
	}
	first.reaper = true
	return first, nil
}

// serverIn finds the first process of a server that the one program has started: what it has started itself is called likewise.
func serverIn(proc fs.FS, name string) (first supervised, there bool) {
	entries, _ := fs.ReadDir(proc, ".")
	for _, e := range entries {
		s, parent, err := readProcess(proc, e.Name())
		if err != nil || !strings.HasPrefix(s.comm, name) || there && s.pid > first.pid {
			continue
		}
		if p, _, err := readProcess(proc, strconv.Itoa(parent)); err != nil || p.comm != s.comm {
			first, there = s, true
		}
	}
	return first, there
}

func readProcess(proc fs.FS, pid string) (s supervised, parent int, err error) {
	if s.pid, err = strconv.Atoi(pid); err != nil {
		return s, 0, err
	}
	raw, err := fs.ReadFile(proc, pid+"/status")
	if err != nil {
		return s, 0, err
	}
	for line := range strings.Lines(string(raw)) {
		k, v, _ := strings.Cut(line, ":")
		v = strings.TrimSpace(v)
		switch k {
		case "Name":
			s.comm = v
		case "PPid":
			parent, _ = strconv.Atoi(v)
		case "SigCgt":
			s.caught, _ = strconv.ParseUint(v, 16, 64)
		}
	}
	return s, parent, nil
}
