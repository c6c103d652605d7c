//go:build qemu

package story

import (
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/qemu-tests/harness/ask"
)

// lastWill is a program that takes its time to end: it does so for endTakes, longer than any fixed limit a host has, then asks for a page
// of its neighbour by name, which needs the network and the names of the host that is being left.
const (
	lastWill = `trap 'trap "" TERM; sleep 20; wget -q -O /dev/null http://$(cat /tmp/neighbour).will.internal/ended-in-order; exit 0' TERM
		while :; do sleep 1; done`
	endTakes = 20 * time.Second
)

// hostShutDown orders a host to shut down: its containers end as their templates say, in their own time, which the console shows; what they
// do on their way out works. That is so though the agent, which sees to it, is killed meanwhile: the next one takes it up.
func hostShutDown(s story) {
	dir := s.small("lastwill", func(c *v1.ConfigFile) {
		c.Config.Entrypoint, c.Config.StopSignal = []string{"sh", "-c", lastWill}, "SIGTERM"
		c.Config.Labels = map[string]string{"io.hardnode.stop-after": "60"}
	})
	s.hnctl("template", "push", dir, "--name", "lastwill")
	front := "layers:\n  - name: front\n    template: nginx\n    nodes: 2\n    cloudlets: {reserved: 1, dynamic: 2}\n"
	s.hnctl("env", "create", "-f", s.file("will", 2, "layers:\n", front,
		"name: cp\n    template: nginx", "name: cp\n    template: lastwill"))
	e := s.settled("will")
	m := s.Hosts[0]
	var ends, near operator.Node
	for _, n := range e.Nodes {
		switch {
		case n.Layer == "cp" && n.HostName == m.Name:
			ends = n
		case n.Layer == "front" && n.HostName != m.Name:
			near = n
		}
	}
	if ends.CTID == 0 || near.CTID == 0 {
		s.Fatalf("nodes of will: %+v; want one of cp on %s and one of front elsewhere", e.Nodes, m.Name)
	}
	s.hnctl("node", "exec", ends.CTID.String(), "--", "sh", "-c", "echo node"+near.CTID.String()+" > /tmp/neighbour")
	mark, began := m.VM().Console.Mark(), time.Now()
	off := make(chan error, 1)
	go func() { off <- m.Off(s.Context()) }()
	s.hnctl("host", "shutdown", m.Name, "--yes", "--no-wait", "--reason", "rack 4 is moved")
	s.console(m, mark, patience(), "the shutdown begins", `poweroff: rack 4 is moved \(ordered by admin from [0-9.]+\)`)
	s.console(m, mark, patience(), "progress is told", `service agent: stopping containers: \d+ of \d+ still run \(`)
	s.ask(m, ask.Request{What: "kill", Path: agentExe})
	s.console(m, mark, patience(), "the killed agent is started again",
		`service agent: killed by SIGKILL; started again to end in order`)
	line := s.console(m, mark, boot.StopContainers+30*time.Second, "the containers have ended",
		`service agent: (\d+ containers stopped(?: in [0-9.m]+s|; killed .*))`)
	took := time.Since(began)
	if strings.Contains(line[1], "killed") || took < endTakes {
		s.Errorf("after %s: %s: a container was not given its time", took, line[1])
	}
	if err := <-off; err != nil {
		s.Errorf("the host does not go off: %v", err)
	}
	s.until("what the program did last has come to its neighbour", func() bool {
		return strings.Contains(s.hnctl("node", "logs", near.CTID.String()), "/ended-in-order ")
	})
	s.figure("host shut down: %s; off after %.1f s", line[1], time.Since(began).Seconds())
}
