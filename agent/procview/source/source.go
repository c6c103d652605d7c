// Package source reads what the kernel says of one container and of the host.
//
// Owns: which files the figures come from; how long the host's own are good for.
// In: the container's cgroup, whose limits and counts are root's, and the host's /proc.
// Out: render.Values; the container's own pressure.
// Never: writes anything, or reads a path that a container could have made.
package source

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/procview/load"
	"hardnode.dev/agent/procview/render"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
)

// Need is what of Values somebody wants to know. Each costs reading.
type Need uint8

// The needs.
const (
	Memory Need = 1 << iota
	CPU         // and Up
	Load
	Disks
)

// hostFor is how long figures of the host are good for: they hardly ever change, and a large machine needs milliseconds to say them.
const hostFor = time.Minute

// Source reads. Make one with New. Its methods may be called at once.
type Source struct {
	cgroup, proc string
	loads        *load.Table

	mu struct {
		sync.Mutex
		host render.Host
		when time.Time
	}
}

// New makes a Source of the containers whose cgroups are in cgroup.
func New(cgroup, proc string, loads *load.Table) *Source {
	return &Source{cgroup: cgroup, proc: proc, loads: loads}
}

// Exists tells whether a container has a cgroup.
func (s *Source) Exists(id wire.CTID) bool {
	st, err := os.Stat(filepath.Join(s.cgroup, id.String()))
	return err == nil && st.IsDir()
}

// Pressure is a container's own: which is cpu, io or memory.
func (s *Source) Pressure(id wire.CTID, which string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(s.cgroup, id.String(), which+".pressure"))
	if err != nil {
		return nil, fmt.Errorf("read pressure of container %s: %w", id, err)
	}
	return text, nil
}

// Values are what there is to know of a container. What Need does not have is zero, but for the host and the ceiling of CPU time.
func (s *Source) Values(id wire.CTID, need Need) (*render.Values, error) {
	host, err := s.host()
	if err != nil {
		return nil, err
	}
	v := &render.Values{Host: host, Now: time.Now()}
	dir := filepath.Join(s.cgroup, id.String())
	read := func(name string) string {
		text, readErr := os.ReadFile(filepath.Join(dir, name))
		if readErr != nil && err == nil {
			err = fmt.Errorf("read %s of container %s: %w", name, id, readErr)
		}
		return string(text)
	}
	v.CPU.Max = render.Ceiling(read("cpu.max"))
	if need&Memory != 0 {
		v.Memory = render.Memory{Max: render.Limit(read("memory.max")), Current: render.Number(read("memory.current")),
			Stat: render.Flat(read("memory.stat"))}
		if host.Swap > 0 { // a kernel without swap has no such files
			v.Memory.SwapMax, v.Memory.SwapCurrent = render.Limit(read("memory.swap.max")), render.Number(read("memory.swap.current"))
		}
	}
	if need&CPU != 0 {
		stat := render.Flat(read("cpu.stat"))
		v.CPU.User, v.CPU.System = micros(stat["user_usec"]), micros(stat["system_usec"])
		up, upErr := since(dir)
		if upErr != nil && err == nil {
			err = fmt.Errorf("read when container %s was started: %w", id, upErr)
		}
		v.Up = up
	}
	if need&Load != 0 {
		v.Load = s.loads.Of(id, int(min(render.Number(read("pids.current")), 1<<22)))
	}
	if need&Disks != 0 {
		v.Disks = render.Disks(read("io.stat"))
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// micros is a time in microseconds, as long as one can be.
func micros(n int64) time.Duration { return time.Duration(min(n, 1<<53)) * time.Microsecond }

// since is how long ago a container was started, by the note on its cgroup (agent/container/cgroup).
func since(dir string) (time.Duration, error) {
	var b [32]byte
	n, err := unix.Getxattr(dir, boot.StartedAttr, b[:])
	if err != nil {
		return 0, err
	}
	at, err := strconv.ParseInt(string(b[:n]), 10, 64)
	if err != nil {
		return 0, err
	}
	now, err := sinceBoot()
	return max(now-time.Duration(at), 0), err
}

func sinceBoot() (time.Duration, error) {
	var now unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now)
	return time.Duration(now.Nano()), err
}

// host is what the machine has, as of the last hostFor.
func (s *Source) host() (render.Host, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.mu.when.IsZero() && time.Since(s.mu.when) < hostFor {
		return s.mu.host, nil
	}
	meminfo, err := os.ReadFile(filepath.Join(s.proc, "meminfo"))
	if err != nil {
		return render.Host{}, fmt.Errorf("read the host's memory: %w", err)
	}
	cpuinfo, err := os.ReadFile(filepath.Join(s.proc, "cpuinfo"))
	if err != nil {
		return render.Host{}, fmt.Errorf("read the host's processors: %w", err)
	}
	h := render.HostOf(string(meminfo), string(cpuinfo))
	if h.Memory == 0 || len(h.CPUs) == 0 {
		return render.Host{}, fmt.Errorf("read the host's memory and processors: %q has none", meminfo[:min(len(meminfo), 60)])
	}
	s.mu.host, s.mu.when = h, time.Now()
	return h, nil
}
