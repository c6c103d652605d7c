package support

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
)

// plain are the files of /proc, /sys and /run that are taken as they are, by their names in the archive.
var plain = []struct{ name, path string }{
	{"boots.json", boot.BootsFile},
	{"crash.txt", boot.CrashFile},
	{"system/cmdline", "/proc/cmdline"},
	{"system/version", "/proc/version"},
	{"system/cpuinfo", "/proc/cpuinfo"},
	{"system/meminfo", "/proc/meminfo"},
	{"system/vmstat", "/proc/vmstat"},
	{"system/loadavg", "/proc/loadavg"},
	{"system/uptime", "/proc/uptime"},
	{"system/modules", "/proc/modules"},
	{"system/interrupts", "/proc/interrupts"},
	{"system/pressure-cpu", "/proc/pressure/cpu"},
	{"system/pressure-memory", "/proc/pressure/memory"},
	{"system/pressure-io", "/proc/pressure/io"},
	{"disk/mounts", "/proc/1/mountinfo"},
	{"disk/partitions", "/proc/partitions"},
	{"disk/diskstats", "/proc/diskstats"},
	{"network/dev", "/proc/net/dev"},
	{"network/route", "/proc/net/route"},
	{"network/route6", "/proc/net/ipv6_route"},
	{"network/arp", "/proc/net/arp"},
	{"network/sockstat", "/proc/net/sockstat"},
	{"network/snmp", "/proc/net/snmp"},
	{"network/netstat", "/proc/net/netstat"},
}

// walks are the trees whose small files are taken together, each behind its path.
var walks = []struct {
	name, root string
	want       []string // names of files; a name that ends with * is a beginning; none is all
}{
	{"disk/btrfs.txt", "/sys/fs/btrfs", nil},
	{"cgroups.txt", "/sys/fs/cgroup", []string{"cgroup.events", "memory.current", "memory.peak", "memory.max", "memory.high",
		"memory.events",
		"memory.pressure", "cpu.stat", "cpu.max", "cpu.weight", "io.stat", "pids.current", "pids.max", "cpu.pressure", "io.pressure"}},
	{"sensors.txt", "/sys/class/hwmon", []string{"name", "temp*", "fan*", "in*", "power*"}},
	{"system/dmi.txt", "/sys/class/dmi/id", []string{"bios_*", "board_name", "board_vendor", "product_name", "sys_vendor"}},
	{"system/watchdog.txt", "/sys/class/watchdog", []string{"identity", "bootstatus", "state", "timeout"}},
}

// files are all files of the archive, in its order.
func (s Source) files() (out []file) {
	add := func(name string, take func(context.Context) ([]byte, error)) { out = append(out, file{name, take}) }
	add("README.txt", s.readme)
	add("config.json", s.Configuration)
	add("agent.json", func(ctx context.Context) ([]byte, error) { return indented(s.Status(ctx)) })
	add("machine.json", func(context.Context) ([]byte, error) { return indented(s.Machine()) })
	add("gossip.json", func(context.Context) ([]byte, error) { return indented(s.Gossip()) })
	add("init.json", func(ctx context.Context) ([]byte, error) { return s.Ask(ctx, boot.InitSocket, "/v1/status") })
	add("network/links.json", func(ctx context.Context) ([]byte, error) { return s.Ask(ctx, boot.NetdSocket, "/v1/links") })
	add("network/interfaces.txt", interfaces)
	for _, unit := range append(slices.Clone(host.Units), host.UnitDmesg) {
		add("logs/"+string(unit)+".log", func(ctx context.Context) ([]byte, error) { return s.log(ctx, unit) })
	}
	for _, p := range plain {
		add(p.name, func(context.Context) ([]byte, error) {
			raw, err := readLast(s.Root + p.path)
			if errors.Is(err, fs.ErrNotExist) { // not every machine has it
				return nil, nil
			}
			return raw, err
		})
	}
	for _, w := range walks {
		add(w.name, func(ctx context.Context) ([]byte, error) { return s.walk(ctx, w.root, w.want) })
	}
	add("processes.txt", s.processes)
	return out
}

func (s Source) readme(context.Context) ([]byte, error) {
	return fmt.Appendf(nil,
		"The state of one host of Hardnode, made %s by version %s.\nSecrets are left out or replaced by %q. Of containers "+
			"there is what the host counts of them, and nothing of theirs.\nWhat is not here is said in missing.txt.\n",
		s.Now().UTC().Format(time.RFC3339), s.Version, hidden), nil
}

func indented(v any) ([]byte, error) {
	raw, err := json.MarshalIndent(v, "", "  ")
	return append(raw, '\n'), err
}

func (s Source) log(ctx context.Context, unit host.Unit) ([]byte, error) {
	var out bytes.Buffer
	err := s.Logs(ctx, host.HostLogsSpec{Unit: unit}, func(line []byte) error {
		out.Write(line)
		out.WriteByte('\n')
		if over := out.Len() - 2*maxFile; over > 0 {
			out.Next(over)
		}
		return ctx.Err()
	})
	return out.Bytes(), err
}

// maxWalk bounds a walk, in files, and each file of it, in bytes.
const (
	maxWalk      = 20_000
	maxWalkBytes = 4 << 10
)

func (s Source) walk(ctx context.Context, root string, want []string) ([]byte, error) {
	var out bytes.Buffer
	seen := 0
	err := s.each(ctx, s.Root+root, func(path string) error {
		if want != nil && !slices.ContainsFunc(want, func(w string) bool { return matches(w, filepath.Base(path)) }) {
			return nil
		}
		if seen++; seen > maxWalk || out.Len() > 2*maxFile {
			return fmt.Errorf("%s: there is more than the first %d files", root, seen)
		}
		raw, err := readHead(path, maxWalkBytes)
		if err != nil || len(raw) == 0 {
			return nil // many files there can't be read
		}
		fmt.Fprintf(&out, "%s\n", strings.TrimPrefix(path, s.Root))
		for line := range bytes.Lines(raw) {
			fmt.Fprintf(&out, "\t%s\n", bytes.TrimRight(line, "\n"))
		}
		return nil
	})
	return out.Bytes(), err
}

// each calls f with the files below root; one link below it is followed, as classes of devices have them.
func (s Source) each(ctx context.Context, root string, f func(path string) error) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return nil // it went meanwhile, or is not there
		case d.Type()&fs.ModeSymlink != 0 && filepath.Dir(path) == root:
			entries, err := os.ReadDir(path)
			if err != nil {
				return nil
			}
			for _, e := range entries {
				if e.Type().IsRegular() {
					if err := f(filepath.Join(path, e.Name())); err != nil {
						return err
					}
				}
			}
			return nil
		case d.Type().IsRegular():
			return f(path)
		}
		return nil
	})
}

func readHead(path string, most int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw := make([]byte, most)
	n, err := f.Read(raw)
	return raw[:n], err
}

func matches(want, name string) bool {
	if head, ok := strings.CutSuffix(want, "*"); ok {
		return strings.HasPrefix(name, head)
	}
	return want == name
}

// processes lists number, state, resident pages and name of each process: its command line may hold what is nobody else's.
func (s Source) processes(ctx context.Context) ([]byte, error) {
	entries, err := os.ReadDir(s.Root + "/proc")
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for _, e := range entries {
		if ctx.Err() != nil {
			return out.Bytes(), ctx.Err()
		}
		if e.Name()[0] < '0' || e.Name()[0] > '9' {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(s.Root, "/proc", e.Name(), "stat"))
		if err != nil {
			continue // it ended meanwhile
		}
		if open, end := bytes.IndexByte(raw, '('), bytes.LastIndexByte(raw, ')'); open > 0 && end > open {
			if f := strings.Fields(string(raw[end+1:])); len(f) > 21 {
				fmt.Fprintf(&out, "%s %s rss %s pages %s\n", e.Name(), f[0], f[21], raw[open+1:end])
			}
		}
	}
	return out.Bytes(), nil
}

func interfaces(context.Context) ([]byte, error) {
	links, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for _, l := range links {
		addrs, _ := l.Addrs() // a link that went meanwhile has none
		fmt.Fprintf(&out, "%d %s mtu %d %s %s %v\n", l.Index, l.Name, l.MTU, l.HardwareAddr, l.Flags, addrs)
	}
	return out.Bytes(), nil
}
