package facts

import (
	"os"
	"path/filepath"
	"testing"

	"hardnode.dev/internal/wire/host"
)

func fakeRoot(t *testing.T, files map[string]string) Source {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Source{Root: root, Data: root}
}

const meminfo = `MemTotal:        1000 kB
MemFree:          400 kB
SwapTotal:        500 kB
SwapFree:         420 kB
MemAvailable:     700 kB
Buffers:           50 kB
Cached:           200 kB
Shmem:             20 kB
SReclaimable:      30 kB
HugePages_Total:       0
`

func TestLoad(t *testing.T) {
	s := fakeRoot(t,
		map[string]string{"proc/meminfo": meminfo, "proc/loadavg": "0.52 0.4 0.3 1/99 1234\n", "proc/uptime": "61.30 100.00\n",
			"proc/sys/net/netfilter/nf_conntrack_count": "77\n", "proc/sys/net/netfilter/nf_conntrack_max": "65536\n"})
	l, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(1000-400-50-180-30) << 10; l.MemoryUsed != want {
		t.Errorf("memory used: got %d, want %d", l.MemoryUsed, want)
	}
	if l.Swap != 500<<10 || l.SwapUsed != 80<<10 {
		t.Errorf("swap: %d, used %d", l.Swap, l.SwapUsed)
	}
	if l.Connections != 77 || l.MaxConnections != 65536 {
		t.Errorf("%d connections of %d", l.Connections, l.MaxConnections)
	}
	if l.Load1 != 0.52 || l.UptimeSec != 61 || l.DiskUsed <= 0 {
		t.Errorf("got %+v", l)
	}
	if _, err := fakeRoot(t, map[string]string{"proc/meminfo": "junk\n"}).Load(); err == nil {
		t.Error("a meminfo without MemTotal gave no error")
	}
}

func TestPressure(t *testing.T) {
	if got := fakeRoot(t, nil).Pressure(); got != (host.Pressure{}) {
		t.Errorf("a kernel that doesn't tell: %+v", got)
	}
	s := fakeRoot(t, map[string]string{
		"proc/pressure/cpu":    "some avg10=98.72 avg60=73.01 avg300=30.00 total=123\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
		"proc/pressure/memory": "some avg10=40.00 avg60=3.01 avg300=3.00 total=123\nfull avg10=12.50 avg60=0.00 avg300=0.00 total=5\n",
		"proc/pressure/io":     "damaged",
	})
	if got, want := s.Pressure(), (host.Pressure{CPU: 98.72, Memory: 12.5}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestFull(t *testing.T) {
	const mib, gib = int64(1) << 20, int64(1) << 30
	for _, c := range []struct {
		free, total int64
		want        string
	}{
		{0, 0, ""},
		{0, 8 * gib, "0 MiB of 8.0 GiB are free"},
		{256 * mib, 8 * gib, "256 MiB of 8.0 GiB are free"},
		{257 * mib, 8 * gib, ""},
		{30 * mib, gib, "30 MiB of 1.0 GiB are free"},
		{40 * mib, gib, ""},
		{300 * mib, 4096 * gib, ""},
	} {
		if got := full(c.free, c.total); got != c.want {
			t.Errorf("full(%d, %d) = %q, want %q", c.free, c.total, got, c.want)
		}
	}
}

func TestMHz(t *testing.T) {
	const base, high = "sys/devices/system/cpu/cpu0/cpufreq/base_frequency", "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq"
	tests := []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"base before highest", map[string]string{base: "2400000\n", high: "3900000\n"}, 2400},
		{"highest", map[string]string{high: "3900000\n"}, 3900},
		{"cpuinfo", map[string]string{"proc/cpuinfo": "processor\t: 0\ncpu MHz\t\t: 2445.406\n"}, 2445},
		{"nothing", nil, fallbackMHz},
		{"nonsense", map[string]string{"proc/cpuinfo": "cpu MHz : x\n"}, fallbackMHz},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := fakeRoot(t, tt.files).mhz(); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}
