// Package facts reads what this host has and uses.
//
// Owns: how memory, CPU frequency, load, disk and hardware identity are read and counted.
// In: /proc, /sys and statfs below one root directory, so that tests give their own.
// Out: host.Capacity, host.Load, host.Hardware, the boot id.
// Never: writes, or caches what changes.
package facts

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/wire/host"
)

// Source is where the facts come from. Root is prefixed to every path ("" on a real host); Data is the file system of containers.
type Source struct {
	Root string
	Data string
}

// BootID is the kernel's random id of this boot.
func (s Source) BootID() (string, error) {
	b, err := os.ReadFile(s.Root + "/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot id: %v", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// Capacity is what the host has in all.
func (s Source) Capacity() (host.Capacity, error) {
	mem, err := s.meminfo()
	if err != nil {
		return host.Capacity{}, err
	}
	c := host.Capacity{MemoryBytes: mem["MemTotal"], CPUs: runtime.NumCPU(), MHz: s.mhz()}
	c.DiskBytes, _ = disk(s.Data)
	return c, nil
}

// Load is what the host uses now. Memory counts as MemTotal − MemFree − what the page cache and slab could give back.
func (s Source) Load() (host.Load, error) {
	mem, err := s.meminfo()
	if err != nil {
		return host.Load{}, err
	}
	l := host.Load{MemoryUsed: mem["MemTotal"] - mem["MemFree"] - mem["Buffers"] - (mem["Cached"] - mem["Shmem"]) - mem["SReclaimable"]}
	l.Swap, l.SwapUsed = mem["SwapTotal"], mem["SwapTotal"]-mem["SwapFree"]
	_, l.DiskUsed = disk(s.Data)
	if b, err := sys.ReadSmall(s.Root + "/proc/loadavg"); err == nil {
		l.Load1, _ = strconv.ParseFloat(first(b), 64)
	}
	if b, err := sys.ReadSmall(s.Root + "/proc/uptime"); err == nil {
		up, _ := strconv.ParseFloat(first(b), 64)
		l.UptimeSec = int64(up)
	}
	l.Pressure = s.Pressure()
	for file, to := range map[string]*int64{"count": &l.Connections, "max": &l.MaxConnections} {
		if b, err := sys.ReadSmall(s.Root + "/proc/sys/net/netfilter/nf_conntrack_" + file); err == nil { // not before there is a firewall
			*to, _ = strconv.ParseInt(first(b), 10, 64)
		}
	}
	return l, nil
}

// Pressure is how much work waits; zero where the kernel does not tell. It asks no disk.
func (s Source) Pressure() host.Pressure {
	return host.Pressure{CPU: s.stall("cpu", "some"), Memory: s.stall("memory", "full"), IO: s.stall("io", "full")}
}

// stall is the ten-second average of one line of a file below /proc/pressure: "some avg10=1.50 avg60=…".
func (s Source) stall(resource, line string) float64 {
	b, err := sys.ReadSmall(s.Root + "/proc/pressure/" + resource)
	if err != nil {
		return 0
	}
	for l := range strings.Lines(b) {
		if v, ok := strings.CutPrefix(l, line+" avg10="); ok {
			f, _ := strconv.ParseFloat(first(v), 64)
			return f
		}
	}
	return 0
}

// Full says how little of the DATA disk is free, once that is so little that work on this host is about to fail; else "".
func (s Source) Full() string {
	var st unix.Statfs_t
	if unix.Statfs(s.Data, &st) != nil {
		return ""
	}
	return full(int64(st.Bavail)*int64(st.Bsize), int64(st.Blocks)*int64(st.Bsize))
}

// full judges by both bounds: a thirtieth of a big disk is plenty, and 256 MiB is most of a small one.
func full(free, total int64) string {
	if total == 0 || free > min(total/30, 256<<20) {
		return ""
	}
	return fmt.Sprintf("%d MiB of %.1f GiB are free", free>>20, float64(total)/(1<<30))
}

// Hardware is what tells this machine from others.
func (s Source) Hardware() host.Hardware {
	var h host.Hardware
	if b, err := os.ReadFile(s.Root + "/sys/class/dmi/id/product_uuid"); err == nil {
		h.UUID = strings.ToLower(strings.TrimSpace(string(b)))
	}
	links, _ := net.Interfaces()
	for _, l := range links {
		if _, err := os.Stat(filepath.Join(s.Root, "/sys/class/net", l.Name, "device")); err == nil && len(l.HardwareAddr) == 6 {
			h.MACs = append(h.MACs, l.HardwareAddr.String())
		}
	}
	return h
}

// Started is when this boot began, in Unix seconds; 0 if it can't be read. It may move a little when the clock is set.
func (s Source) Started() int64 {
	b, err := os.ReadFile(s.Root + "/proc/stat")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "btime "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			return n
		}
	}
	return 0
}

// SinceBoot is the time since this boot began, suspends included. It never goes back within a boot, whatever happens to the clock: numbers
// that must grow within a boot, over restarts of this program, begin with it.
func SinceBoot() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("BUG: CLOCK_BOOTTIME: " + err.Error())
	}
	return time.Duration(ts.Nano())
}

// RSS is this process's resident memory in bytes.
func (s Source) RSS() int64 {
	b, err := os.ReadFile(s.Root + "/proc/self/statm")
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(f[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// fallbackMHz is assumed when nothing tells the CPU's frequency.
const fallbackMHz = 2000

// mhz is the base frequency of one CPU: cpufreq's base_frequency where the driver gives it, else the highest one it gives, else the
// current one of /proc/cpuinfo (constant under virtualisation).
func (s Source) mhz() int64 {
	for _, name := range []string{"base_frequency", "cpuinfo_max_freq"} {
		b, err := os.ReadFile(s.Root + "/sys/devices/system/cpu/cpu0/cpufreq/" + name)
		if err != nil {
			continue
		}
		if khz, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && khz > 0 {
			return khz / 1000
		}
	}
	b, err := os.ReadFile(s.Root + "/proc/cpuinfo")
	if err != nil {
		return fallbackMHz
	}
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "cpu MHz" {
			if f, err := strconv.ParseFloat(strings.TrimSpace(v), 64); err == nil && f >= 1 {
				return int64(f)
			}
		}
	}
	return fallbackMHz
}

// meminfo is /proc/meminfo in bytes.
func (s Source) meminfo() (map[string]int64, error) {
	b, err := sys.ReadSmall(s.Root + "/proc/meminfo")
	if err != nil {
		return nil, fmt.Errorf("read memory use: %v", err)
	}
	m := make(map[string]int64, 64)
	for line := range strings.Lines(b) {
		k, v, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(first(v), 10, 64)
		if err != nil {
			continue
		}
		m[k] = n << 10
	}
	if m["MemTotal"] == 0 {
		return nil, fmt.Errorf("read memory use: /proc/meminfo has no MemTotal")
	}
	return m, nil
}

func disk(path string) (total, used int64) {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) != nil {
		return 0, 0
	}
	bs := int64(st.Bsize)
	return int64(st.Blocks) * bs, int64(st.Blocks-st.Bfree) * bs
}

func first(s string) string {
	f := strings.Fields(s)
	if len(f) == 0 {
		return ""
	}
	return f[0]
}
