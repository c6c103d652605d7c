package main

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/testkit/founded"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

// TestFleet: a small fleet on a real orchestrator.
func TestFleet(t *testing.T) {
	program := orchestrator(t)
	t.Run("figures", func(t *testing.T) { t.Parallel(); testFigures(t, program) })
	t.Run("hosts come and go", func(t *testing.T) { t.Parallel(); testHosts(t, program) })
}

// orchestrator builds the program.
func orchestrator(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "orchestrator")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-o", path, "hardnode.dev/orchestrator")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the orchestrator: %v: %s", err, out)
	}
	return path
}

// testFigures: the whole of it in small prints every figure.
func testFigures(t *testing.T, program string) {
	o := options{program: program, dir: t.TempDir(), hosts: 20, nodes: 100, changes: 5, rounds: 3, crash: 2,
		steady: 2 * time.Second, delay: 50 * time.Millisecond}
	g, err := simulate(t.Context(), o, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	if g.hosts != 20 || g.nodes != 100 || g.cpu <= 0 || g.change <= 0 || g.page <= 0 || g.rss < 10<<20 || g.near == 0 {
		t.Errorf("figures are missing: %+v", g)
	}
	var out bytes.Buffer
	g.print(&out)
	if n := strings.Count(out.String(), "FIGURE 20 agents, 100 nodes: "); n != 5 {
		t.Errorf("%d figures, want 5:\n%s", n, &out)
	}
}

// testHosts: what a virtual host does is what the orchestrator shows of it.
func testHosts(t *testing.T, program string) {
	reg, err := listenRegistry()
	if err != nil {
		t.Fatal(err)
	}
	defer reg.close()
	c, err := founded.New(3, reg.listener.Addr().String(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := reg.serve(c); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p, err := startOrchestrator(t.Context(), program, "", dir, c)
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	f := newFleet(c, p.hosts, dir, 50*time.Millisecond)
	defer f.stop()
	if err := f.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	api := p.client(c)
	if err := f.fill(t.Context(), api, 6); err != nil {
		t.Fatal(err)
	}
	eventually := func(what string, path string, is func(raw string) bool) {
		t.Helper()
		if err := f.until(t.Context(), what, time.Minute, func() (bool, string) {
			var v map[string]any
			if err := api.Call(t.Context(), http.MethodGet, operator.Prefix+path, nil, &v); err != nil {
				return false, err.Error()
			}
			return is(v["state"].(string)), path + " is " + v["state"].(string)
		}); err != nil {
			t.Fatal(err)
		}
	}
	is := func(want string) func(string) bool { return func(got string) bool { return got == want } }
	v := f.hosts[1]
	id := v.status().Host
	v.mu.Lock()
	var node wire.CTID
	for _, c := range v.mu.applied.Containers {
		node = c.CTID
	}
	v.mu.Unlock()
	if node == 0 {
		t.Fatal("the host has no container")
	}
	eventually("the node runs", "/nodes/"+node.String(), is(string(host.CtRunning)))
	v.crash(0, true)
	eventually("the node is seen crashing", "/nodes/"+node.String(), is(string(host.CtFailing)))
	v.crash(0, false)
	eventually("the node runs again", "/nodes/"+node.String(), is(string(host.CtRunning)))
	v.off()
	eventually("the host is missed", "/hosts/"+string(id), is(string(operator.HostUnreachable)))
	if err := v.on(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually("the host is back under its identity", "/hosts/"+string(id), is(string(operator.HostActive)))
	if err := f.failure(); err != nil {
		t.Error(err)
	}
}

func TestP99(t *testing.T) {
	var of []time.Duration
	for i := range 200 {
		of = append(of, time.Duration(200-i))
	}
	for _, c := range []struct {
		of   []time.Duration
		want time.Duration
	}{{nil, 0}, {of[:1], 200}, {of, 199}} {
		if got := p99(c.of); got != c.want {
			t.Errorf("of %d: %d, want %d", len(c.of), got, c.want)
		}
	}
}
