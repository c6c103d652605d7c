// Package render says what a container reads in the files of /proc and /sys that would else show its host.
//
// Owns: the text of each file, in the kernel's own form (proc(5)); the reading of the cgroup files that the figures come from.
// In: what the kernel says of a container's cgroup and of the host, as text or as Values.
// Out: Values; text.
// Never: reads a file, or shows a figure of the host where the container has one of its own.
package render

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// None is a limit that is not set.
const None int64 = math.MaxInt64

// most is the largest figure that is believed: sums of some of them are figures still.
const most = 1 << 56

// Values are what is known of one container and of its host. Sizes are bytes.
type Values struct {
	Host   Host
	Memory Memory
	CPU    CPU
	Up     time.Duration // since it was started
	Now    time.Time
	Load   Load
	Disks  []Disk
}

// Host is the machine that a container runs on: what it has where it has no limit of its own.
type Host struct {
	Memory, Swap int64
	CPUs         []string // its processors, each as a paragraph of /proc/cpuinfo without the line of its number
}

// Memory is what a cgroup has and may have.
type Memory struct {
	Max, Current         int64            // Max may be None
	SwapMax, SwapCurrent int64            // likewise
	Stat                 map[string]int64 // memory.stat
}

// CPU is the time that a cgroup used, and what it may use.
type CPU struct {
	Max          float64 // processors' worth of time; 0 is no ceiling
	User, System time.Duration
}

// Load is how many tasks want to run: means over 1, 5 and 15 minutes, and now.
type Load struct {
	Mean    [3]float64
	Running int
	Blocked int // on a disk
	Tasks   int // in all
}

// Disk is what a cgroup read and wrote of one device.
type Disk struct {
	Major, Minor                 uint32
	Reads, Writes, Discards      uint64
	Read, Written, DiscardedSize uint64
}

// Processors is how many a container is shown: as many as its ceiling of CPU time is worth, rounded up, and at most the host's.
func (v *Values) Processors() int {
	n := max(len(v.Host.CPUs), 1)
	if v.CPU.Max > 0 && v.CPU.Max < float64(n) {
		n = int(math.Ceil(v.CPU.Max))
	}
	return n
}

// Limit reads a limit: a number of bytes or "max". What is neither is not known and counts as none.
func Limit(text string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || n < 0 {
		return None
	}
	return n
}

// Number reads a count; what is none is 0.
func Number(text string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return min(n, most)
}

// Flat reads a flat keyed file of a cgroup (cgroup-v2.rst, "Format"), of up to 256 lines. What is no line of one is left out.
func Flat(text string) map[string]int64 {
	all := map[string]int64{}
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.ParseInt(value, 10, 64)
		if ok && err == nil && n >= 0 && len(all) < 256 {
			all[key] = min(n, most)
		}
	}
	return all
}

// Ceiling reads cpu.max: processors' worth of time, 0 for none.
func Ceiling(text string) float64 {
	quota, period, _ := strings.Cut(strings.TrimSpace(text), " ")
	q, err := strconv.ParseUint(quota, 10, 62)
	p, perr := strconv.ParseUint(period, 10, 62)
	if err != nil || perr != nil || q == 0 || p == 0 {
		return 0
	}
	return float64(q) / float64(p)
}

// Disks reads io.stat, of up to 64 devices.
func Disks(text string) (list []Disk) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || len(list) == 64 {
			continue
		}
		major, minor, ok := strings.Cut(fields[0], ":")
		a, err := strconv.ParseUint(major, 10, 32)
		b, minErr := strconv.ParseUint(minor, 10, 32)
		if !ok || err != nil || minErr != nil {
			continue
		}
		d := Disk{Major: uint32(a), Minor: uint32(b)}
		for _, f := range fields[1:] {
			key, value, _ := strings.Cut(f, "=")
			n, err := strconv.ParseUint(value, 10, 64)
			if err != nil {
				continue
			}
			switch key {
			case "rbytes":
				d.Read = n
			case "wbytes":
				d.Written = n
			case "dbytes":
				d.DiscardedSize = n
			case "rios":
				d.Reads = n
			case "wios":
				d.Writes = n
			case "dios":
				d.Discards = n
			}
		}
		list = append(list, d)
	}
	return list
}

// HostOf reads the machine's own /proc/meminfo and /proc/cpuinfo.
func HostOf(meminfo, cpuinfo string) (h Host) {
	for line := range strings.Lines(meminfo) {
		name, value, _ := strings.Cut(line, ":")
		kb := Number(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
		switch name {
		case "MemTotal":
			h.Memory = min(kb, most>>10) << 10
		case "SwapTotal":
			h.Swap = min(kb, most>>10) << 10
		}
	}
	for paragraph := range strings.SplitSeq(cpuinfo, "\n\n") {
		first, rest, _ := strings.Cut(strings.TrimLeft(paragraph, "\n"), "\n")
		if name, _, ok := strings.Cut(first, ":"); ok && strings.TrimSpace(name) == "processor" {
			h.CPUs = append(h.CPUs, strings.TrimRight(rest, "\n"))
		}
	}
	return h
}
