//go:build guest

package container

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// What a container sees: of the host as little as can be, of its own limits the truth.

// profiles are started one after the other; the second is a shell that has what systemd would have.
var profiles = []host.Profile{host.ProfileApp, host.ProfileSystem}

// viewed starts a box of a profile with one of everything that is mounted.
func viewed(t *testing.T, r *Runtime, id wire.CTID, p host.Profile) Observed {
	t.Helper()
	s := box(t, id, forever)
	s.Profile = p
	s.CPUMaxMicros = 50000
	s.Volumes = []host.Volume{{Name: "data", Path: "/var/data", Bytes: 1 << 20}}
	s.Files = []host.File{{Path: "/run/hardnode/conf", Mode: 0o400, Data: []byte("{}")}}
	s.IdentitySocket = filepath.Join(t.TempDir(), "identity.sock")
	l, err := net.Listen("unix", s.IdentitySocket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return mustStart(t, r, s)
}

// peers are the lines of a mountinfo that belong to a peer group or follow one (proc_pid_mountinfo(5), optional fields).
func peers(mountinfo string) (list []string) {
	for l := range strings.Lines(mountinfo) {
		fields, _, _ := strings.Cut(l, " - ")
		if strings.Contains(fields, " shared:") || strings.Contains(fields, " master:") || strings.Contains(fields, " propagate_from:") {
			list = append(list, strings.TrimSpace(l))
		}
	}
	return list
}

// TestMountsHaveNoPeers: / of the host is shared, as init makes it. A mount of it that stays in its peer group inside a container would
// carry what the container mounts over it to the host and to every later container.
func TestMountsHaveNoPeers(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if len(peers(string(b))) == 0 {
		t.Fatal("the guest's mounts are not shared as the real host's are")
	}
	jem, err := os.ReadFile("/usr/lib/hardnode/jem")
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range profiles {
		id := wire.CTID(310 + i)
		o := viewed(t, r, id, p)
		inside, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", o.PID))
		if err != nil {
			t.Fatal(err)
		}
		joined, _ := sh(t, r, id, "cat /proc/self/mountinfo")
		for who, text := range map[string]string{"PID 1": string(inside), "a command": joined} {
			if list := peers(text); len(list) > 0 || !strings.Contains(text, "/run/hardnode/jem") {
				t.Errorf("profile %s: mounts of %s have peers:\n%s", p, who, strings.Join(list, "\n"))
			}
		}
		before := worldOf(t)
		out, code := sh(t, r, id, "mount --bind /bin/busybox /run/hardnode/jem")
		if want := p == host.ProfileApp; want == (code == 0) {
			t.Errorf("profile %s: mount over JEM: %d %s", p, code, out)
		}
		before.compare(t, fmt.Sprintf("a mount over JEM in profile %s", p))
		if now, err := os.ReadFile("/usr/lib/hardnode/jem"); err != nil || len(now) != len(jem) {
			t.Errorf("profile %s: the host's JEM was mounted over: %d bytes, were %d: %v", p, len(now), len(jem), err)
		}
	}
}

// procSeen is what containers see of /proc beside processes, and why: whatever else this kernel has must be hidden.
var procSeen = map[string]string{
	"cgroups": "kernel's list", "cpuinfo": "runtimes look here", "crypto": "kernel's list", "devices": "kernel's list",
	"execdomains": "kernel's list",
	"fb":          "kernel's list", "filesystems": "kernel's list", "loadavg": "runtimes look here", "locks": "own pid namespace's",
	"meminfo": "runtimes look here",
	"misc":    "kernel's list", "mounts": "own", "net": "own", "self": "own", "stat": "runtimes look here",
	"sys":     "own and read-only settings",
	"sysvipc": "own", "thread-self": "own", "uptime": "runtimes look here", "version": "as uname", "vmstat": "monitoring looks here",
	"softirqs": "counters", "schedstat": "counters", "buddyinfo": "counters", "zoneinfo": "counters",
	"pressure": "read-only; own in /sys/fs/cgroup",
}

// sysSeen is the same of /sys, down to the depth where only harmless things are.
var sysSeen = []string{"/sys", "/sys/class", "/sys/class/net", "/sys/devices", "/sys/devices/system", "/sys/devices/system/cpu",
	"/sys/devices/system/node", "/sys/devices/virtual", "/sys/devices/virtual/net", "/sys/fs", "/sys/fs/cgroup", "/sys/kernel",
	"/sys/kernel/mm"}

// TestHostIsHidden walks /proc and /sys.
func TestHostIsHidden(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	for i, p := range profiles {
		id := wire.CTID(312 + i)
		viewed(t, r, id, p)
		out, _ := sh(t, r, id, `cd /proc; for f in *; do case $f in [0-9]*) continue;; esac
			if [ -d $f ]; then n=$(ls $f 2>/dev/null | wc -l); else n=$(head -c 100 $f 2>/dev/null | wc -c); fi; [ $n = 0 ] || echo $f; done`)
		for _, name := range strings.Fields(out) {
			if procSeen[name] == "" {
				t.Errorf("profile %s: /proc/%s is seen", p, name)
			}
		}
		out, _ = sh(t, r, id,
			`find /sys -maxdepth 4 -not -path '/sys/fs/cgroup/*' -not -path '/sys/devices/system/cpu/*' -not -path '/sys/devices/system/node/*' \
			-not -path '/sys/class/net/*' -not -path '/sys/devices/virtual/net/*' -not -path '/sys/kernel/mm/*'`)
		more := slices.DeleteFunc(strings.Fields(out), func(name string) bool { return slices.Contains(sysSeen, name) })
		if len(more) > 0 {
			t.Errorf("profile %s: %d more places of /sys are seen, first %q", p, len(more), more[:min(len(more), 10)])
		}
		for script, want := range map[string]string{
			"cat /sys/block/*/serial /sys/class/block/*/serial | wc -l": "0",
			"find /sys -name serial -o -name 'product_*' -o -name modalias -o -name uevent | grep -v /net/ | grep -vc " +
				"'/cpu/\\|/node/'": "0",
			"cat /sys/class/net/lo/mtu":                                       "65536",
			"cat /sys/devices/system/cpu/online":                              "0",
			"test -s /sys/kernel/mm/transparent_hugepage/enabled && echo thp": "thp",
			"grep -c . /proc/modules":                                         "0",
			"grep -c . /proc/partitions":                                      "0",
			"grep -c . /proc/diskstats":                                       "0",
			"grep -c . /proc/cmdline":                                         "0",
			"grep -c . /proc/kallsyms":                                        "0",
			"echo 'some 500000 2000000' > /proc/pressure/memory && echo written || echo no": "no",
			"echo 'some 500000 2000000' > /proc/pressure/cpu && echo written || echo no":    "no",
			"for f in $(find /sys -type f -perm -200 -not -path '/sys/fs/cgroup/*' | head -n 20); do (echo 0 > $f) && echo wrote $f; " +
				"done; echo end": "end",
			"echo x > /sys/fs/x || mkdir /sys/kernel/x || echo no": "no",
		} {
			if got, _ := sh(t, r, id, "{ "+script+"; } 2>/dev/null"); got != want {
				t.Errorf("profile %s: %s: got %q, want %q", p, script, got, want)
			}
		}
		if p == host.ProfileSystem { // its root may mount, but not what was hidden
			if got, _ := sh(t, r, id, "mkdir -p /tmp/s; mount -t sysfs s /tmp/s 2>/dev/null && ls /tmp/s || echo no"); got != "no" {
				t.Errorf("profile %s: a new sysfs shows %q", p, got)
			}
		}
	}
}

// TestLimitsAreSeen: the numbers of the container where Go, the JVM, Node, .NET and Python look for them, and they follow a change.
func TestLimitsAreSeen(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	for i, p := range profiles {
		id := wire.CTID(314 + i)
		viewed(t, r, id, p)
		see := func(when string, want map[string]string) {
			t.Helper()
			for f, w := range want {
				said := "$(cut -d: -f3 /proc/self/cgroup)"
				if p == host.ProfileSystem {
					said = "$(cut -d: -f3 /proc/1/cgroup)" // its commands have cgroups of their own that it sees
				}
				for _, from := range []string{"", said} { // the top, and where the process is said to be
					if got, _ := sh(t, r, id, "cat /sys/fs/cgroup"+from+"/"+f); got != w {
						t.Errorf("profile %s, %s: %s%s is %q, want %q", p, when, from, f, got, w)
					}
				}
			}
		}
		see("started", map[string]string{"memory.max": fmt.Sprint(128 << 20), "cpu.max": "50000 100000", "pids.max": "64"})
		shm := func() string {
			got, _ := sh(t, r, id, "df -k /dev/shm | awk 'NR==2 {print $2}'")
			return got
		}
		if got := shm(); got != fmt.Sprint(64<<10) {
			t.Errorf("profile %s: /dev/shm has %s KiB, want half of the memory", p, got)
		}
		for _, f := range []string{"memory.max", "cpu.max", "pids.max", "memory.high"} {
			if got, code := sh(t, r, id, "echo max > /sys/fs/cgroup/"+f); code == 0 {
				t.Errorf("profile %s: the container set its %s: %s", p, f, got)
			}
		}
		l := box(t, id, "").Limits
		l.MemoryMax, l.PIDs = 96<<20, 40
		if err := r.SetLimits(deadline(t), id, l, 25000); err != nil {
			t.Fatal(err)
		}
		see("made smaller", map[string]string{"memory.max": fmt.Sprint(96 << 20), "cpu.max": "25000 100000", "pids.max": "40"})
		if got := shm(); got != fmt.Sprint(48<<10) {
			t.Errorf("profile %s: /dev/shm has %s KiB after the change", p, got)
		}
		l.MemoryMax, l.PIDs = 256<<20, 400
		if err := r.SetLimits(deadline(t), id, l, 0); err != nil {
			t.Fatal(err)
		}
		see("made larger", map[string]string{"memory.max": fmt.Sprint(256 << 20), "cpu.max": "max 100000", "pids.max": "400"})
		if got := shm(); got != fmt.Sprint(128<<10) {
			t.Errorf("profile %s: /dev/shm has %s KiB after the change", p, got)
		}
		if got, _ := sh(t, r, id, "nproc"); got != "1" { // as common engines: a ceiling of CPU time is no affinity
			t.Errorf("profile %s: nproc says %s", p, got)
		}
	}
}
