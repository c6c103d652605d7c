package container

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"hardnode.dev/agent/container/cgroup"
	"hardnode.dev/agent/container/record"
	"hardnode.dev/agent/meter"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/nodecall"
)

// Sample is what a running container uses now, with its processes, those first that have the most memory.
func (r *Runtime) Sample(ctx context.Context, id wire.CTID) (nodecall.Sample, error) {
	rec, err := r.known.Running(ctx, id)
	if err != nil {
		return nodecall.Sample{}, err
	}
	dir := r.cgroup(id)
	s := nodecall.Sample{At: time.Now().UTC(), CPUMicros: cgroup.ReadInt(dir, "cpu.stat", "usage_usec"),
		Memory: cgroup.ReadInt(dir, "memory.current", ""), MemoryMax: cgroup.ReadInt(dir, "memory.max", ""),
		PIDs: cgroup.ReadInt(dir, "pids.current", ""), PIDsMax: cgroup.ReadInt(dir, "pids.max", ""), Processes: []nodecall.Process{}}
	if b, err := os.ReadFile(filepath.Join(dir, "io.stat")); err == nil {
		s.Read, s.Written = ioBytes(string(b))
	}
	s.NetIn, s.NetOut = meter.Carried(id)
	s.Strain = r.met(id)
	s.Strain.CPU, s.Strain.Memory, s.Strain.IO = cgroup.Pressures(dir)
	if b, err := os.ReadFile(filepath.Join(dir, "cpu.max")); err == nil {
		quota, period, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
		n, _ := strconv.ParseInt(quota, 10, 64)
		if p, err := strconv.ParseInt(period, 10, 64); err == nil && p > 0 {
			s.CPUMax = n * 100_000 / p
		}
	}
	for _, pid := range pidsBelow(dir) {
		if p, ok := processOf(pid, rec); ok {
			s.Processes = append(s.Processes, p)
		}
	}
	slices.SortFunc(s.Processes, func(a, b nodecall.Process) int {
		return cmp.Or(cmp.Compare(b.Memory, a.Memory), cmp.Compare(a.PID, b.PID))
	})
	if n := len(s.Processes) - nodecall.MaxProcesses; n > 0 {
		s.Processes, s.More = s.Processes[:nodecall.MaxProcesses], n
	}
	return s, nil
}

// ioBytes sums what all disks read and wrote (cgroup-v2, io.stat).
func ioBytes(text string) (read, written int64) {
	for _, f := range strings.Fields(text) {
		k, v, _ := strings.Cut(f, "=")
		n, err := strconv.ParseInt(v, 10, 64)
		switch {
		case err != nil:
		case k == "rbytes":
			read += n
		case k == "wbytes":
			written += n
		}
	}
	return read, written
}

// pidsBelow are the processes in a cgroup and below it, as many as a container may have by default several times over.
func pidsBelow(dir string) (list []int) {
	const most = 8192
	filepath.WalkDir(dir, func(at string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return nil
		}
		b, err := os.ReadFile(filepath.Join(at, "cgroup.procs"))
		if err != nil {
			return nil
		}
		for line := range strings.Lines(string(b)) {
			if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && pid > 0 && len(list) < most {
				list = append(list, pid)
			}
		}
		return nil
	})
	return list
}

// ticks of /proc/PID/stat in a second: USER_HZ, the same on all that this runs on (proc_pid_stat(5)).
const ticks = 100

// processOf reads what the kernel knows of a process without looking into its memory, which it could make a reader wait for. Its name is
// its own choice.
func processOf(pid int, rec record.Record) (p nodecall.Process, ok bool) {
	dir := fmt.Sprintf("/proc/%d", pid)
	f, err := os.Open(dir + "/status")
	if err != nil {
		return p, false // it ended
	}
	defer f.Close()
	p.UID = -1
	for s := bufio.NewScanner(f); s.Scan(); {
		key, value, _ := strings.Cut(s.Text(), ":")
		words := strings.Fields(value)
		if len(words) == 0 {
			continue
		}
		n, _ := strconv.ParseInt(words[0], 10, 64)
		switch key {
		case "Name":
			p.Name = strings.TrimSpace(value)
		case "State":
			p.State = words[0]
		case "Uid":
			p.UID = rec.Inside(uint32(n))
		case "NSpid":
			p.PID, _ = strconv.Atoi(words[min(1, len(words)-1)])
		case "VmRSS":
			p.Memory = n << 10
		case "Threads":
			p.Threads = int(n)
		}
	}
	b, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return p, false
	}
	rest := string(b)
	rest = rest[strings.LastIndex(rest, ")")+1:] // a name may have anything in it
	if w := strings.Fields(rest); len(w) > 12 {
		user, _ := strconv.ParseInt(w[11], 10, 64)
		kernel, _ := strconv.ParseInt(w[12], 10, 64)
		p.CPUMicros = (user + kernel) * 1_000_000 / ticks
	}
	return p, true
}
