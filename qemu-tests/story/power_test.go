//go:build qemu

package story

import (
	"sync"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
)

// infraPowerCut cuts the infra VM's power while it takes an order and an image: what it confirmed is there afterwards, the hosts went on
// by themselves, and everything works again.
func infraPowerCut(s story) {
	hello, procs := s.settled("hello"), map[string]map[wire.CTID][]process{}
	for _, m := range s.Hosts {
		procs[m.Name] = s.inContainers(m)
	}
	order := s.file("cut", 4)
	var writers sync.WaitGroup
	writers.Go(func() {
		if _, err := s.HNCTL(s.Context(), "env", "create", "-f", order); err != nil {
			s.Errorf("hnctl waits for what it ordered, over the power cut: %v", err)
		}
	})
	writers.Go(func() { s.PushTemplate(s.Context(), "nginx") }) // broken off
	s.until("the orchestrator has taken the order", func() bool {
		_, err := s.Env(s.Context(), "cut")
		return err == nil
	})
	begin := time.Now()
	s.Infra.Kill()
	if err := s.Infra.Boot(); err != nil {
		s.Fatal(err)
	}
	if err := s.WaitPage(s.Context(), "hello", patience()); err != nil {
		s.Fatal(err)
	}
	page := time.Since(begin)
	if err := s.WaitAPI(s.Context(), patience()); err != nil {
		s.Fatal(err)
	}
	hosts, err := s.HostList(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	for _, h := range hosts {
		if _, err := s.WaitHost(s.Context(), h.Name, patience(), isActive); err != nil {
			s.Fatal(err)
		}
	}
	active := time.Since(begin)
	s.settled("cut")
	writers.Wait()
	s.figure("infra VM's power cut: page served again after %.1f s, all hosts ACTIVE after %.1f s, the order taken before carried out "+
		"after %.1f s",
		page.Seconds(), active.Seconds(), time.Since(begin).Seconds())
	s.delete("cut")
	for _, m := range s.Hosts {
		s.sameProcesses(m, procs[m.Name])
	}
	s.sameNodes(hello, s.settled("hello"))
	s.until("the platform runs again", func() bool { return running(s.env("jelastic")) })
	if _, err := s.PushTemplate(s.Context(), "nginx"); err != nil {
		s.Errorf("after the power cut: %v", err)
	}
	if l := s.licence(); l.State != "active" {
		s.Errorf("after the power cut the licence is %+v", l)
	}
	var ops []operator.Operation
	if err := s.Get(s.Context(), &ops, "op", "list"); err != nil || len(ops) == 0 {
		s.Errorf("after the power cut there are %d operations, %v", len(ops), err)
	}
}
