package meter

import (
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/wire"
)

// mostPeaks is for how many containers a descriptor is kept, by which the kernel counts the most memory anew for each minute. The others'
// peak is that of the samples.
const mostPeaks = 1024

// kernel reads what the kernel counts of the containers below one cgroup.
type kernel struct {
	parent string
	boot   uint64 // of this boot
	net    string // /proc/net/dev
	peaks  map[wire.CTID]peak
	last   map[wire.CTID]reading
	all    int64 // CPU time of all together, as it was before the last reading
}

// peak is memory.peak of one cgroup, opened: what was written to a descriptor is what that one begins to count from (Linux 6.12).
type peak struct {
	f      *os.File
	cgroup uint64
}

func newKernel(parent, bootID string) *kernel {
	return &kernel{parent: parent, boot: uint64(crc32.ChecksumIEEE([]byte(bootID))) << 32, net: "/proc/net/dev",
		peaks: map[wire.CTID]peak{}, last: map[wire.CTID]reading{}}
}

// sinceBoot is a clock that nobody sets, in nanoseconds.
func sinceBoot() int64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return 0
	}
	return ts.Nano()
}

// read reads all containers. One that goes meanwhile is left out. Of one that has used no processor time since the last reading, what it
// needs that for is read only where whole says so: what the kernel still does for it, such as writing back, is counted then. Each file of
// hundreds of idle containers costs: where all together used none, that is seen by one.
func (k *kernel) read(disk map[wire.CTID]int64, whole bool) map[wire.CTID]reading {
	list, err := os.ReadDir(k.parent)
	if err != nil {
		return nil
	}
	all := int64(-1)
	if cpu, err := sys.ReadSmall(filepath.Join(k.parent, "cpu.stat")); err == nil {
		all = keyed(cpu, "usage_usec ")
	}
	still := all >= 0 && all == k.all && !whole
	k.all = all
	var links map[wire.CTID]moved
	if !still {
		links = traffic(k.net)
	}
	out := make(map[wire.CTID]reading, len(list))
	for _, e := range list {
		id, err := wire.ParseCTID(e.Name())
		if err != nil || !e.IsDir() {
			continue
		}
		if was, ok := k.last[id]; ok && still {
			was.At, was.peak, was.disk = sinceBoot(), was.memory, disk[id]
			out[id] = was
			continue
		}
		if r, ok := k.one(id, filepath.Join(k.parent, e.Name()), whole); ok {
			if still { // a new one that has not done anything
				links, still = traffic(k.net), false
			}
			r.In, r.Out, r.disk = links[id].in, links[id].out, disk[id]
			out[id] = r
		}
	}
	for id, p := range k.peaks {
		if _, there := out[id]; !there {
			p.f.Close()
			delete(k.peaks, id)
		}
	}
	k.last = out
	return out
}

func (k *kernel) one(id wire.CTID, dir string, whole bool) (r reading, ok bool) {
	var st unix.Stat_t
	if unix.Stat(dir, &st) != nil {
		return r, false
	}
	r.Cgroup, r.At = st.Ino^k.boot, sinceBoot()
	cpu, err := sys.ReadSmall(filepath.Join(dir, "cpu.stat")) // first: what it does from here on shows the next time
	if err != nil {
		return r, false
	}
	r.CPU = keyed(cpu, "usage_usec ")
	was, ok := k.last[id]
	idle := ok && was.Cgroup == r.Cgroup && was.CPU == r.CPU
	if idle && !whole {
		was.At, was.peak = r.At, was.memory
		return was, true
	}
	memory, err := sys.ReadSmall(filepath.Join(dir, "memory.current"))
	if err != nil {
		return r, false
	}
	r.memory = number(memory)
	if !idle || !frozen(dir) { // nobody pays for memory of a container that is frozen
		r.ram = used(dir)
	}
	if text, err := sys.ReadSmall(filepath.Join(dir, "io.stat")); err == nil {
		for f := range strings.FieldsSeq(text) {
			kind, v, _ := strings.Cut(f, "=")
			switch kind {
			case "rbytes":
				r.Read += number(v)
			case "wbytes":
				r.Wrote += number(v)
			case "rios":
				r.Reads += number(v)
			case "wios":
				r.Writes += number(v)
			}
		}
	}
	r.peak = k.peak(id, dir, r.Cgroup)
	return r, true
}

// used is the memory of a cgroup that counts, in bytes: anonymous and shared memory and the kernel's for it (cgroup-v2, memory.stat: anon,
// shmem, kernel), and what is swapped out, but for what is in memory at the same time and counted there (swapcached). What else is in
// memory.current is page cache.
func used(dir string) int64 {
	text, err := sys.ReadSmall(filepath.Join(dir, "memory.stat"))
	if err != nil {
		return 0
	}
	sum := keyed(text, "anon ") + keyed(text, "shmem ") + keyed(text, "kernel ")
	if swap, err := sys.ReadSmall(filepath.Join(dir, "memory.swap.current")); err == nil { // a kernel without swap has no such file
		sum += max(number(swap)-keyed(text, "swapcached "), 0)
	}
	return sum
}

// frozen tells whether all processes of a cgroup are stopped (cgroup-v2, cgroup.events).
func frozen(dir string) bool {
	text, err := sys.ReadSmall(filepath.Join(dir, "cgroup.events"))
	return err == nil && keyed(text, "frozen ") == 1
}

// peak is the most memory since reset, or since the cgroup was made.
func (k *kernel) peak(id wire.CTID, dir string, cgroup uint64) int64 {
	p, there := k.peaks[id]
	if there && p.cgroup != cgroup {
		p.f.Close()
		delete(k.peaks, id)
		there = false
	}
	if !there {
		if len(k.peaks) >= mostPeaks {
			return 0
		}
		f, err := os.OpenFile(filepath.Join(dir, "memory.peak"), os.O_RDWR, 0)
		if err != nil {
			return 0
		}
		p = peak{f, cgroup}
		k.peaks[id] = p
		if _, err := f.Write([]byte("reset")); err != nil { // an older kernel: it counts from the container's start, not a minute's
			f.Close()
			k.peaks[id] = peak{nil, cgroup}
		}
		return 0
	}
	if p.f == nil {
		return 0
	}
	var b [32]byte
	n, err := unix.Pread(int(p.f.Fd()), b[:], 0)
	if err != nil {
		return 0
	}
	return number(string(b[:n]))
}

// reset begins the peaks of the next minute.
func (k *kernel) reset() {
	for _, p := range k.peaks {
		if p.f != nil {
			p.f.Write([]byte("reset"))
		}
	}
}

func number(s string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// keyed is the value behind a key at the beginning of a line.
func keyed(text, key string) int64 {
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, key); ok {
			return number(v)
		}
	}
	return 0
}

// Carried is what the link of one container carried, in bytes, as the container sees them; nothing where it has none.
func Carried(id wire.CTID) (in, out int64) { return carried("/sys/class/net", id) }

func carried(links string, id wire.CTID) (in, out int64) {
	of := func(name string) int64 {
		text, err := sys.ReadSmall(filepath.Join(links, "hv"+id.String(), "statistics", name))
		if err != nil {
			return 0
		}
		return number(text)
	}
	return of("tx_bytes"), of("rx_bytes")
}

// bytes of a link, as its container sees them.
type moved struct{ in, out int64 }

// traffic is what the containers' links carried: the host's end of one receives what its container sends (proc_net_dev(5)).
func traffic(path string) map[wire.CTID]moved {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	out := map[wire.CTID]moved{}
	for line := range strings.Lines(string(b)) {
		name, rest, ok := strings.Cut(strings.TrimSpace(line), ":")
		digits, ours := strings.CutPrefix(name, "hv")
		f := strings.Fields(rest)
		if id, err := wire.ParseCTID(digits); ok && ours && err == nil && len(f) > 8 {
			out[id] = moved{in: number(f[8]), out: number(f[0])}
		}
	}
	return out
}
