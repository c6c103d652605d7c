//go:build qemu

package fleet

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/qemu-tests/cluster"
	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/patched"
)

// hosts of the fleet.
const hosts = 3

// The releases: next differs from what runs in its version and in one function of the agent; of bad the agent is never ready; under deadly
// all containers of a host but one are killed, again and again; hot differs in all programs that may be replaced while a host runs.
const (
	next   = "0.2.0"
	bad    = "0.3.0"
	deadly = "0.4.0"
	hot    = "0.5.0"
)

// kills is a file of the agent of deadly.
const kills = `package main

import (
	"os"
	"path/filepath"
	"time"
)

func kill() {
	for range time.Tick(5 * time.Second) {
		all, _ := filepath.Glob("/sys/fs/cgroup/ct/*/cgroup.kill")
		for i, path := range all {
			if i > 0 {
				os.WriteFile(path, []byte("1"), 0)
			}
		}
	}
}
`

// platform is the cluster of the test.
type platform struct {
	*patched.Cluster
	t    *testing.T
	runs string // the release that its hosts run
}

// TestFleet: the Patcher takes a release over three installed hosts by reboot, under load: what has a twin on another host is served all
// the time, and what a lone node lost is measured. A release whose agent is never ready, and one under which containers die, get no further
// than the canary, which is back on what it ran before by itself. Another one is taken over them hot, and nobody notices. Each part does
// without those before it.
func TestFleet(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: three more images are built and three hosts are installed; " +
			"`make soak PKG=./qemu-tests/fleet` does it")
	}
	c := &platform{Cluster: patched.Start(t, cluster.Options{Hosts: 1, Spare: hosts - 1, Seats: hosts, Bare: true}), t: t}
	active := func(h operator.Host) bool { return h.State == operator.HostActive }
	for n := 2; n <= hosts; n++ { // one after the other: a small machine is busy enough with one that is installed
		m, err := c.AddHost()
		if err == nil {
			_, err = c.WaitHost(t.Context(), m.Name, 10*time.Minute*harness.Scale(), active)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := c.WaitRegistry(t.Context(), 5*time.Minute*harness.Scale()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PushTemplate(t.Context(), "nginx"); err != nil {
		t.Fatal(err)
	}
	c.create("twin", 2)
	c.create("lone", 1)
	c.runs = c.hosts()[0].Version
	t.Logf("figure: the fleet is there after %s", c.Elapsed().Round(time.Second))

	t.Run("good", func(t *testing.T) {
		c.Import(t, next, patched.OneFunction...)
		began, twin, lone := time.Now(), c.visit("twin", often), c.visit("lone", seldom)
		r := c.patches(next, "--drain", "stop", "--health", "20s", "--canary-soak", "20s", "--soak", "10s")
		took, twins, alone := time.Since(began), twin.end(), lone.end()
		report, err := c.Run("patch", "report", r.ID)
		if err != nil {
			t.Error(err)
		}
		t.Logf("figure: %d hosts patched by reboot in %s\nfigure: two nodes on two hosts: %s\nfigure: a lone node: %s\n%s", hosts,
			took.Round(time.Second), twins, alone, report)
		if r.State != operator.RolloutDone {
			t.Errorf("the rollout is %s: %s", r.State, r.Reason)
		}
		if twins.failed > 0 {
			t.Errorf("requests of twinned nodes failed: %q", twins.words)
		}
		if alone.failed == 0 {
			t.Error("the lone node was never away: nothing is measured")
		}
		var measured operator.RolloutReport
		if err := c.Get(t.Context(), &measured, "patch", "report", r.ID); err != nil {
			t.Fatal(err)
		}
		var says float64
		for _, n := range measured.Nodes {
			if n.Env == "lone" {
				says += n.Seconds
			}
		}
		// The report has it from the host's last word of the node to its start, the visitors from the stop to the first answer.
		if saw := alone.outage.Seconds(); says < saw/2-30 || says > 2*saw+60 {
			t.Errorf("the report says that the lone node did not serve for %.1f s, its visitors %.1f s", says, saw)
		}
		for _, h := range c.hosts() {
			if h.Version != next || h.State != operator.HostActive || !strings.Contains(h.Boots[0].Words(), "release "+next) {
				t.Errorf("host %s is %s on %s: %s", h.Name, h.State, h.Version, h.Boots[0].Words())
			}
		}
		c.runs = next
	})
	t.Run("never ready", func(t *testing.T) {
		c.Import(t, bad, patched.NeverReady...)
		c.stops(t, bad, "host-1", "--boot", "4m", "--health", "20s")
	})
	t.Run("containers die", func(t *testing.T) {
		c.Import(t, deadly, patched.In("go kill()"), patched.Edit{File: "agent/edited.go", Is: kills})
		c.create("many", 3*hosts)
		c.stops(t, deadly, c.fullest(), "--boot", "4m", "--drain", "stop", "--health", "30s")
	})
	t.Run("hot", func(t *testing.T) {
		c.Import(t, hot, patched.Programs...)
		before, nodes := c.hosts(), c.nodes()
		began, twin, lone := time.Now(), c.visit("twin", often), c.visit("lone", sometimes)
		r := c.patches(hot, "--method", "hot", "--health", "20s", "--canary-soak", "20s", "--soak", "10s")
		took, twins, alone := time.Since(began), twin.end(), lone.end()
		report, err := c.Run("patch", "report", r.ID)
		if err != nil {
			t.Error(err)
		}
		t.Logf("figure: %d hosts patched hot in %s\nfigure: two nodes on two hosts: %s\nfigure: a lone node: %s\n%s", hosts,
			took.Round(time.Second), twins, alone, report)
		if r.State != operator.RolloutDone {
			t.Errorf("the rollout is %s: %s", r.State, r.Reason)
		}
		if twins.failed+alone.failed > 0 {
			t.Errorf("requests failed: %q, %q", twins.words, alone.words)
		}
		var measured operator.RolloutReport
		if err := c.Get(t.Context(), &measured, "patch", "report", r.ID); err != nil {
			t.Fatal(err)
		}
		for _, n := range measured.Nodes {
			if n.Seconds > 0 {
				t.Errorf("the report says that node %s of %s did not serve for %.1f s: %s", n.CTID, n.Env, n.Seconds, n.Cause)
			}
		}
		for i, h := range c.hosts() {
			if h.Version != hot || h.State != operator.HostActive || h.Boot != before[i].Boot {
				t.Errorf("host %s is %s on %s, booted %s; before %s", h.Name, h.State, h.Version, h.Boot, before[i].Boot)
			}
		}
		if now := c.nodes(); now != nodes {
			t.Errorf("nodes are\n%s\nbefore\n%s", now, nodes)
		}
	})
}

// nodes are all nodes of users, where they run and since when.
func (c *platform) nodes() string {
	c.t.Helper()
	var nodes []operator.Node
	if err := c.Get(c.t.Context(), &nodes, "node", "list"); err != nil {
		c.t.Fatal(err)
	}
	var all []string
	for _, n := range nodes {
		if n.Component == "" {
			all = append(all, fmt.Sprintf("%s of %s on %s since %s, restarted %d times", n.CTID, n.Env, n.HostName, n.Started, n.Restarts))
		}
	}
	return strings.Join(all, "\n")
}

// create creates an environment with so many nodes and waits until it runs.
func (c *platform) create(env wire.EnvName, nodes int) {
	c.t.Helper()
	file := filepath.Join(c.Dir, string(env)+".yaml")
	text := strings.Replace(fmt.Sprintf(cluster.Hello, nodes), "name: hello", "name: "+string(env), 1)
	err := os.WriteFile(file, []byte(text), 0o600)
	if err == nil {
		_, err = c.Run("env", "create", "-f", file)
	}
	if err == nil {
		err = c.WaitPage(c.t.Context(), string(env), 5*time.Minute*harness.Scale())
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// hosts are the user hosts.
func (c *platform) hosts() []operator.Host {
	c.t.Helper()
	all, err := c.HostList(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(h operator.Host) bool { return h.Role != "user" })
}

// fullest is the host with the most nodes.
func (c *platform) fullest() string {
	c.t.Helper()
	of := map[string]int{}
	var nodes []operator.Node
	if err := c.Get(c.t.Context(), &nodes, "node", "list"); err != nil {
		c.t.Fatal(err)
	}
	for _, n := range nodes {
		of[n.HostName]++
	}
	return slices.MaxFunc(c.hosts(), func(a, b operator.Host) int { return cmp.Compare(of[a.Name], of[b.Name]) }).Name
}

// patches plans and starts a rollout, follows it as an operator would, and gives how it ended.
func (c *platform) patches(release string, policy ...string) operator.Rollout {
	c.t.Helper()
	plan, err := c.Run(append([]string{"patch", "plan", release}, policy...)...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Logf("hnctl patch plan %s\n%s", release, plan)
	var r operator.Rollout
	out, err := c.Run(append([]string{"patch", "start", release, "--yes", "--no-wait", "-o", "json"}, policy...)...)
	if err == nil {
		err = json.Unmarshal([]byte(out), &r)
	}
	if err != nil {
		c.t.Fatalf("%v\n%s", err, out)
	}
	at := map[string]string{}
	for limit := time.Now().Add(time.Hour); !r.State.Final(); {
		if !run.Wait(c.t.Context(), 3*time.Second) || time.Now().After(limit) {
			c.t.Fatalf("rollout %s does not end: %s", r.ID, r.Reason)
		}
		var now operator.Rollout
		if err := c.Get(c.t.Context(), &now, "patch", "status", r.ID); err != nil {
			c.t.Logf("hnctl patch status: %v", err)
			continue
		}
		r = now
		for _, v := range r.Visits {
			if is := fmt.Sprintf("%s %s %s", v.State, v.Step, v.Reason); at[v.Name] != is {
				at[v.Name] = is
				c.t.Logf("%3d%% %s: %s %s", r.Progress, v.Name, is, v.Detail)
			}
		}
	}
	if shown, err := c.Run("patch", "status", r.ID); err == nil {
		c.t.Logf("hnctl patch status %s\n%s", r.ID, shown)
	}
	return r
}

// stops has a bad release go over the fleet: it gets no further than the canary, which is back on what it ran, and the first sign is named.
func (c *platform) stops(t *testing.T, release, canary string, policy ...string) {
	t.Helper()
	before := c.hosts()
	began := time.Now()
	r := c.patches(release, append(policy, "--canary", canary)...)
	t.Logf("figure: release %s: stopped after %s", release, time.Since(began).Round(time.Second))
	if r.State != operator.RolloutStopped || r.Reason == "" || r.Symptom == nil || r.Symptom.Name != canary {
		t.Errorf("the rollout is %s: %q, first sign %+v", r.State, r.Reason, r.Symptom)
	} else {
		t.Logf("figure: reason: %s; first sign: host %s, %s", r.Reason, r.Symptom.Name, r.Symptom.What)
	}
	h, err := c.WaitHost(t.Context(), canary, 10*time.Minute*harness.Scale(), func(h operator.Host) bool {
		return h.State == operator.HostActive && h.Version == c.runs
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("figure: the canary runs %s again: %s", h.Version, h.Boots[0].Words())
	for i, h := range c.hosts() {
		if h.Name != canary && (h.Boot != before[i].Boot || h.Version != c.runs) {
			t.Errorf("host %s was touched: it runs %s, booted %s", h.Name, h.Version, h.Boots[0].Words())
		}
	}
	for _, v := range r.Visits {
		if v.Name == canary && v.State != operator.VisitBack || v.Name != canary && v.State != operator.VisitPending {
			t.Errorf("the visit of %s is %s: %s", v.Name, v.State, v.Reason)
		}
	}
}
