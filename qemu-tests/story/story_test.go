//go:build qemu

package story

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/qemu-tests/cluster"
	"hardnode.dev/qemu-tests/harness"
)

// soak is the long form of a number: `make soak` sets HARDNODE_SOAK.
func soak[T any](short, long T) T {
	if os.Getenv("HARDNODE_SOAK") != "" {
		return long
	}
	return short
}

// story is the shared cluster and what its tests need.
type story struct {
	*testing.T
	*cluster.Cluster
}

// TestStory starts one cluster and goes through its life; a part that breaks the cluster comes last.
func TestStory(t *testing.T) {
	dir := harness.Dir(t)
	c, err := cluster.Start(t.Context(), cluster.Options{Dir: dir, Hosts: 2, Config: consoleSection(t), Seats: 2, Spare: 1, Probe: true,
		Progress: func(p cluster.Progress) {
			if p.Done {
				fmt.Fprintf(t.Output(), "%6.1f s %s %v\n", p.Took.Seconds(), p.Phase, p.Err)
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	fmt.Fprintf(t.Output(), "figure: start to the served page %.1f s\n", c.Elapsed().Seconds())
	for _, part := range []struct {
		name string
		test func(story)
	}{
		{"both nodes serve the page", servesFromBoth},
		{"a container reaches one on the other host", acrossHosts},
		{"a node's firewall holds across hosts", firewalled},
		{"the platform is an environment", jelastic},
		{"the licence is shown", licence},
		{"exec and logs", execAndLogs},
		{"exec carries all", execCarriesAll},
		{"exec out of memory", execOutOfMemory},
		{"a node by hand", byHand},
		{"what is used is metered", metered},
		{"containers at the host's terminal", atTerminal},
		{"bad input is refused and leaves nothing", refusals},
		{"bad licences are refused", badLicences},
		{"bad templates get in nowhere", badTemplates},
		{"bad hosts stay out and say why", refusedHosts},
		{"slow callers hold nothing", slowCallers},
		{"stop and start", stopAndStart},
		{"an environment is edited under requests", edited},
		{"nodes are made anew under requests", redeployed},
		{"what a start takes", shares},
		{"created and deleted twice leaves nothing", leavesNothing},
		{"nothing happens in quiet time", quiet},
		{"agent and spawner killed under many containers", manyContainers},
		{"a move under an agent's end", movedUnderKill},
		{"what containers lack is counted", strained},
		{"full disk", fullDisk},
		{"busy hosts are slow and not dead", busyHosts},
		{"orchestrator stopped", orchestratorStopped},
		{"licence server stopped", jlsStopped},
		{"a component that fails is on the console", componentFails},
		{"a licence that ends stops nothing", endingLicence},
		{"a host over the licence", overLicence},
		{"infra power cut", infraPowerCut},
		{"host killed", hostKilled},
		{"a host that is shut down", hostShutDown},
	} {
		t.Run(strings.ReplaceAll(part.name, " ", "-"), func(t *testing.T) { part.test(story{t, c}) })
	}
}

// patience is the end of a wait for something that comes: far more than it takes on a machine with little else to do. How long it may
// take is claimed apart, where anything is claimed.
func patience() time.Duration { return 100 * time.Second * harness.Scale() }

// hnctl runs hnctl and fails the test when it fails.
func (s story) hnctl(args ...string) string {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience())
	defer cancel()
	out, err := s.HNCTL(ctx, args...)
	if err != nil {
		s.Fatal(err)
	}
	return string(out)
}

// slack is how many times as long as it is claimed something may take before a test fails: the machine may have other work to do. What it
// took is told as a figure in any case.
const slack = 3

// console waits for a line on a machine's console after mark (Console.Mark), and says what it waited for when there is none.
func (s story) console(m *cluster.Machine, mark int, limit time.Duration, what, pattern string) []string {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), limit)
	defer cancel()
	line, err := m.VM().WaitAfter(ctx, mark, pattern)
	if err != nil {
		s.Fatalf("not within %v: %s: %v", limit, what, err)
	}
	return line
}

// on are the nodes of an environment on a machine.
func on(m *cluster.Machine, e operator.Environment) []operator.Node {
	return slices.DeleteFunc(slices.Clone(e.Nodes), func(n operator.Node) bool { return n.HostName != m.Name })
}

// env is an environment as it is.
func (s story) env(name string) operator.Environment {
	s.Helper()
	e, err := s.Env(s.Context(), name)
	if err != nil {
		s.Fatal(err)
	}
	return e
}

// settled waits until an environment runs with all its nodes, and returns it.
func (s story) settled(name string) operator.Environment {
	s.Helper()
	e, err := s.WaitEnv(s.Context(), name, patience(), running)
	if err != nil {
		s.Fatal(err)
	}
	return e
}

func running(e operator.Environment) bool {
	return e.State == operator.EnvRunning && !slices.ContainsFunc(e.Nodes, func(n operator.Node) bool { return n.State != "running" })
}

// figure reports a measured value.
func (s story) figure(format string, args ...any) {
	fmt.Fprintf(s.Output(), "figure: "+format+"\n", args...)
}

func servesFromBoth(s story) {
	e := s.settled("hello")
	if len(e.Nodes) != 2 || e.Nodes[0].Host == e.Nodes[1].Host {
		s.Fatalf("nodes of hello are %+v, want two on two hosts: both were ACTIVE when it was made", e.Nodes)
	}
	seen := map[string]int{}
	for range 20 {
		p, err := s.FetchPage(s.Context(), "hello", "/")
		if err != nil || p.Status != 200 || !strings.Contains(p.Body, "<html") {
			s.Fatalf("got %+v, %v", p, err)
		}
		seen[p.Header.Get("X-Hardnode-Node")]++
	}
	if len(seen) != 2 {
		s.Errorf("20 fetches were answered by %v, want two nodes", seen)
	}
	if p, err := s.FetchPage(s.Context(), "nobody", "/"); err != nil || p.Status != 404 {
		s.Errorf("a name no environment has: status %d, %v, want 404", p.Status, err)
	}
}

func acrossHosts(s story) {
	e := s.settled("hello")
	from, to := e.Nodes[0], e.Nodes[1]
	if from.Host == to.Host {
		s.Fatalf("both nodes of hello are on %s: nothing can be tried across hosts", from.HostName)
	}
	for _, target := range []string{to.InternalIP, fmt.Sprintf("node%s.hello.internal", to.CTID)} {
		out := s.hnctl("node", "exec", from.CTID.String(), "--", "wget", "-q", "-O", "-", "http://"+target+"/")
		if !strings.Contains(out, "<html") {
			s.Errorf("from %s on %s the page of %s on %s is %q", from.CTID, from.HostName, target, to.HostName, out)
		}
	}
}

func jelastic(s story) {
	e := s.env("jelastic")
	want := []string{"registry", "jls", "orchestrator", "resolver", "patcher"}
	for i, n := range e.Nodes {
		if i >= len(want) || n.Component != want[i] || n.Layer != e.Spec.Layers[i].Name || n.Template != e.Spec.Layers[i].Template ||
			int(n.CTID) != i+1 || n.InternalIP == "" || n.ExternalIP == "" || n.State != "running" {
			s.Errorf("node %d of jelastic is %+v", i, n)
		}
	}
	if len(e.Nodes) != len(want) {
		s.Errorf("jelastic has %d nodes, want %d", len(e.Nodes), len(want))
	}
}

func licence(s story) {
	var l operator.License
	if err := s.Get(s.Context(), &l, "license", "show"); err != nil {
		s.Fatal(err)
	}
	if l.Hosts != 2 || l.HostsUsed != 2 || l.State != "active" || l.Customer != "Demo" || l.Lease.IsZero() {
		s.Errorf("licence is %+v, want active, 2 of 2 hosts, leased by the JLS", l)
	}
}

func execAndLogs(s story) {
	n := s.settled("hello").Nodes[0]
	if out := s.hnctl("node", "exec", n.CTID.String(), "--", "hostname"); strings.TrimSpace(out) == "" {
		s.Error("hostname says nothing")
	}
	if out := s.hnctl("node", "exec", "--user", "www-data", n.CTID.String(), "--",
		"id"); !strings.Contains(out, "uid=33(www-data) gid=33(www-data)") {
		s.Errorf("a command as www-data: %q", out)
	}
	if _, err := s.HNCTL(s.Context(), "node", "exec", "--user", "nobody-here", n.CTID.String(), "--", "id"); err == nil ||
		!strings.Contains(err.Error(), "nobody-here") {
		s.Errorf("a command as a user that the node does not have: %v", err)
	}
	if out, err := s.HNCTL(s.Context(), "node", "exec", n.CTID.String(), "--", "sh", "-c", "exit 17"); err == nil ||
		!strings.Contains(err.Error(), "17") {
		s.Errorf("exit 17 gives %q, %v, want the command's own exit code", out, err)
	}
	if _, err := s.HNCTL(s.Context(), "node", "exec", n.CTID.String(), "--", "/no/such/program"); err == nil {
		s.Error("a program that isn't there runs")
	}
	if out := s.hnctl("node", "logs", n.CTID.String(), "--tail", "200"); !strings.Contains(out, "GET /") {
		s.Errorf("the log has no requests: %q", out)
	}
	out := s.hnctl("node", "logs", "--env", "hello", "--since", "1h", "--timestamps", "--tail", "5")
	if !regexp.MustCompile(`(?m)^\[hello/cp/` + n.CTID.String() + `\] 20\d\d-\d\d-\d\dT[0-9:.]+Z `).MatchString(out) {
		s.Errorf("the environment's log has no line of node %d with its time: %q", n.CTID, out)
	}
	// The spawner has nothing to say when all is well.
	for unit, want := range map[string]string{"agent": "level=", "spawner": "", "netd": "level=", "init": `(?m)^20\S+Z .*agent`,
		"kernel": `(?m)^20\S+Z Linux version `} {
		if out := s.hnctl("host", "logs", n.HostName, "--unit", unit); !regexp.MustCompile(want).MatchString(out) {
			s.Errorf("the log of %s on %s has no %s: %.500q", unit, n.HostName, want, out)
		}
	}
	if out := s.hnctl("audit", "--since", "1h"); !strings.Contains(out, "node.exec") || !strings.Contains(out, "host.logs") {
		s.Errorf("the audit record is %q, want the commands and the hosts' logs", out)
	}
}

func stopAndStart(s story) {
	before := s.settled("hello")
	s.hnctl("env", "stop", "hello")
	if _, err := s.WaitEnv(s.Context(), "hello", patience(),
		func(e operator.Environment) bool { return e.State == operator.EnvDown }); err != nil {
		s.Fatal(err)
	}
	if p, err := s.FetchPage(s.Context(), "hello", "/"); err != nil || p.Status != 503 {
		s.Errorf("a stopped environment answers %d, %v, want 503", p.Status, err)
	}
	s.hnctl("env", "start", "hello")
	after := s.settled("hello")
	for i := range before.Nodes {
		if before.Nodes[i].CTID != after.Nodes[i].CTID || before.Nodes[i].InternalIP != after.Nodes[i].InternalIP {
			s.Errorf("node %+v became %+v", before.Nodes[i], after.Nodes[i])
		}
	}
	if err := s.WaitPage(s.Context(), "hello", patience()); err != nil {
		s.Error(err)
	}
}
