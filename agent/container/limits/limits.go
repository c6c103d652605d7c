// Package limits says how a container's limits are written to the kernel, and whether the kernel has them.
//
// Owns: the cgroup files that carry limits, their values and order; the comparison of what is with what shall be.
// In: host.Limits, the CPU time they mean on this host, a cgroup's directory.
// Out: settings to write; a Set of what was read, and its drift.
// Never: writes a cgroup (agent/container/cgroup does), or decides how much a container may have.
package limits

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"hardnode.dev/internal/wire/host"
)

// Setting is one cgroup file and its value.
type Setting struct{ File, Value string }

// born are the limits of a new cgroup: they need not be set.
var born = map[Setting]bool{{"memory.min", "0"}: true, {"memory.high", "max"}: true, {"memory.max", "max"}: true,
	{"memory.swap.max", "max"}: true, {"cpu.weight", "100"}: true,
	{"cpu.max", "max 100000"}: true, {"pids.max", "max"}: true}

// Unborn are those of a list that a new cgroup does not have already.
func Unborn(list []Setting) []Setting {
	return slices.DeleteFunc(slices.Clone(list), func(s Setting) bool {
		return born[s] || s.File == ioMax && strings.HasSuffix(s.Value, " "+unlimited)
	})
}

// ioMax is the file of the limits of each disk: a line for one disk, a write for one. Disks are named by their numbers, "254:0".
const ioMax = "io.max"

// unlimited are the values of a disk that ioMax has no line of.
const unlimited = "rbps=max wbps=max riops=max wiops=max"

// Settings are the files that carry limits, in writing order: what they are on these disks, of which the kernel takes whole ones only.
// A memory.max below the use makes the kernel reclaim and then kill, so memory.high goes first and gives reclaim a chance (Fit).
func Settings(l host.Limits, cpuMaxMicros int64, disks []string) []Setting {
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
	swap := "0"
	if n := l.Ceilings.SwapOf(l.MemoryMax); n != 0 {
		swap = bytesOr(n, "max")
	}
	list := []Setting{
		{"memory.min", bytesOr(l.MemoryMin, "0")},
		{"memory.high", bytesOr(l.MemoryHigh, "max")},
		{"memory.max", bytesOr(l.MemoryMax, "max")},
		{"memory.swap.max", swap},
		{"cpu.weight", strconv.Itoa(min(weight, 10000))},
		{"cpu.max", cpu},
		{"pids.max", strconv.FormatInt(pids, 10)},
	}
	c := l.Ceilings
	for _, d := range disks {
		list = append(list, Setting{ioMax, fmt.Sprintf("%s rbps=%s wbps=%s riops=%s wiops=%s", d, bytesOr(c.ReadBytes, "max"),
			bytesOr(c.WriteBytes, "max"), bytesOr(min(c.ReadOps, mostOps), "max"), bytesOr(min(c.WriteOps, mostOps), "max"))})
	}
	return list
}

// OfDisks tells whether there is a limit of what is read from disks or written to them.
func OfDisks(l host.Limits) bool {
	c := l.Ceilings
	return c.ReadBytes > 0 || c.WriteBytes > 0 || c.ReadOps > 0 || c.WriteOps > 0
}

// mostOps is one less than what ioMax takes for none.
const mostOps = math.MaxUint32 - 1

// seen are the limits that <ctid>/p has too.
var seen = []string{"memory.max", "cpu.max", "pids.max"}

// Seen are those of a list that belong into <ctid>/p.
func Seen(list []Setting) []Setting {
	return slices.DeleteFunc(slices.Clone(list), func(s Setting) bool { return !slices.Contains(seen, s.File) })
}
