//go:build qemu

package story

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/qemu-tests/cluster"
	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/harness/ask"
)

const (
	agentExe  = "/usr/lib/hardnode/agent"
	sigStop   = 19
	sigCont   = 18
	stoppedIt = 8 * time.Second // how long a part stays stopped

	unreachableIn = 5 * time.Second // how long after its power was cut a host is called UNREACHABLE, and its nodes get no visitor any more
)

// visitor fetches a page again and again.
type visitor struct {
	stop func() []visit
}

type visit struct {
	at   time.Time // when the answer, or the failure, was there
	took time.Duration
	err  string // "" for a good page
}

// visitor visits hello.
func (s story) visitor(every time.Duration) visitor { return s.visitorOf("hello", every) }

func (s story) visitorOf(env string, every time.Duration) visitor {
	ctx, cancel := context.WithCancel(s.Context())
	var all []visit
	var wg sync.WaitGroup
	wg.Go(func() {
		for run.Wait(ctx, every) {
			begin := time.Now()
			p, err := s.FetchPage(ctx, env, "/")
			v := visit{at: time.Now(), took: time.Since(begin)}
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				v.err = err.Error()
			case p.Status != 200:
				v.err = fmt.Sprintf("status %d: %.200q", p.Status, p.Body)
			}
			all = append(all, v)
		}
	})
	return visitor{func() []visit { cancel(); wg.Wait(); return all }}
}

// failed are the visits that failed, told as seconds after begin.
func failed(list []visit, begin time.Time) (out []string) {
	for _, v := range list {
		if v.err != "" {
			out = append(out, fmt.Sprintf("+%.1f s: %s", v.at.Sub(begin).Seconds(), v.err))
		}
	}
	return out
}

// ask puts a question to a machine's probe.
func (s story) ask(m *cluster.Machine, q ask.Request) ask.Answer {
	s.Helper()
	a, err := m.Ask(s.Context(), q)
	if err != nil {
		s.Fatal(err)
	}
	return a
}

// while stops every process of a program on a machine, runs f, and lets them go on.
func (s story) while(m *cluster.Machine, exe string, f func()) {
	s.Helper()
	s.ask(m, ask.Request{What: "kill", Path: exe, Signal: sigStop})
	defer s.ask(m, ask.Request{What: "kill", Path: exe, Signal: sigCont})
	f()
}

// quiet: while nothing happens no node is touched and no page fails; a host is called unreachable only where it says itself why it was
// slow.
func quiet(s story) {
	hello := s.settled("hello")
	v, begin := s.visitor(time.Second), time.Now()
	s.watch(soak(20*time.Second, 10*time.Minute)) // busyHosts looks for as long again
	s.sameNodes(hello, s.settled("hello"))
	if bad := failed(v.stop(), begin); len(bad) > 0 {
		s.Errorf("pages failed: %q", bad)
	}
}

// orchestratorStopped: the resolver and the containers go on.
func orchestratorStopped(s story) {
	s.settled("hello")
	v, begin := s.visitor(100*time.Millisecond), time.Now()
	s.while(s.Infra, "/orchestrator", func() { run.Wait(s.Context(), stoppedIt) })
	if err := s.WaitAPI(s.Context(), patience()); err != nil {
		s.Error(err)
	}
	for _, h := range s.Hosts {
		if _, err := s.WaitHost(s.Context(), h.Name, patience(), isActive); err != nil {
			s.Error(err)
		}
	}
	s.settled("hello")
	list := v.stop()
	if bad := failed(list, begin); len(bad) > 0 || len(list) < 3 {
		s.Errorf("of %d pages failed while the orchestrator was stopped: %q", len(list), bad)
	}
}

func isActive(h operator.Host) bool { return h.State == operator.HostActive }

// jlsStopped: everything goes on, new environments included.
func jlsStopped(s story) {
	v, begin := s.visitor(100*time.Millisecond), time.Now()
	s.while(s.Infra, "/jls", func() {
		s.create("nojls", 1)
		s.settled("nojls")
		s.delete("nojls")
	})
	if bad := failed(v.stop(), begin); len(bad) > 0 {
		s.Errorf("pages failed while the licence server was stopped: %q", bad)
	}
}

// componentFails: a component that ends again and again is named on the infra host's console, with its code and last words.
func componentFails(s story) {
	v, begin := s.visitor(100*time.Millisecond), time.Now()
	mark := s.Infra.VM().Console.Mark()
	ctx, cancel := context.WithCancel(s.Context())
	var kills sync.WaitGroup
	kills.Go(func() {
		for ended := true; ended; ended = run.Wait(ctx, 500*time.Millisecond) {
			s.Infra.Ask(ctx, ask.Request{What: "kill", Path: "/jls"}) // between two starts there is none
		}
	})
	limit, stop := context.WithTimeout(s.Context(), patience())
	defer stop()
	line, err := s.Infra.VM().WaitAfter(limit, mark, `! container 2 \(jls\): exited with code 137; it said last: .* -> .*`)
	cancel()
	kills.Wait()
	if err != nil {
		s.Fatalf("the console doesn't name the component that fails: %v", err)
	}
	s.figure("component that fails, on the console: %s", line[0])
	s.until("the licence server runs again", func() bool { return running(s.env("jelastic")) })
	if bad := failed(v.stop(), begin); len(bad) > 0 {
		s.Errorf("pages failed while the licence server failed: %q", bad)
	}
}

// rtc are QEMU's arguments for a machine whose battery clock is off.
func rtc(off time.Duration) []string {
	return []string{"-rtc", "base=" + time.Now().Add(off).UTC().Format("2006-01-02T15:04:05")}
}

// clock is the time a machine has.
func (s story) clock(m *cluster.Machine) time.Time {
	s.Helper()
	var booted int64
	var up float64
	for line := range strings.Lines(s.ask(m, ask.Request{What: "read", Path: "/proc/stat"}).Text) {
		fmt.Sscanf(line, "btime %d", &booted)
	}
	if _, err := fmt.Sscan(s.ask(m, ask.Request{What: "read", Path: "/proc/uptime"}).Text, &up); err != nil || booted == 0 {
		s.Fatalf("read the clock of %s: booted %d, %v", m.Name, booted, err)
	}
	return time.Unix(booted, 0).Add(time.Duration(up * float64(time.Second)))
}

// overLicence: a host the licence doesn't cover joins, although its clock is a year behind, gets nothing, says why, and can be removed.
func overLicence(s story) {
	m, err := s.AddHost(rtc(-365 * 24 * time.Hour)...)
	if err != nil {
		s.Fatal(err)
	}
	h, err := s.WaitHost(s.Context(), m.Name, patience(), func(h operator.Host) bool {
		return isActive(h) && h.Unlicensed != ""
	})
	if err != nil {
		s.Fatal(err)
	}
	s.figure("host over the licence: %s", h.Unlicensed)
	if off := time.Since(s.clock(m)); off.Abs() > time.Minute {
		s.Errorf("the clock of %s is off by %v", m.Name, off)
	}
	line := s.console(m, 0, patience(), "the console says that the clock was behind", `was behind; set to .*`)
	s.figure("host with a clock a year behind: %s; it joined, and its clock is right now", line[0])
	s.create("crowd", 3)
	e := s.settled("crowd")
	for _, n := range e.Nodes {
		if n.HostName == m.Name {
			s.Errorf("node %s was placed on the unlicensed host: %s", n.CTID, n.Placed)
		}
	}
	s.delete("crowd")
	s.Retire(m)
	if _, err := s.WaitHost(s.Context(), m.Name, patience(),
		func(h operator.Host) bool { return h.State == operator.HostUnreachable }); err != nil {
		s.Fatal(err)
	}
	s.hnctl("host", "remove", m.Name)
	s.until(m.Name+" is forgotten", func() bool {
		hosts, err := s.HostList(s.Context())
		return err == nil && !slices.ContainsFunc(hosts, func(h operator.Host) bool { return h.Name == m.Name })
	})
}

// hostKilled: a host whose power is cut is noticed, its node is replaced, and visitors hardly see it.
func hostKilled(s story) {
	before := s.settled("hello")
	lost := before.Nodes[0]
	m := s.Machine(lost.HostName)
	v := s.visitor(100 * time.Millisecond)
	run.Wait(s.Context(), time.Second)
	begin := time.Now()
	m.Kill()
	if _, err := s.WaitHost(s.Context(), m.Name, patience(),
		func(h operator.Host) bool { return h.State == operator.HostUnreachable }); err != nil {
		s.Fatal(err)
	}
	noticed := time.Since(begin)
	replaced := func(e operator.Environment) bool {
		n := 0
		for _, x := range e.Nodes {
			if x.State == "running" && x.HostName != m.Name {
				n++
			}
		}
		return n == 2
	}
	after, err := s.WaitEnv(s.Context(), "hello", patience(), replaced)
	if err != nil {
		s.Fatal(err)
	}
	took := time.Since(begin)
	run.Wait(s.Context(), 3*time.Second) // visitors come on
	list := v.stop()
	var late []string
	for _, x := range list {
		if x.err != "" && x.at.Sub(begin) > slack*unreachableIn {
			late = append(late, fmt.Sprintf("+%.1f s: %s", x.at.Sub(begin).Seconds(), x.err))
		}
	}
	s.figure("host killed: UNREACHABLE after %.1f s, node replaced after %.1f s, %d of %d pages failed, %d later than that may take",
		noticed.Seconds(), took.Seconds(), len(failed(list, begin)), len(list), len(late))
	if noticed > slack*unreachableIn {
		s.Errorf("UNREACHABLE after %v, want at most %v", noticed, slack*unreachableIn)
	}
	if most := slack * min(10*time.Second*harness.Scale(), 20*time.Second); took > most {
		s.Errorf("replaced after %v, want at most %v", took, most)
	}
	if len(late) > 0 {
		s.Errorf("pages failed later than %v after the kill: %q", slack*unreachableIn, late)
	}
	for _, n := range after.Nodes {
		if n.CTID == lost.CTID && n.State == "running" {
			s.Errorf("node %s lives on the dead host", n.CTID)
		}
	}
	if err := m.Boot(); err != nil {
		s.Fatal(err)
	}
	if _, err := s.WaitHost(s.Context(), m.Name, patience(), isActive); err != nil {
		s.Error(err)
	}
	if _, err := s.WaitEnv(s.Context(), "hello", patience(),
		func(e operator.Environment) bool { return running(e) && len(e.Nodes) == 2 }); err != nil {
		s.Errorf("after the host is back: %v", err)
	}
	s.spread(m)
}

// spread: with one host empty it is said that hello isn't spread any more, and asking mends it without a visitor noticing.
func (s story) spread(empty *cluster.Machine) {
	s.Helper()
	said := ""
	s.until("it is said that hello isn't spread over hosts", func() bool {
		e, err := s.Env(s.Context(), "hello")
		said = e.Spread
		return err == nil && said != ""
	})
	if out := s.hnctl("cluster", "status"); !strings.Contains(out, "hnctl env spread hello") {
		s.Errorf("the cluster's status has no alarm for it: %s", out)
	}
	v, begin := s.visitor(100*time.Millisecond), time.Now()
	s.hnctl("env", "spread", "hello")
	took := time.Since(begin)
	e, err := s.WaitEnv(s.Context(), "hello", patience(), func(e operator.Environment) bool {
		return running(e) && len(e.Nodes) == 2 && e.Spread == ""
	})
	if err != nil {
		s.Fatal(err)
	}
	if len(on(empty, e)) != 1 {
		s.Errorf("after spreading %s has %d nodes of hello, want one: %+v", empty.Name, len(on(empty, e)), e.Nodes)
	}
	list := v.stop()
	s.figure("spread again in %.1f s (%s); %d of %d pages failed", took.Seconds(), said, len(failed(list, begin)), len(list))
	if bad := failed(list, begin); len(bad) > 0 {
		s.Errorf("pages failed while hello was spread: %q", bad)
	}
}
