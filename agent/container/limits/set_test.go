package limits

import (
	"os"
	"path/filepath"
	"testing"

	"hardnode.dev/internal/wire/ceiling"
	"hardnode.dev/internal/wire/host"
)

// TestDriftOfDisks: each disk has limits of its own, and no line when it has none.
func TestDriftOfDisks(t *testing.T) {
	l := host.Limits{Ceilings: ceiling.Ceilings{ReadBytes: 1 << 20, WriteOps: 100}}
	dir := t.TempDir()
	text := "8:16 rbps=1048576 wbps=max riops=max wiops=100\n254:0 rbps=max wbps=max riops=5 wiops=max\n"
	if err := os.WriteFile(filepath.Join(dir, "io.max"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	quota := func() (int64, error) { return 0, nil }
	for _, c := range []struct {
		disks []string
		want  string
	}{
		{[]string{"8:16"}, ""},
		{[]string{"8:16", "254:0"},
			"io.max of 254:0 is rbps=max wbps=max riops=5 wiops=max, wanted rbps=1048576 wbps=max riops=max wiops=100"},
		{[]string{"7:0"}, "io.max of 7:0 is rbps=max wbps=max riops=max wiops=max, wanted rbps=1048576 wbps=max riops=max wiops=100"},
		{nil, ""},
	} {
		if got := Read(dir, c.disks, quota).Drift(l, 0); got != c.want {
			t.Errorf("%v: got %q, want %q", c.disks, got, c.want)
		}
		if got := Of(l, 0, c.disks...).Drift(l, 0); got != "" {
			t.Errorf("%v: its own limits drift: %s", c.disks, got)
		}
	}
}

// TestDrift: what the kernel has is compared as it keeps it.
func TestDrift(t *testing.T) {
	l := host.Limits{MemoryMin: 1, MemoryMax: 3<<20 + 5, CPUWeight: 20000, PIDs: 7, DiskBytes: 9}
	other := l
	other.PIDs, other.DiskBytes = 8, 0
	noQuota := Of(other, 5)
	noQuota.noDisk = true
	for _, c := range []struct {
		name string
		s    Set
		want string
	}{
		{"the same", Of(l, 5), ""},
		{"nothing is known", Set{noDisk: true}, ""},
		{"some", Of(other, 5), "pids.max is 8, wanted 7; disk quota is 0, wanted 9"},
		{"the quota is not known", noQuota, "pids.max is 8, wanted 7"},
		{"as the kernel writes it",
			Set{cgroup: "memory.min 0\nmemory.high max\nmemory.max 3145728\ncpu.weight 10000\ncpu.max 1000 100000\npids.max 7\n", disk: 9},
			""},
		{"one file is missing", Set{cgroup: "cpu.weight 1\n", disk: 9}, "cpu.weight is 1, wanted 10000"},
	} {
		if got := c.s.Drift(l, 5); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
