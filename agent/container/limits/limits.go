// Package limits says how a container's limits are written to the kernel, and whether the kernel has them.
//
// Owns: the cgroup files that carry limits, their values and order; the comparison of what is with what shall be.
// In: host.Limits, the CPU time they mean on this host, a cgroup's directory.
// Out: settings to write; a Set of what was read, and its drift.
// Never: writes a cgroup (agent/container/cgroup does), or decides how much a container may have.
package limits

import (
	"slices"
	"strconv"

	"hardnode.dev/internal/wire/host"
)

// Setting is one cgroup file and its value.
type Setting struct{ File, Value string }

// born are the limits of a new cgroup: they need not be set.
var born = map[Setting]bool{{"memory.min", "0"}: true, {"memory.high", "max"}: true, {"memory.max", "max"}: true,
	{"cpu.weight", "100"}:     true,
	{"cpu.max", "max 100000"}: true, {"pids.max", "max"}: true}

// Unborn are those of a list that a new cgroup does not have already.
func Unborn(list []Setting) []Setting {
	return slices.DeleteFunc(slices.Clone(list), func(s Setting) bool { return born[s] })
}

// Settings are the files that carry limits, in writing order. A memory.max below the use makes the kernel reclaim and then kill,
// so memory.high goes first and gives reclaim a chance.
func Settings(l host.Limits, cpuMaxMicros int64) []Setting {
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
	return []Setting{
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

// Seen are those of a list that belong into <ctid>/p.
func Seen(list []Setting) []Setting {
	return slices.DeleteFunc(slices.Clone(list), func(s Setting) bool { return !slices.Contains(seen, s.File) })
}
