package render

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// tick is the unit of times in /proc/stat, the same on all machines (USER_HZ).
const tick = 10 * time.Millisecond

// sizes are what of a container's memory there is to say.
type sizes struct {
	total, free, cached, swap, swapFree int64
}

func (v *Values) sizes() (s sizes) {
	m := v.Memory
	s.total = min(m.Max, v.Host.Memory, most)
	used := min(max(m.Current, 0), s.total)
	s.free = s.total - used
	s.cached = min(m.Stat["file"], used) // counted at another moment than what is used
	s.swap = min(m.SwapMax, v.Host.Swap, most)
	s.swapFree = s.swap - min(max(m.SwapCurrent, 0), s.swap)
	return s
}

// Meminfo is /proc/meminfo. Memory without a limit is the host's; of what the kernel keeps for no container there is nothing.
func Meminfo(v *Values) []byte {
	s, stat := v.sizes(), v.Memory.Stat
	back := min(stat["active_file"]+stat["inactive_file"]+stat["slab_reclaimable"], s.total-s.free)
	var b []byte
	for _, l := range []struct {
		name  string
		bytes int64
	}{
		{"MemTotal", s.total}, {"MemFree", s.free}, {"MemAvailable", s.free + back}, {"Buffers", 0}, {"Cached", s.cached},
		{"SwapCached", stat["swapcached"]},
		{"Active", stat["active_anon"] + stat["active_file"]}, {"Inactive", stat["inactive_anon"] + stat["inactive_file"]},
		{"Active(anon)", stat["active_anon"]}, {"Inactive(anon)", stat["inactive_anon"]},
		{"Active(file)", stat["active_file"]}, {"Inactive(file)", stat["inactive_file"]},
		{"Unevictable", stat["unevictable"]}, {"Mlocked", 0}, {"SwapTotal", s.swap}, {"SwapFree", s.swapFree},
		{"Zswap", stat["zswap"]}, {"Zswapped", stat["zswapped"]}, {"Dirty", stat["file_dirty"]}, {"Writeback", stat["file_writeback"]},
		{"AnonPages", stat["anon"]}, {"Mapped", stat["file_mapped"]}, {"Shmem", stat["shmem"]},
		{"KReclaimable", stat["slab_reclaimable"]}, {"Slab", stat["slab"]},
		{"SReclaimable", stat["slab_reclaimable"]}, {"SUnreclaim", stat["slab_unreclaimable"]},
		{"KernelStack", stat["kernel_stack"]}, {"PageTables", stat["pagetables"]}, {"SecPageTables", stat["sec_pagetables"]},
		{"NFS_Unstable", 0}, {"Bounce", 0}, {"WritebackTmp", 0}, {"CommitLimit", s.total + s.swap},
		{"Committed_AS", s.total - s.free + s.swap - s.swapFree}, {"VmallocTotal", 34359738367 << 10}, {"VmallocUsed", stat["vmalloc"]},
		{"VmallocChunk", 0}, {"Percpu", stat["percpu"]}, {"AnonHugePages", stat["anon_thp"]}, {"ShmemHugePages", stat["shmem_thp"]},
		{"ShmemPmdMapped", 0}, {"FileHugePages", stat["file_thp"]}, {"FilePmdMapped", 0},
	} {
		b = fmt.Appendf(b, "%-15s %8d kB\n", l.name+":", l.bytes>>10)
	}
	for _, name := range []string{"Total", "Free", "Rsvd", "Surp"} {
		b = fmt.Appendf(b, "HugePages_%-6s%8d\n", name+":", 0)
	}
	return fmt.Appendf(b, "%-15s %8d kB\n%-15s %8d kB\n", "Hugepagesize:", 2048, "Hugetlb:", 0)
}

// CPUInfo is /proc/cpuinfo: the host's first processors, as one socket of as many cores.
func CPUInfo(v *Values) []byte {
	n := v.Processors()
	var b strings.Builder
	for i, cpu := range v.Host.CPUs[:min(n, len(v.Host.CPUs))] {
		fmt.Fprintf(&b, "processor\t: %d\n", i)
		for line := range strings.Lines(cpu + "\n") {
			name, _, _ := strings.Cut(line, "\t")
			switch name {
			case "physical id":
				line = "physical id\t: 0\n"
			case "siblings", "cpu cores":
				line = fmt.Sprintf("%s\t: %d\n", name, n)
			case "core id":
				line = fmt.Sprintf("core id\t\t: %d\n", i)
			case "apicid":
				line = fmt.Sprintf("apicid\t\t: %d\n", i)
			case "initial apicid":
				line = fmt.Sprintf("initial apicid\t: %d\n", i)
			}
			b.WriteString(line)
		}
		b.WriteString("\n")
	}
	return []byte(b.String())
}

// times are what a container's processors did since it was started, in ticks.
type times struct{ user, system, idle int64 }

func (v *Values) times() (t times) {
	n := v.Processors()
	t.user, t.system = int64(max(v.CPU.User, 0)/tick), int64(max(v.CPU.System, 0)/tick)
	t.idle = max(int64(max(v.Up, 0)/tick)*int64(n)-t.user-t.system, 0)
	return t
}

// share is what one of n has of a sum: the first has what can't be shared.
func share(sum int64, n, i int) int64 {
	if i == 0 {
		return sum/int64(n) + sum%int64(n)
	}
	return sum / int64(n)
}

// Stat is /proc/stat. The kernel does not say on which processor a cgroup's time was spent, so all are shown alike; interrupts and context
// switches are the host's and not counted.
func Stat(v *Values) []byte {
	n, t := v.Processors(), v.times()
	b := fmt.Appendf(nil, "cpu  %d 0 %d %d 0 0 0 0 0 0\n", t.user, t.system, t.idle)
	for i := range n {
		b = fmt.Appendf(b, "cpu%d %d 0 %d %d 0 0 0 0 0 0\n", i, share(t.user, n, i), share(t.system, n, i), share(t.idle, n, i))
	}
	return fmt.Appendf(b, "intr 0\nctxt 0\nbtime %d\nprocesses %d\nprocs_running %d\nprocs_blocked %d\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n",
		max(v.Now.Add(-v.Up).Unix(), 0), v.Load.Tasks, max(v.Load.Running, 1), v.Load.Blocked) // whoever reads this runs
}

// Loadavg is /proc/loadavg. The number of the last process is not known; that of tasks stands in its place.
func Loadavg(v *Values) []byte {
	l, tasks := v.Load, max(v.Load.Tasks, 1)
	return fmt.Appendf(nil, "%.2f %.2f %.2f %d/%d %d\n", l.Mean[0], l.Mean[1], l.Mean[2], max(l.Running, 1), tasks, tasks)
}

// Uptime is /proc/uptime.
func Uptime(v *Values) []byte {
	return fmt.Appendf(nil, "%.2f %.2f\n", max(v.Up, 0).Truncate(tick).Seconds(), float64(v.times().idle)/float64(time.Second/tick))
}

// Swaps is /proc/swaps. Where swap lies is the host's affair.
func Swaps(v *Values) []byte {
	b := []byte("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n")
	if s := v.sizes(); s.swap > 0 {
		b = fmt.Appendf(b, "%-40spartition\t%d\t\t%d\t\t-2\n", "/dev/swap", s.swap>>10, (s.swap-s.swapFree)>>10)
	}
	return b
}

// sector is the unit of sizes in /proc/diskstats.
const sector = 512

// Diskstats is /proc/diskstats. Disks have names and numbers of their own: the host's would say what hardware it has. How long each took is
// not counted by container.
func Diskstats(v *Values) []byte {
	list := slices.Clone(v.Disks)
	slices.SortFunc(list, func(a, b Disk) int { return cmp.Or(cmp.Compare(a.Major, b.Major), cmp.Compare(a.Minor, b.Minor)) })
	var b []byte
	for i, d := range list {
		b = fmt.Appendf(b, "%4d %7d disk%d %d 0 %d 0 %d 0 %d 0 0 0 0 %d 0 %d 0 0 0\n", 259, i, i, d.Reads, d.Read/sector, d.Writes,
			d.Written/sector, d.Discards, d.DiscardedSize/sector)
	}
	return b
}

// Online is /sys/devices/system/cpu/online.
func Online(v *Values) []byte {
	if n := v.Processors(); n > 1 {
		return fmt.Appendf(nil, "0-%d\n", n-1)
	}
	return []byte("0\n")
}
