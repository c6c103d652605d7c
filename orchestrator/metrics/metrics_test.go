package metrics

import (
	"net/http/httptest"
	"strings"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/strain"
	"hardnode.dev/internal/wire/upkeep"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
	"hardnode.dev/orchestrator/world"
)

// TestContainers: what containers lack and what happened to them is there, as numbers that do not become more with more containers.
func TestContainers(t *testing.T) {
	scrape := func(containers int) (lines []string) {
		kept := store.NewMemory()
		if _, err := kept.Update(t.Context(), func(tx *store.Tx) error {
			store.Hosts.Put(tx, "h-1", store.Host{ID: "h-1", Name: "host-1", Role: "user"})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		r := &host.Report{}
		for i := range containers {
			r.Containers = append(r.Containers, host.ContainerStatus{CTID: wire.CTID(101 + i),
				Strain: strain.Strain{CPU: 20, Memory: 9, IO: 10 + i}})
		}
		w := world.World{View: kept.View(), Live: live.Snapshot{"h-1": {State: live.State{State: operator.HostActive}, Report: r}}}
		w = w.For(world.Admin)
		h := Handler(func() world.World { return w }, func() float64 { return 0 }, func() map[upkeep.Cause]int { return nil },
			func() live.Met { return live.Met{Kills: 3, ThrottledMs: 1500, Restarts: 2} })
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
		for line := range strings.Lines(answer.Body.String()) {
			if strings.HasPrefix(line, "hardnode_") {
				lines = append(lines, strings.TrimSpace(line))
			}
		}
		return lines
	}
	got := scrape(3)
	for _, want := range []string{`hardnode_containers_pressed{resource="cpu"} 3`, `hardnode_containers_pressed{resource="memory"} 0`,
		`hardnode_containers_pressed{resource="io"} 3`, `hardnode_containers_pressure_percent{resource="cpu"} 20`,
		`hardnode_containers_pressure_percent{resource="memory"} 9`, `hardnode_containers_pressure_percent{resource="io"} 12`,
		"hardnode_containers_oom_kills_total 3", "hardnode_containers_throttled_seconds_total 1.5",
		"hardnode_containers_restarts_total 2"} {
		if !strings.Contains(strings.Join(got, "\n")+"\n", want+"\n") {
			t.Errorf("no line %q in\n%s", want, strings.Join(got, "\n"))
		}
	}
	if more := scrape(80); len(more) != len(got) {
		t.Errorf("%d lines with 80 containers, %d with 3", len(more), len(got))
	}
}
