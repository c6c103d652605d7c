package render

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// read is a file of testdata.
func read(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// sample is a container of 512 MiB, 256 MiB of swap and 1.5 processors on a host of two with 24 GiB. testdata has what a kernel said.
func sample(t testing.TB) *Values {
	return &Values{
		Host: HostOf(read(t, "host.meminfo"), read(t, "host.cpuinfo")),
		Memory: Memory{Max: Limit("536870912\n"), Current: Number("201326592\n"), SwapMax: Limit("268435456\n"),
			SwapCurrent: Number("1048576\n"), Stat: Flat(read(t, "memory.stat"))},
		CPU: CPU{Max: Ceiling("150000 100000\n"), User: 12340 * time.Millisecond, System: 5670 * time.Millisecond},
		Up:  100*time.Second + 55*time.Millisecond, Now: time.Unix(1_800_000_000, 0),
		Load:  Load{Mean: [3]float64{0.5, 0.25, 0.125}, Running: 2, Blocked: 1, Tasks: 17},
		Disks: Disks(read(t, "io.stat")),
	}
}

// files are all that is rendered.
var files = []struct {
	name string
	make func(*Values) []byte
}{{"meminfo", Meminfo}, {"cpuinfo", CPUInfo}, {"stat", Stat}, {"loadavg", Loadavg}, {"uptime", Uptime}, {"swaps", Swaps},
	{"diskstats", Diskstats}, {"online", Online}}

func TestGolden(t *testing.T) {
	for _, f := range files {
		path := filepath.Join("testdata", f.name+".golden")
		got := f.make(sample(t))
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want := read(t, f.name+".golden"); string(got) != want {
			t.Errorf("%s:\n%s\nwant\n%s\nif the change is meant: go test ./agent/procview/render -update", f.name, got, want)
		}
	}
}

// TestForm: each line is as the kernel's own: the same names in the same order, as wide, of as many fields.
func TestForm(t *testing.T) {
	names := func(text string) (list []string) {
		for line := range strings.Lines(text) {
			name, _, _ := strings.Cut(line, ":")
			list = append(list, name)
		}
		return list
	}
	kernel := read(t, "host.meminfo")
	last := -1
	has := names(kernel)
	for line := range strings.Lines(string(Meminfo(sample(t)))) {
		name, _, _ := strings.Cut(line, ":")
		at := -1
		for i, n := range has {
			if n == name {
				at = i
			}
		}
		if at >= 0 {
			if at <= last {
				t.Errorf("%s comes before what the kernel has before it", name)
			}
			last = at
			theirs := strings.Split(kernel, "\n")[at]
			if len(theirs) != len(strings.TrimSuffix(line, "\n")) {
				t.Errorf("%q is not as wide as the kernel's %q", line, theirs)
			}
		}
	}
	for name, c := range map[string]struct {
		line   string
		fields int
	}{"stat": {strings.SplitN(string(Stat(sample(t))), "\n", 2)[0], 11},
		"diskstats": {strings.SplitN(string(Diskstats(sample(t))), "\n", 2)[0], 20},
		"loadavg":   {string(Loadavg(sample(t))), 5}, "uptime": {string(Uptime(sample(t))), 2}} {
		if got := len(strings.Fields(c.line)); got != c.fields {
			t.Errorf("%s: %d fields, the kernel has %d: %q", name, got, c.fields, c.line)
		}
	}
}

func TestMemory(t *testing.T) {
	const mib = 1 << 20
	host := Host{Memory: 1024 * mib, Swap: 512 * mib}
	stat := func(file, active, inactive, slab, shmem int64) map[string]int64 {
		return map[string]int64{"file": file * mib, "active_file": active * mib, "inactive_file": inactive * mib,
			"slab_reclaimable": slab * mib, "shmem": shmem * mib}
	}
	for name, c := range map[string]struct {
		m    Memory
		want string // MemTotal MemFree MemAvailable Cached SwapTotal SwapFree, MiB
	}{
		"plain":                     {Memory{Max: 100 * mib, Current: 40 * mib, SwapMax: 0}, "100 60 60 0 0 0"},
		"files":                     {Memory{Max: 100 * mib, Current: 40 * mib, Stat: stat(30, 10, 20, 0, 0)}, "100 60 90 30 0 0"},
		"slab":                      {Memory{Max: 100 * mib, Current: 40 * mib, Stat: stat(0, 0, 0, 5, 0)}, "100 60 65 0 0 0"},
		"shared is not given back":  {Memory{Max: 100 * mib, Current: 40 * mib, Stat: stat(30, 0, 0, 0, 30)}, "100 60 60 30 0 0"},
		"full":                      {Memory{Max: 100 * mib, Current: 100 * mib}, "100 0 0 0 0 0"},
		"made smaller than the use": {Memory{Max: 100 * mib, Current: 140 * mib, Stat: stat(130, 0, 130, 0, 0)}, "100 0 100 100 0 0"},
		"files counted later":       {Memory{Max: 100 * mib, Current: 10 * mib, Stat: stat(30, 30, 0, 0, 0)}, "100 90 100 10 0 0"},
		"no limit":                  {Memory{Max: None, Current: 24 * mib, SwapMax: None}, "1024 1000 1000 0 512 512"},
		"more than the host": {Memory{Max: 4096 * mib, Current: 24 * mib, SwapMax: 4096 * mib, SwapCurrent: 12 * mib},
			"1024 1000 1000 0 512 500"},
		"nothing": {Memory{}, "0 0 0 0 0 0"},
	} {
		v := &Values{Host: host, Memory: c.m}
		var got []string
		for line := range strings.Lines(string(Meminfo(v))) {
			f := strings.Fields(line)
			switch f[0] {
			case "MemTotal:", "MemFree:", "MemAvailable:", "Cached:", "SwapTotal:", "SwapFree:":
				kb, _ := strconv.Atoi(f[1])
				got = append(got, strconv.Itoa(kb>>10))
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %s, want %s", name, strings.Join(got, " "), c.want)
		}
	}
}

func TestProcessors(t *testing.T) {
	for _, c := range []struct {
		ceiling string
		host    int
		want    int
		online  string
	}{
		{"max 100000", 4, 4, "0-3"}, {"100000 100000", 4, 1, "0"}, {"100001 100000", 4, 2, "0-1"}, {"1000 100000", 4, 1, "0"},
		{"400000 100000", 4, 4, "0-3"}, {"900000 100000", 4, 4, "0-3"}, {"50000 20000", 4, 3, "0-2"}, {"", 4, 4, "0-3"}, {"x y", 1, 1, "0"},
		{"0 0", 2, 2, "0-1"}, {"max 100000", 0, 1, "0"},
	} {
		v := &Values{Host: Host{CPUs: make([]string, c.host)}, CPU: CPU{Max: Ceiling(c.ceiling)}}
		if got := v.Processors(); got != c.want {
			t.Errorf("%q of %d: %d processors, want %d", c.ceiling, c.host, got, c.want)
		}
		if got := strings.TrimSpace(string(Online(v))); got != c.online {
			t.Errorf("%q of %d: online %s, want %s", c.ceiling, c.host, got, c.online)
		}
		if got := strings.Count(string(CPUInfo(v)), "processor\t: "); got != min(c.want, c.host) {
			t.Errorf("%q of %d: %d in cpuinfo", c.ceiling, c.host, got)
		}
		if got := strings.Count(string(Stat(v)), "cpu"); got != c.want+1 {
			t.Errorf("%q of %d: %d lines in stat, want one more than %d", c.ceiling, c.host, got, c.want)
		}
	}
}

// top reads /proc/stat as top and its likes do: from two readings, what part of the time was not idle.
func TestBusy(t *testing.T) {
	at := func(up, used time.Duration) (busy, all int64) {
		v := &Values{Host: Host{CPUs: make([]string, 2)}, Up: up, CPU: CPU{User: used}}
		for i, f := range strings.Fields(strings.SplitN(string(Stat(v)), "\n", 2)[0])[1:] {
			n, _ := strconv.ParseInt(f, 10, 64)
			if all += n; i != 3 {
				busy += n
			}
		}
		return busy, all
	}
	b1, a1 := at(10*time.Second, 4*time.Second)
	b2, a2 := at(12*time.Second, 5*time.Second)
	if busy, all := b2-b1, a2-a1; busy != 100 || all != 400 {
		t.Errorf("a second of two processors for two seconds: %d of %d ticks, want 100 of 400", busy, all)
	}
}

// TestExtremes: whatever a kernel may say, figures stay figures.
func TestExtremes(t *testing.T) {
	for _, n := range []int64{0, 1, math.MaxInt64, -1} {
		v := &Values{Host: Host{Memory: n, Swap: n, CPUs: make([]string, 3)},
			Memory: Memory{Max: n, Current: n, SwapMax: n, SwapCurrent: n},
			CPU:    CPU{User: time.Duration(n), System: 1}, Up: time.Duration(n), Now: time.Unix(1, 0),
			Disks: []Disk{{Reads: math.MaxUint64, Read: math.MaxUint64}}}
		for _, f := range files {
			if n >= 0 && strings.Contains(string(f.make(v)), " -") && f.name != "swaps" { // which has the kernel's priority, -2
				t.Errorf("%d: %s has a negative figure:\n%s", n, f.name, f.make(v))
			}
		}
	}
}

func TestDisksHaveNoNames(t *testing.T) {
	got := string(Diskstats(sample(t)))
	for i, line := range strings.Split(strings.TrimSpace(got), "\n") {
		f := strings.Fields(line)
		if f[0] != "259" || f[1] != strconv.Itoa(i) || f[2] != fmt.Sprintf("disk%d", i) {
			t.Errorf("line %q names the host's disk", line)
		}
	}
}

func FuzzKernel(f *testing.F) {
	for _, name := range []string{"memory.stat", "io.stat", "host.meminfo", "host.cpuinfo"} {
		f.Add(read(f, name))
	}
	f.Add("max 100000")
	f.Add("9223372036854775807 1")
	f.Add("1:2 rbytes=18446744073709551615")
	f.Fuzz(func(t *testing.T, text string) {
		v := &Values{Host: HostOf(text, text),
			Memory: Memory{Max: Limit(text), Current: Number(text), SwapMax: Limit(text), Stat: Flat(text)},
			CPU:    CPU{Max: Ceiling(text), User: time.Duration(Number(text))}, Up: time.Duration(Number(text)), Disks: Disks(text)}
		if n := v.Processors(); n < 1 || n > max(len(v.Host.CPUs), 1) {
			t.Fatalf("%d processors of %d", n, len(v.Host.CPUs))
		}
		for _, file := range files {
			if b := file.make(v); len(b) > 64<<10+3*len(text) {
				t.Fatalf("%s has %d bytes", file.name, len(b))
			}
		}
	})
}
