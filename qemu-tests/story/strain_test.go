//go:build qemu

package story

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/strain"
	"hardnode.dev/qemu-tests/cluster"
	"hardnode.dev/qemu-tests/harness/ask"
)

// strained: what a container lacks, what its limits did to it and its restarts are what the kernel counts of it, in what the node is shown
// as, and are counted in /metrics: it is held back by its CPU ceiling, waits for the processor, runs out of memory, ends and is started
// again.
func strained(s story) {
	s.hnctl("env", "create", "-f", s.file("strain", 1, "dynamic: 2", "dynamic: 1"))
	defer s.delete("strain")
	n := s.settled("strain").Nodes[0]
	m, id := s.Machine(n.HostName), n.CTID.String()
	before, old := s.metrics(), s.nowNode("strain")

	if _, err := s.HNCTL(s.Context(), "node", "exec", id, "--", "dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"); err == nil {
		s.Error("a command with more than its node's memory ended well")
	}
	ctx, stop := context.WithCancel(s.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.HNCTL(ctx, "node", "exec", id, "--", "sh", "-c", "for i in 1 2 3; do (while :; do :; done) & done; wait") // until stop
	}()
	defer func() { stop(); <-ended }()
	var got operator.Node
	s.until("the node is shown held back, pressed and out of memory", func() bool {
		got = s.nowNode("strain")
		return got.Strain.Kills > old.Strain.Kills && got.Strain.ThrottledMs > old.Strain.ThrottledMs && got.Strain.CPU >= strain.Pressed
	})
	kernel := s.kernelStrain(m, id)
	s.figure("a node pressed by its limits: %q; the kernel counts %d killed, %d ms held back", got.Strain.Words(), kernel.Kills,
		kernel.ThrottledMs)
	if got.Strain.Kills != kernel.Kills || got.Strain.ThrottledMs > kernel.ThrottledMs {
		s.Errorf("the node is shown with %+v, the kernel counts %+v", got.Strain, kernel)
	}
	var after map[string]float64
	s.until("the metrics have the pressure", func() bool {
		after = s.metrics()
		return after[`hardnode_containers_pressed{resource="cpu"}`] >= 1 &&
			after[`hardnode_containers_pressure_percent{resource="cpu"}`] >= strain.Pressed
	})
	for _, resource := range []string{"cpu", "memory", "io"} { // each has a figure of its own
		for _, name := range []string{"hardnode_containers_pressed", "hardnode_containers_pressure_percent"} {
			v, there := after[fmt.Sprintf("%s{resource=%q}", name, resource)]
			if !there || v < 0 || v > 100 && strings.HasSuffix(name, "percent") {
				s.Errorf("%s of %s is %g, there %t", name, resource, v, there)
			}
		}
	}
	if v, there := after["hardnode_containers_connections_bounded"]; !there || v != 0 {
		s.Errorf("containers with as many connections as one may: %g, there %t", v, there)
	}
	s.grew("hardnode_containers_oom_kills_total", before, after, float64(got.Strain.Kills-old.Strain.Kills), 0)
	// Others are held back too: those of hello, say.
	s.grew("hardnode_containers_throttled_seconds_total", before, after,
		float64(got.Strain.ThrottledMs-old.Strain.ThrottledMs)/1000, 1e6)

	stop()
	<-ended
	was := after["hardnode_containers_restarts_total"]
	s.HNCTL(s.Context(), "node", "exec", id, "--", "sh", "-c", "kill -TERM 1") // this command ends with it
	s.until("it is started again", func() bool {
		got = s.nowNode("strain")
		return got.State == "running" && got.Restarts > old.Restarts
	})
	s.until("the restart is counted", func() bool {
		return s.metrics()["hardnode_containers_restarts_total"] >= was+float64(got.Restarts-old.Restarts)
	})
	if again := s.nowNode("strain").Strain; again.Kills < kernel.Kills {
		s.Errorf("it is started again, and is shown with %+v; before it were %+v", again, kernel)
	}
}

// grew checks that a counter of the metrics grew by n, or by so much more at most.
func (s story) grew(name string, before, after map[string]float64, n, more float64) {
	s.Helper()
	b, there := before[name]
	a, still := after[name]
	if by := a - b; !there || !still || by < n-0.001 || by > n+more {
		s.Errorf("%s was %g, is %g; what happened is %g", name, b, a, n)
	}
}

// nowNode is the first node of an environment as it is shown now.
func (s story) nowNode(env string) operator.Node {
	s.Helper()
	return s.env(env).Nodes[0]
}

// metrics are the values of /metrics by name and labels, as they stand there.
func (s story) metrics() map[string]float64 {
	s.Helper()
	text, err := s.Metrics(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	out := map[string]float64{}
	for l := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(l), " ")
		if v, err := strconv.ParseFloat(value, 64); err == nil && !strings.HasPrefix(l, "#") {
			out[name] = v
		}
	}
	return out
}

// kernelStrain is what the kernel counts of a container (Documentation/admin-guide/cgroup-v2.rst).
func (s story) kernelStrain(m *cluster.Machine, id string) (k strain.Strain) {
	s.Helper()
	number := func(file, key string) int64 {
		text := s.ask(m, ask.Request{What: "read", Path: "/sys/fs/cgroup/ct/" + id + "/" + file}).Text
		g := regexp.MustCompile(`(?m)^` + key + ` (\d+)$`).FindStringSubmatch(text)
		if g == nil {
			s.Fatalf("no %s in %s of container %s: %q", key, file, id, text)
		}
		n, err := strconv.ParseInt(g[1], 10, 64)
		if err != nil {
			s.Fatal(err)
		}
		return n
	}
	return strain.Strain{Kills: number("memory.events", "oom_kill"), ThrottledMs: number("cpu.stat", "throttled_usec") / 1000}
}
