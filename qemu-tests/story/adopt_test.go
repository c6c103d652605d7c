//go:build qemu

package story

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/qemu-tests/cluster"
	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/harness/ask"
)

const (
	spawnerExe  = "/usr/lib/hardnode/spawner"
	many        = 20               // containers, beside the one of hello
	adoptedIn   = 2 * time.Second  // what a killed agent may take to know its containers again; emulated machines get harness.Scale
	normalLife  = 11 * time.Second // an agent that lived so long is started again without a back-off (init/supervise)
	adoptedLine = `service agent: adopted (\d+) running containers`
)

// process names a process for good: its number may be used again, its start time with it not.
type process struct {
	pid   int
	start int64
}

// Commands in a container have cgroups of their own beside p: those of JEM, say, which its host runs after a resize, come and go.
var inContainer = regexp.MustCompile(`^/ct/(\d+)/p(/|$)`)

// inContainers are the processes of a host's containers.
func (s story) inContainers(m *cluster.Machine) map[wire.CTID][]process {
	s.Helper()
	out := map[wire.CTID][]process{}
	for _, p := range s.ask(m, ask.Request{What: "processes"}).Processes {
		if g := inContainer.FindStringSubmatch(p.Cgroup); g != nil {
			id, err := wire.ParseCTID(g[1])
			if err != nil {
				s.Fatal(err)
			}
			out[id] = append(out[id], process{p.PID, p.Start})
		}
	}
	return out
}

// sameProcesses fails when a container lost a process or got a new one.
func (s story) sameProcesses(m *cluster.Machine, want map[wire.CTID][]process) {
	s.Helper()
	got := s.inContainers(m)
	for id := range want {
		if !slices.Equal(got[id], want[id]) {
			s.Errorf("container %s on %s had the processes %v, has %v", id, m.Name, want[id], got[id])
		}
	}
	if len(got) != len(want) {
		s.Errorf("%s had containers %v, has %v", m.Name, slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got)))
	}
}

// manyContainers kills the agent, and then the spawner, under many containers: none of them notices.
func manyContainers(s story) {
	_, m := s.oneHost(time.Hour) // so that they all come to one host
	defer s.bothHosts()
	s.hnctl("env", "create", "-f", s.file("many", many, "reserved: 1", "reserved: 0", "dynamic: 2}", "dynamic: 2}\n    diskMiB: 64"))
	before := s.settled("many")
	procs := s.inContainers(m)
	if len(procs) < many {
		s.Fatalf("%d containers run on %s, want %d at least", len(procs), m.Name, many)
	}
	mem := s.ask(m, ask.Request{What: "memory"}).Memory
	s.figure("%d containers on %s: %.0f of %.0f MiB used", len(procs), m.Name, float64(mem.Used)/(1<<20), float64(mem.Total)/(1<<20))
	s.Run("agent", func(t *testing.T) { story{t, s.Cluster}.agentKilledUnder(m, procs) })
	s.Run("spawner", func(t *testing.T) { story{t, s.Cluster}.spawnerKilledUnder(m, procs) })
	s.sameNodes(before, s.settled("many"))
	s.delete("many")
}

// agentKilledUnder kills the agent again and again; each time it must know all containers soon.
func (s story) agentKilledUnder(m *cluster.Machine, procs map[wire.CTID][]process) {
	hello := s.settled("hello")
	v, begin := s.visitor(100*time.Millisecond), time.Now()
	var took []time.Duration
	for range soak(3, 20) {
		mark := m.VM().Console.Mark()
		killed := time.Now()
		s.ask(m, ask.Request{What: "kill", Path: agentExe})
		line := s.console(m, mark, patience(), "the killed agent is started again and adopts what runs", adoptedLine)
		took = append(took, time.Since(killed))
		if n, _ := strconv.Atoi(line[1]); n != len(procs) {
			s.Errorf("the agent adopted %d containers, %d run", n, len(procs))
		}
		if took[len(took)-1] > adoptedIn*harness.Scale() {
			s.Logf("adopted after %v; the agent's log:\n%s", took[len(took)-1], s.tail(m, "/run/hardnode/log/agent", 20))
		}
		s.sameProcesses(m, procs)
		run.Wait(s.Context(), time.Until(killed.Add(normalLife)))
	}
	slices.Sort(took)
	s.figure("agent killed under %d containers, %d times: adopted again after %.2f s (median; %.2f to %.2f); the agent's own look took %q",
		len(procs), len(took), took[len(took)/2].Seconds(), took[0].Seconds(), took[len(took)-1].Seconds(),
		looks(s.tail(m, "/run/hardnode/log/agent", 1000)))
	if most := slack * adoptedIn * harness.Scale(); took[len(took)/2] > most {
		s.Errorf("adopted again after %v, want at most %v", took, most)
	}
	if _, err := s.WaitHost(s.Context(), m.Name, patience(), isActive); err != nil {
		s.Error(err)
	}
	s.sameNodes(hello, s.settled("hello"))
	if bad := failed(v.stop(), begin); len(bad) > 0 {
		s.Errorf("pages failed while the agent was killed: %q", bad)
	}
}

var lookLine = regexp.MustCompile(`msg="looked at what runs" .* took=(\S+)`)

// looks are how long an agent's first look took, each time it was started.
func looks(log string) (out []string) {
	for _, g := range lookLine.FindAllStringSubmatch(log, -1) {
		out = append(out, g[1])
	}
	return out
}

// tail is the last lines of a file on a machine.
func (s story) tail(m *cluster.Machine, path string, n int) string {
	s.Helper()
	all := strings.Split(strings.TrimSpace(s.ask(m, ask.Request{What: "read", Path: path}).Text), "\n")
	return strings.Join(all[max(0, len(all)-n):], "\n")
}

// spawnerKilledUnder kills the spawner, which is every container's parent: its successor takes them over, and exec and logs go on.
func (s story) spawnerKilledUnder(m *cluster.Machine, procs map[wire.CTID][]process) {
	hello, here := s.settled("hello"), on(m, s.settled("many"))
	if len(here) == 0 {
		s.Fatalf("no node of many is on %s", m.Name)
	}
	n := here[0]
	v, begin := s.visitor(100*time.Millisecond), time.Now()
	mark := m.VM().Console.Mark()
	s.ask(m, ask.Request{What: "kill", Path: spawnerExe})
	s.console(m, mark, patience(), "the killed spawner is started again", `service spawner: ready`)
	s.figure("spawner killed under %d containers: a new one serves after %.2f s", len(procs), time.Since(begin).Seconds())
	s.sameProcesses(m, procs)
	word := fmt.Sprintf("after-%d", begin.UnixNano())
	if out := s.hnctl("node", "exec", n.CTID.String(), "--", "wget", "-q", "-O", "-",
		"http://127.0.0.1/?"+word); !strings.Contains(out, "<html") {
		s.Errorf("exec after the spawner was killed: %q", out)
	}
	s.until("the log has what came after the kill", func() bool {
		return strings.Contains(s.hnctl("node", "logs", n.CTID.String(), "--tail", "50"), word)
	})
	s.sameProcesses(m, procs)
	s.sameNodes(hello, s.settled("hello"))
	if bad := failed(v.stop(), begin); len(bad) > 0 {
		s.Errorf("pages failed while the spawner was killed: %q", bad)
	}
}
