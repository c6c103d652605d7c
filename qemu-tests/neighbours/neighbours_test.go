//go:build qemu

package neighbours

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/build"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/qemu-tests/cluster"
	"hardnode.dev/qemu-tests/harness"
)

// TestNeighbours runs a host of the earlier version at an orchestrator of this one, and the other way round. The host that moves changes
// its version on the same disk, and changes it back.
func TestNeighbours(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: an earlier version is built and two clusters run; " +
			"`make soak PKG=./qemu-tests/neighbours` does it")
	}
	now, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	tell := func(format string, args ...any) {}
	before, err := earlierTree(t.Context(), now, tell)
	if errors.Is(err, errNoHistory) {
		t.Skip(err)
	}
	if err == nil {
		err = makeAll(t.Context(), now, tell)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, orchestrator, moves, stays string }{
		{"a host of the earlier version", now, before, now},
		{"an orchestrator of the earlier version", before, now, before},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			s := start(t, c.orchestrator, map[string]string{"host-1": c.moves, "host-2": c.stays})
			other := map[string]string{now: before, before: now}[c.moves]
			s.works("joined", version(c.moves, now), version(c.stays, now))
			s.move(s.Hosts[0], other)
			s.works("after the move", version(other, now), version(c.stays, now))
			s.move(s.Hosts[0], c.moves)
			s.works("after the move back", version(c.moves, now), version(c.stays, now))
		})
	}
}

// version is what the programs of a tree call themselves.
func version(tree, now string) string {
	if tree == now {
		return build.Version
	}
	return mark
}

// pair is a cluster of two versions.
type pair struct {
	*testing.T
	*cluster.Cluster
}

func start(t *testing.T, root string, hosts map[string]string) pair {
	t.Helper()
	c, err := cluster.Start(t.Context(), cluster.Options{Dir: harness.Dir(t), Hosts: 2, Built: true, Root: root, Roots: hosts})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return pair{t, c}
}

// works goes through what an operator does with environments; both hosts take part in it.
func (s pair) works(when string, versions ...string) {
	s.Helper()
	began := time.Now()
	hosts, err := s.HostList(s.Context())
	if err != nil {
		s.Fatalf("%s: %v", when, err)
	}
	for _, h := range hosts {
		for i, m := range s.Hosts {
			if h.Name == m.Name && h.Version != versions[i] {
				s.Errorf("%s: %s says that it is version %s, want %s", when, h.Name, h.Version, versions[i])
			}
		}
	}
	hello := s.settled(when, "hello")
	if len(hello.Nodes) != 2 || hello.Nodes[0].Host == hello.Nodes[1].Host {
		s.Fatalf("%s: nodes of hello are %+v, want two on two hosts", when, hello.Nodes)
	}
	s.pages(when, "hello", 2)
	for i, n := range hello.Nodes {
		if out := s.hnctl(when, "node", "exec", n.CTID.String(), "--", "wget", "-q", "-O", "-",
			"http://"+hello.Nodes[1-i].InternalIP+"/"); !strings.Contains(out, "<html") {
			s.Errorf("%s: from node %s on %s the page of the other host's node is %q", when, n.CTID, n.HostName, out)
		}
		if out := s.hnctl(when, "node", "logs", n.CTID.String(), "--tail", "50"); !strings.Contains(out, "GET /") {
			s.Errorf("%s: the log of node %s has no requests: %q", when, n.CTID, out)
		}
	}
	s.hnctl(when, "env", "stop", "hello")
	s.hnctl(when, "env", "start", "hello")
	s.same(when, "hello", hello)
	file := filepath.Join(s.TempDir(), "second.yaml")
	doc := "version: 1\nname: second\nlayers:\n  - name: cp\n    template: nginx\n    nodes: 2\n    cloudlets: {reserved: 1, dynamic: 2}\n"
	if err := os.WriteFile(file, []byte(doc), 0o600); err != nil {
		s.Fatal(err)
	}
	s.hnctl(when, "env", "create", "-f", file)
	s.settled(when, "second")
	s.pages(when, "second", 2)
	s.hnctl(when, "env", "delete", "second", "--now", "--yes")
	fmt.Fprintf(s.Output(), "figure: %s: all of it worked, in %.0f s\n", when, time.Since(began).Seconds())
}

// move shuts a host down and boots another tree's image on its disk: what it ran, it runs again.
func (s pair) move(m *cluster.Machine, tree string) {
	s.Helper()
	s.settled("before the move", "hello")
	was, err := s.WaitHost(s.Context(), m.Name, time.Minute, func(operator.Host) bool { return true })
	if err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.Context(), 3*time.Minute*harness.Scale())
	defer cancel()
	if err := m.PowerDown(ctx); err != nil {
		s.Fatal(err)
	}
	if err := m.Use(tree); err != nil {
		s.Fatal(err)
	}
	began := time.Now()
	if err := m.Boot(); err != nil {
		s.Fatal(err)
	}
	is := func(h operator.Host) bool { return h.State == operator.HostActive && h.Boot != was.Boot }
	if _, err := s.WaitHost(s.Context(), m.Name, 3*time.Minute*harness.Scale(), is); err != nil {
		s.Fatal(err)
	}
	fmt.Fprintf(s.Output(), "figure: %s moved; ACTIVE again %.0f s after it was switched on\n", m.Name, time.Since(began).Seconds())
	e := s.settled("after the move", "hello")
	if len(e.Nodes) == 2 && e.Nodes[0].Host == e.Nodes[1].Host { // the host was away for so long that its node was replaced
		s.hnctl("after the move", "env", "spread", "hello")
	}
}

// same checks that an environment has the nodes it had.
func (s pair) same(when, name string, before operator.Environment) {
	s.Helper()
	after := s.settled(when, name)
	for i, n := range before.Nodes {
		if i >= len(after.Nodes) || after.Nodes[i].CTID != n.CTID || after.Nodes[i].InternalIP != n.InternalIP {
			s.Errorf("%s: the nodes %+v became %+v", when, before.Nodes, after.Nodes)
		}
	}
}

// settled waits until an environment runs with all its nodes.
func (s pair) settled(when, name string) operator.Environment {
	s.Helper()
	e, err := s.WaitEnv(s.Context(), name, 2*time.Minute*harness.Scale(), func(e operator.Environment) bool {
		for _, n := range e.Nodes {
			if n.State != "running" {
				return false
			}
		}
		return e.State == operator.EnvRunning
	})
	if err != nil {
		s.Fatalf("%s: %v", when, err)
	}
	return e
}

// pages waits until an environment's page comes from so many nodes.
func (s pair) pages(when, name string, nodes int) {
	s.Helper()
	seen := map[string]int{}
	for end := time.Now().Add(time.Minute * harness.Scale()); len(seen) < nodes; {
		if p, err := s.FetchPage(s.Context(), name, "/"); err == nil && p.Status == 200 {
			seen[p.Header.Get("X-Hardnode-Node")]++
		}
		if time.Now().After(end) || !run.Wait(s.Context(), 100*time.Millisecond) {
			s.Fatalf("%s: the page of %s was answered by %v, want %d nodes", when, name, seen, nodes)
		}
	}
}

// hnctl runs hnctl and fails the test when it fails.
func (s pair) hnctl(when string, args ...string) string {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 3*time.Minute*harness.Scale())
	defer cancel()
	out, err := s.HNCTL(ctx, args...)
	if err != nil {
		s.Fatalf("%s: %v", when, err)
	}
	return string(out)
}
