package rollout

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
)

// fleet is hosts that do what they are ordered, each at its time, or fail as told.
type fleet struct {
	now   time.Time
	hosts []*machine
	did   []string // deeds that changed something, as "h1 cordon"
}

// machine is one host. It takes 10 s to stage, 40 s to boot, 20 s to be well.
type machine struct {
	Host
	ails  string // how it fails: see act and advance
	phase string // booting, backing
	since time.Time
	ordered,
	target string
}

const (
	oldRelease = "1.0.0"
	newRelease = "1.1.0"
)

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// newFleet has n hosts h1, h2, … with two nodes each: of a layer of its own, and of web, which all have.
func newFleet(n int) *fleet {
	f := &fleet{now: noon}
	for i := range n {
		f.add(fmt.Sprintf("h%d", i+1), "user")
	}
	return f
}

func (f *fleet) add(name, role string) *machine {
	i := len(f.hosts) + 1
	m := &machine{since: f.now}
	m.Host.Host = operator.Host{ID: wire.HostID("h-" + name), Name: name, Role: role, State: operator.HostActive, Version: oldRelease,
		Boot: "boot-1"}
	m.System = &System{Slot: "a", State: idle}
	for j, layer := range []wire.LayerName{wire.LayerName("own" + name), "web"} {
		m.Nodes = append(m.Nodes, operator.Node{CTID: wire.CTID(100 + 10*i + j), Env: "shop", Layer: layer, State: "running", Host: m.ID,
			Started: f.now.Add(-time.Hour)})
	}
	f.hosts = append(f.hosts, m)
	return m
}

func (f *fleet) host(name string) *machine {
	for _, m := range f.hosts {
		if m.Name == name {
			return m
		}
	}
	panic("no host " + name)
}

// seen is what a Patcher sees now.
func (f *fleet) seen(r operator.Rollout) Seen {
	watched, _ := Watched(r)
	s := Seen{At: f.now}
	for _, m := range f.hosts {
		h := m.Host
		h.Asked = slices.Contains(watched, h.ID)
		if !h.Asked {
			h.Nodes = nil
		}
		h.Seen = f.now
		if m.Cordoned && m.State == operator.HostActive {
			h.State, h.Reason = operator.HostMaintenance, "cordoned by patcher"
		}
		if m.State != operator.HostActive {
			h.Seen = m.since
			h.Nodes = slices.Clone(h.Nodes)
			for i := range h.Nodes {
				h.Nodes[i].State = "unknown"
			}
		}
		if m.System != nil {
			system := *m.System
			h.System = &system
		}
		s.Hosts = append(s.Hosts, h)
	}
	return s
}

// act does a deed, as often as it is asked.
func (f *fleet) act(a Action) {
	for _, m := range f.hosts {
		if m.ID != a.Host {
			continue
		}
		before := fmt.Sprint(m.Cordoned, m.System.Wanted, m.System.Step, m.phase, m.Drain != nil)
		switch s := m.System; a.Do {
		case Cordon, Uncordon:
			m.Cordoned = a.Do == Cordon
		case Drain:
			m.Drain = &operator.Operation{ID: "op-1", State: operator.OpDone}
			if m.ails == "drain" {
				m.Drain = &operator.Operation{ID: "op-1", State: operator.OpFailed,
					Problem: operator.NewProblem(operator.Exhausted, "nodes/111", "no host has room", "")}
			}
		case Stage, Switch, Kexec, Hot:
			if s.Wanted == "" || s.Step != string(a.Do) {
				s.Wanted, s.Step, s.WantedAt, m.since, s.Took = newRelease, string(a.Do), f.now, f.now, false
			}
		case Forget:
			s.Wanted, s.Step, s.Took = "", "", false
		case Reboot, Rollback:
			if m.phase == "" {
				m.phase, m.since, m.State = "backing", f.now, operator.HostUnreachable
			}
		}
		if after := fmt.Sprint(m.Cordoned, m.System.Wanted, m.System.Step, m.phase, m.Drain != nil); after != before {
			f.did = append(f.did, m.Name+" "+string(a.Do))
		}
	}
}

// advance lets time pass.
func (f *fleet) advance(d time.Duration) {
	f.now = f.now.Add(d)
	for _, m := range f.hosts {
		past := f.now.Sub(m.since)
		s := m.System
		switch {
		case m.phase == "booting" && m.ails == "dead":
		case m.phase == "booting" && m.ails == "boot" && past >= 5*time.Minute:
			m.boots(f.now, oldRelease)
			s.State, s.Reason = failed, "the agent was not ready in time"
		case m.phase == "booting" && m.ails != "boot" && past >= 40*time.Second:
			m.boots(f.now, newRelease)
			s.State, s.Waits = "trying", []string{"gossip: no member answers"}
		case m.phase == "backing" && m.ails != "stuck" && past >= 40*time.Second:
			m.boots(f.now, oldRelease)
			s.State = idle
		case m.phase != "":
		case s.State == "trying" && past >= 20*time.Second:
			s.State, s.Waits = done, nil
			if m.ails == "nodes" {
				m.Nodes[0].State, m.Nodes[0].Reason = "failing", "exited with 1"
			}
		case s.State == done && m.ails == "restarts":
			m.Nodes[0].Restarts++
		case s.State == done && m.ails == "late" && past >= 3*time.Minute:
			m.Nodes[1].State, m.Nodes[1].Reason = "broken", "its image is damaged"
		case s.Wanted == "" || s.State == done:
		case s.Step == "stage" && past >= 10*time.Second:
			s.Took, s.Target, s.State = true, s.Wanted, staged
			if m.ails == "stage" {
				s.State, s.Reason = failed, "the disk is full"
			}
		case s.Step == "hot" && (m.ails == "kernel" || m.ails == "more") && past >= 5*time.Second:
			s.Took, s.State, s.Reason = true, failed, "release 1.1.0 can't be hot: it has another kernel, for which a reboot is needed"
		case s.Step == "hot" && m.ails == "agent" && past >= 5*time.Second:
			s.Took, s.State, s.Reason = true, failed, "the programs from before run again: agent: not ready in time"
		case s.Step == "hot" && m.ails == "slow" && past >= 5*time.Second && past < 70*time.Second:
			s.Took, s.State, m.State = true, switching, operator.HostUnreachable
		case s.Step == "hot" && past >= 5*time.Second:
			m.State = operator.HostActive
			s.Took, s.State, s.Hot, m.Version, m.since = true, done, newRelease, newRelease, f.now
			if m.ails == "nodes" {
				m.Nodes[0].State, m.Nodes[0].Reason = "failing", "exited with 1"
			}
		case s.Step == "kexec" && m.ails == "old" && past >= 5*time.Second: // it does not know the word
			s.Took, s.State = true, staged
		case s.Step == "kexec" && (m.ails == "kernel" || m.ails == "firmware") && past >= 5*time.Second:
			s.Took, s.State, s.Reason = true, failed, "release 1.1.0 can't be started by kexec: its kernel is not signed"
		case (s.Step == "switch" || s.Step == "kexec") && s.State == staged && past >= 5*time.Second:
			s.Took, m.phase, m.since, m.State = true, "booting", f.now, operator.HostUnreachable
			s.State = switching
		}
	}
}

func (m *machine) boots(now time.Time, version string) {
	m.phase, m.since, m.State, m.Version, m.Boot = "", now, operator.HostActive, version, m.Boot+"+"
	m.System.Hot = ""
	for i := range m.Nodes {
		m.Nodes[i].Started, m.Nodes[i].Restarts = now, 0
		m.Nodes[i].State = "running"
	}
}

// begins starts a rollout of the new release over the fleet.
func (f *fleet) begins(t *testing.T, p operator.RolloutPolicy) operator.Rollout {
	t.Helper()
	s := f.seen(operator.Rollout{})
	for i := range s.Hosts {
		s.Hosts[i].Nodes, s.Hosts[i].Asked = f.hosts[i].Nodes, true
	}
	plan, problem := PlanOf(operator.Release{Version: newRelease}, s, p, nil, Rules{})
	if problem != nil {
		t.Fatal(problem)
	}
	r, problem := Start(plan, "ro-1", "admin", f.now)
	if problem != nil {
		t.Fatal(problem)
	}
	return r
}

// goes lets the rollout go on until it has ended, or until is true.
func (f *fleet) goes(t *testing.T, r operator.Rollout, until func(operator.Rollout) bool) operator.Rollout {
	t.Helper()
	for range 5000 {
		var do []Action
		r, do = Next(r, f.seen(r), Rules{})
		for _, a := range do {
			f.act(a)
			if a.Do == Drain {
				r = Drained(r, a.Host, "op-1")
			}
		}
		if r.State.Final() || until != nil && until(r) {
			return r
		}
		f.advance(5 * time.Second)
	}
	t.Fatalf("it does not end: %+v", r)
	return r
}

// story is the deeds that were done, without those of hosts that are not named.
func (f *fleet) of(name string) (out []string) {
	for _, d := range f.did {
		if rest, ok := cutName(d, name); ok {
			out = append(out, rest)
		}
	}
	return out
}

func cutName(did, name string) (string, bool) {
	if len(did) > len(name) && did[:len(name)+1] == name+" " {
		return did[len(name)+1:], true
	}
	return "", false
}
