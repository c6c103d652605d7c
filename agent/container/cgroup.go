package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// A container's cgroup has two levels (kernel: Documentation/admin-guide/cgroup-v2, "Delegation"):
//
//	<ctid>      root's: every limit, device rules, what Observe counts; has no processes of its own
//	<ctid>/p    PID 1 and what it starts; root of the container's cgroup namespace. The limits that runtimes look for (Go, JVM, .NET, Node,
//	            Python) are set here a second time, so that /sys/fs/cgroup shows them; the files are root's. The container's root may
//	            divide it, not raise it.
//
// The cgroups of commands are in group.go.

// setting is one cgroup file and its value.
type setting struct{ file, value string }

// born are the limits of a new cgroup: they need not be set.
var born = map[setting]bool{{"memory.min", "0"}: true, {"memory.high", "max"}: true, {"memory.max", "max"}: true, {"cpu.weight", "100"}: true,
	{"cpu.max", "max 100000"}: true, {"pids.max", "max"}: true}

// unborn are those of a list that a new cgroup does not have already.
func unborn(list []setting) []setting {
	return slices.DeleteFunc(slices.Clone(list), func(s setting) bool { return born[s] })
}

// limitSettings are the files that carry limits, in writing order. A memory.max below the use makes the kernel reclaim and then kill,
// so memory.high goes first and gives reclaim a chance.
func limitSettings(l host.Limits, cpuMaxMicros int64) []setting {
	bytesOr := func(v int64, none string) string {
		if v <= 0 {
			return none
		}
		return strconv.FormatInt(v, 10)
	}
	cpu := "max 100000"
	if cpuMaxMicros > 0 {
		cpu = strconv.FormatInt(max(cpuMaxMicros, 1000), 10) + " 100000"
	}
	weight := l.CPUWeight
	if weight <= 0 {
		weight = 100
	}
	pids := l.PIDs
	if pids <= 0 {
		pids = 1024
	}
	return []setting{
		{"memory.min", bytesOr(l.MemoryMin, "0")},
		{"memory.high", bytesOr(l.MemoryHigh, "max")},
		{"memory.max", bytesOr(l.MemoryMax, "max")},
		{"cpu.weight", strconv.Itoa(min(weight, 10000))},
		{"cpu.max", cpu},
		{"pids.max", strconv.FormatInt(pids, 10)},
	}
}

// seen are the limits that <ctid>/p has too.
var seen = []string{"memory.max", "cpu.max", "pids.max"}

// seenSettings are those of a list that belong into <ctid>/p.
func seenSettings(list []setting) []setting {
	return slices.DeleteFunc(slices.Clone(list), func(s setting) bool { return !slices.Contains(seen, s.file) })
}

// cgroups is the root of the cgroup tree.
const cgroups = "/sys/fs/cgroup"

// controllers are enabled from the root down to the containers' own cgroups, innerControllers in these.
const (
	controllers      = "+cpu +memory +io +pids"
	innerControllers = "+cpu +memory +pids"
)

// delegated are the files of the inner cgroup that belong to the container's root (/sys/kernel/cgroup/delegate).
var delegated = []string{"", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"}

// prepareCgroups makes the parent of all containers' cgroups.
func (r *Runtime) prepareCgroups() error {
	parent := filepath.Dir(r.opts.Cgroup)
	if err := os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte(controllers), 0); err != nil {
		return fmt.Errorf("enable controllers in %q: %w", parent, err)
	}
	if err := os.Mkdir(r.opts.Cgroup, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make cgroup %q: %w", r.opts.Cgroup, err)
	}
	if err := os.WriteFile(filepath.Join(r.opts.Cgroup, "cgroup.subtree_control"), []byte(controllers), 0); err != nil {
		return fmt.Errorf("enable controllers in %q: %w", r.opts.Cgroup, err)
	}
	return nil
}

func (r *Runtime) cgroup(id wire.CTID) string { return filepath.Join(r.opts.Cgroup, id.String()) }

// makeCgroup makes both levels with limits and device rules and opens the inner one.
func (r *Runtime) makeCgroup(s *StartSpec) (inner *os.File, err error) {
	dir := r.cgroup(s.CTID)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make cgroup of container %s: %w", s.CTID, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, dropCgroup(dir))
		}
	}()
	limits := unborn(limitSettings(s.Limits, s.CPUMaxMicros))
	outside, inside := append(limits, setting{"cgroup.subtree_control", innerControllers}), seenSettings(limits)
	if s.Profile == host.ProfileSystem {
		outside = append(outside, setting{"cgroup.max.depth", "16"}, setting{"cgroup.max.descendants", "1000"}) // so that it can always be removed
	} else {
		inside = append(inside, setting{"memory.oom.group", "1"}) // one program: half of it is no use
	}
	if err := writeSettings(dir, outside); err != nil {
		return nil, err
	}
	outer, err := sys.OpenDir(dir)
	if err != nil {
		return nil, err
	}
	defer outer.Close()
	devs, err := r.deviceProgram()
	if err != nil {
		return nil, err
	}
	if err := devs.Attach(outer); err != nil {
		return nil, err
	}
	if err := os.Mkdir(filepath.Join(dir, "p"), 0o755); err != nil {
		return nil, fmt.Errorf("make inner cgroup of container %s: %w", s.CTID, err)
	}
	if err := writeSettings(filepath.Join(dir, "p"), inside); err != nil {
		return nil, err
	}
	for _, f := range delegated {
		if err := os.Chown(filepath.Join(dir, "p", f), int(s.UIDBase), int(s.UIDBase)); err != nil {
			return nil, fmt.Errorf("delegate cgroup of container %s: %w", s.CTID, err)
		}
	}
	return sys.OpenDir(filepath.Join(dir, "p"))
}

func writeSettings(dir string, list []setting) error {
	for _, s := range list {
		if err := set(filepath.Join(dir, s.file), s.value); err != nil {
			return fmt.Errorf("set %s of %q to %q: %w", s.file, dir, s.value, err)
		}
	}
	return nil
}

// set writes a cgroup's file. It does not truncate it first, which would only make the kernel keep attributes for it.
func set(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// setLimits changes the limits of a container's cgroups.
func (r *Runtime) setLimits(id wire.CTID, list []setting) error {
	dir := r.cgroup(id)
	// An agent of before these were seen inside may have made it.
	if err := writeSettings(dir, append(list, setting{"cgroup.subtree_control", innerControllers})); err != nil {
		return err
	}
	return writeSettings(filepath.Join(dir, "p"), seenSettings(list))
}

func (r *Runtime) deviceProgram() (*sys.DeviceProgram, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.devices == nil {
		p, err := sys.LoadDevices(devices)
		if err != nil {
			return nil, err
		}
		r.mu.devices = p
	}
	return r.mu.devices, nil
}

// emptyCgroup kills all processes of a container and waits until they are gone. A container without a cgroup is empty.
func (r *Runtime) emptyCgroup(ctx context.Context, id wire.CTID) error {
	if err := killAll(ctx, r.cgroup(id)); err != nil {
		return fmt.Errorf("end the processes of container %s: %w", id, err)
	}
	return nil
}

// killAll kills all in a cgroup and below it and waits until they are gone, killing again with growing pauses: what was being born during
// one kill is met by the next.
func killAll(ctx context.Context, dir string) error {
	for wait := time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := set(filepath.Join(dir, "cgroup.kill"), "1")
		if gone(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("kill: %w", err)
		}
		for end := time.Now().Add(wait); ; {
			if n, err := populated(dir); err != nil || !n {
				return err
			}
			if !run.Wait(ctx, min(wait, 20*time.Millisecond)) {
				return fmt.Errorf("wait for them: %w", ctx.Err())
			}
			if time.Now().After(end) {
				break
			}
		}
	}
}

// gone tells whether a file of a cgroup is missing because the cgroup is: one removed while it is open or being read answers ENODEV.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) }

// populated tells whether a process is left in a cgroup or below it; in none there is none.
func populated(dir string) (bool, error) {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.events"))
	if gone(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %q: %w", dir, err)
	}
	return strings.Contains(string(b), "populated 1"), nil
}

// dropCgroup removes an empty cgroup and all below it, which the container may have made.
func dropCgroup(dir string) error {
	entries, err := os.ReadDir(dir)
	if gone(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove cgroup %q: %w", dir, err)
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := dropCgroup(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(dir); err != nil && !gone(err) {
		return fmt.Errorf("remove cgroup %q: %w", dir, err)
	}
	return nil
}

// readIn reads a file of a cgroup, of up to 1,024 bytes.
func readIn(dir *os.File, name string) (string, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var b [1024]byte
	n, err := unix.Read(fd, b[:])
	if err != nil {
		return "", err
	}
	return string(b[:n]), nil
}

// readInt reads a number from a cgroup file: the whole of it, or the value after key in a flat keyed file. Absent is 0.
func readInt(dir, file, key string) int64 {
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return 0
	}
	return number(string(b), key)
}

// number is that of a cgroup file's text, as readInt has it.
func number(text, key string) int64 {
	value := strings.TrimSpace(text)
	if key != "" {
		value = ""
		for line := range strings.Lines(text) {
			if v, ok := strings.CutPrefix(line, key+" "); ok {
				value = strings.TrimSpace(v)
			}
		}
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
