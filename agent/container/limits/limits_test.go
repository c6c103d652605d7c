package limits

import (
	"fmt"
	"slices"
	"testing"

	"hardnode.dev/internal/wire/ceiling"
	"hardnode.dev/internal/wire/host"
)

func TestLimitSettings(t *testing.T) {
	for _, c := range []struct {
		l     host.Limits
		cpu   int64
		disks []string
		want  string
	}{
		{host.Limits{}, 0, nil, "[{memory.min 0} {memory.high max} {memory.max max} {memory.swap.max max} {cpu.weight 100} " +
			"{cpu.max max 100000} {pids.max 1024}]"},
		{host.Limits{MemoryMin: 1, MemoryHigh: 2, MemoryMax: 30, CPUWeight: 20000, PIDs: 7,
			Ceilings: ceiling.Ceilings{WriteBytes: 5, ReadOps: 1 << 40}}, 250000, []string{"254:0", "8:16"},
			"[{memory.min 1} {memory.high 2} {memory.max 30} {memory.swap.max 15} {cpu.weight 10000} {cpu.max 250000 100000} " +
				"{pids.max 7} " +
				"{io.max 254:0 rbps=max wbps=5 riops=4294967294 wiops=max} " +
				"{io.max 8:16 rbps=max wbps=5 riops=4294967294 wiops=max}]"},
		{host.Limits{CPUWeight: 1, Ceilings: ceiling.Ceilings{Swap: ceiling.NoSwap}}, 5, nil,
			"[{memory.min 0} {memory.high max} {memory.max max} {memory.swap.max 0} {cpu.weight 1} {cpu.max 1000 100000} " +
				"{pids.max 1024}]"},
	} {
		if got := fmt.Sprint(Settings(c.l, c.cpu, c.disks)); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

// TestUnborn: only what a new cgroup does not have is written. That the kernel's defaults are those, a guest test shows.
func TestUnborn(t *testing.T) {
	if got, want := fmt.Sprint(Unborn(Settings(host.Limits{}, 0, []string{"254:0"}))), "[{pids.max 1024}]"; got != want {
		t.Errorf("without limits: %s, want %s", got, want)
	}
	all := Settings(host.Limits{MemoryMin: 1, MemoryHigh: 2, MemoryMax: 3, CPUWeight: 4, PIDs: 7,
		Ceilings: ceiling.Ceilings{ReadBytes: 1}}, 250000, []string{"254:0"})
	if got := Unborn(all); !slices.Equal(got, all) {
		t.Errorf("with all limits: %v, want %v", got, all)
	}
}
