//go:build qemu

package story

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/qemu-tests/cluster"
	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/harness/ask"
)

const (
	idleNodes = 300
	perLayer  = 100 // as many nodes as a layer may have
	idleFor   = 4 * time.Minute
	mostIdle  = 3.0 // percent of a core that the agent may use beside so many idle containers
)

// ofContainer is the cgroup of what runs in a container, or for it.
var ofContainer = regexp.MustCompile(`^/ct/\d+(/|$)`)

// TestFiguresIdle prints what a joined host's programs use of a processor while many containers do nothing, their use counted: part of
// `make bench`.
func TestFiguresIdle(t *testing.T) {
	if os.Getenv("HARDNODE_BENCH") == "" {
		t.Skip("HARDNODE_BENCH, the number of runs, is not set")
	}
	c, err := cluster.Start(t.Context(), cluster.Options{Dir: harness.Dir(t), Hosts: 1, HostMiB: 2048, DiskMiB: 64 << 10, Bare: true,
		Probe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s, m := story{t, c}, c.Hosts[0]
	if err := c.WaitRegistry(t.Context(), patience()); err != nil {
		t.Fatal(err)
	}
	dir := s.small("idle", func(c *v1.ConfigFile) { c.Config.Entrypoint = []string{"sleep", "1000000"} })
	var tpl host.Template
	if err := json.Unmarshal([]byte(s.hnctl("template", "push", dir, "-o", "json")), &tpl); err != nil {
		t.Fatal(err)
	}
	s.listed("idle")
	begin := time.Now()
	// hnctl waits no longer than ten minutes by itself; so many are waited for here.
	var parts []string
	for i := range idleNodes / perLayer {
		name := fmt.Sprintf("idle-%d", i)
		s.hnctl("env", "create", "--no-wait", "-f", s.file(name, perLayer, "template: nginx", "template: idle",
			"reserved: 1", "reserved: 0", "dynamic: 2}", "dynamic: 1}\n    diskMiB: 64"))
		parts = append(parts, name)
	}
	for _, name := range parts {
		if _, err := s.WaitEnv(t.Context(), name, 6*patience(), running); err != nil {
			t.Fatal(err)
		}
	}
	run.Wait(t.Context(), time.Minute) // what a start leaves to be done is done
	before, from := s.ours(m), time.Now()
	run.Wait(t.Context(), idleFor)
	after, over := s.ours(m), time.Since(from)
	if n := len(s.inContainers(m)); n != idleNodes {
		t.Errorf("%d containers run, want %d", n, idleNodes)
	}
	var all, agent float64
	for _, exe := range slices.Sorted(maps.Keys(after)) {
		share := 100 * (after[exe] - before[exe]).Seconds() / over.Seconds()
		fmt.Fprintf(t.Output(), "FIGURE %s beside %d idle containers: %.2f %% of a core\n", exe, idleNodes, share)
		if all += share; exe == agentExe {
			agent = share
		}
	}
	fmt.Fprintf(t.Output(), "FIGURE agent beside %d idle containers, their use counted: %.2f %% of a core over %.0f s (bar %.0f %%); "+
		"all of the host's programs %.2f %%; the containers ran after %.0f s\n", idleNodes, agent, over.Seconds(), mostIdle, all,
		from.Sub(begin).Seconds()-60)
	if _, there := before[agentExe]; !there || agent <= 0 || agent > mostIdle {
		t.Errorf("the agent uses %.2f %% of a core, want at most %.0f", agent, mostIdle)
	}
}

// ours is the processor time that each of a host's programs has used, by its path; all processes of one together.
func (s story) ours(m *cluster.Machine) map[string]time.Duration {
	s.Helper()
	out := map[string]time.Duration{}
	for _, p := range s.ask(m, ask.Request{What: "processes"}).Processes {
		if !ofContainer.MatchString(p.Cgroup) && p.Exe != "/probe" {
			out[p.Exe] += time.Duration(p.CPU) * time.Second / ask.Ticks
		}
	}
	return out
}
