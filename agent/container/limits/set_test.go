package limits

import (
	"testing"

	"hardnode.dev/internal/wire/host"
)

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
