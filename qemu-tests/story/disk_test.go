//go:build qemu

package story

import (
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/qemu-tests/harness/ask"
)

const filler = "/data/filler"

// fullDisk fills a host's DATA to the last block: what runs goes on, the host says so, an agent that dies comes back, orders
// are taken, what is deleted goes, and everything works again once there is room.
func fullDisk(s story) {
	_, m := s.oneHost(time.Hour) // so that the order comes to the full host
	defer s.bothHosts()
	s.create("full", 1) // so that something runs there, wherever the nodes of hello are
	defer s.delete("full")
	if here := on(m, s.settled("full")); len(here) != 1 {
		s.Fatalf("the node of full is not on %s, the only licensed host: %+v", m.Name, here)
	}
	hello, procs, counts := s.settled("hello"), s.inContainers(m), s.counts()
	v, begin := s.visitor(100*time.Millisecond), time.Now()
	s.ask(m, ask.Request{What: "fill", Path: filler})
	tells := func(h operator.Host) bool {
		return slices.ContainsFunc(h.Problems, func(p string) bool { return strings.Contains(p, "DATA disk") })
	}
	h, err := s.WaitHost(s.Context(), m.Name, patience(), tells)
	if err != nil {
		s.Fatal(err)
	}
	s.figure("full disk, as the host is shown: %s", strings.Join(h.Problems, "; "))
	mark := m.VM().Console.Mark()
	s.ask(m, ask.Request{What: "kill", Path: agentExe})
	s.console(m, mark, patience(), "the agent killed on a full disk is started again and adopts what runs", adoptedLine)
	if _, err := s.WaitHost(s.Context(), m.Name, patience(), isActive); err != nil {
		s.Error(err)
	}
	s.hnctl("env", "create", "-f", s.file("fill", 1), "--no-wait")
	how := ""
	s.until("the new node runs in the room held back, or says why not", func() bool {
		e := s.env("fill")
		for _, n := range e.Nodes {
			how = n.State + " " + n.Reason
		}
		return running(e) || strings.Contains(how, "no space left on device")
	})
	s.figure("full disk, a new node: %s", how)
	s.delete("fill") // on a full disk
	s.sameProcesses(m, procs)
	if bad := failed(v.stop(), begin); len(bad) > 0 {
		s.Errorf("pages failed while the disk was full: %q", bad)
	}
	s.ask(m, ask.Request{What: "remove", Path: filler})
	s.create("fill", 1)
	s.settled("fill")
	s.delete("fill")
	s.noMoreThan(counts)
	if _, err := s.WaitHost(s.Context(), m.Name, patience(),
		func(h operator.Host) bool { return isActive(h) && !tells(h) }); err != nil {
		s.Error(err)
	}
	s.sameNodes(hello, s.settled("hello"))
}
