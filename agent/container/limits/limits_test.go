package limits

import (
	"fmt"
	"slices"
	"testing"

	"hardnode.dev/internal/wire/host"
)

func TestLimitSettings(t *testing.T) {
	for _, c := range []struct {
		l    host.Limits
		cpu  int64
		want string
	}{
		{host.Limits{}, 0, "[{memory.min 0} {memory.high max} {memory.max max} {cpu.weight 100} {cpu.max max 100000} {pids.max 1024}]"},
		{host.Limits{MemoryMin: 1, MemoryHigh: 2, MemoryMax: 3, CPUWeight: 20000, PIDs: 7}, 250000,
			"[{memory.min 1} {memory.high 2} {memory.max 3} {cpu.weight 10000} {cpu.max 250000 100000} {pids.max 7}]"},
		{host.Limits{CPUWeight: 1}, 5,
			"[{memory.min 0} {memory.high max} {memory.max max} {cpu.weight 1} {cpu.max 1000 100000} {pids.max 1024}]"},
	} {
		if got := fmt.Sprint(Settings(c.l, c.cpu)); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

// TestUnborn: only what a new cgroup does not have is written. That the kernel's defaults are those, a guest test shows.
func TestUnborn(t *testing.T) {
	if got, want := fmt.Sprint(Unborn(Settings(host.Limits{}, 0))), "[{pids.max 1024}]"; got != want {
		t.Errorf("without limits: %s, want %s", got, want)
	}
	all := Settings(host.Limits{MemoryMin: 1, MemoryHigh: 2, MemoryMax: 3, CPUWeight: 4, PIDs: 7}, 250000)
	if got := Unborn(all); !slices.Equal(got, all) {
		t.Errorf("with all limits: %v, want %v", got, all)
	}
}
