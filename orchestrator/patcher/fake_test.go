package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/testkit/founded"
	"hardnode.dev/internal/testkit/ports"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/slots"
)

const (
	oldRelease = "1.0.0"
	newRelease = "1.1.0"
)

// fakePlatform is a cluster that speaks the public API, as much of it as the Patcher uses. Its hosts do what they are ordered within
// moments.
type fakePlatform struct {
	t     *testing.T
	addr  string
	self  *identity.Holder
	trust identity.Trust
	token string
	close func()

	mu struct {
		sync.Mutex
		hosts  []*machine
		errors []operator.ErrorGroup
		did    []string // "h1 cordon"
	}
}

// machine is one host.
type machine struct {
	operator.Host
	ails   string // how it fails
	system host.SystemStatus
	wanted *operator.WantedSystem
	nodes  []operator.Node
	orders int
	began  time.Time // of what it does now
	phase  string    // booting, backing
}

// The time that things take.
const (
	stageTime = 50 * time.Millisecond
	bootTime  = 150 * time.Millisecond
	wellTime  = 100 * time.Millisecond
)

func newPlatform(t *testing.T, c *founded.Cluster, token string, hosts int) *fakePlatform {
	t.Helper()
	self, err := c.Component("orchestrator", 3, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	p := &fakePlatform{t: t, self: self, trust: c.Trust(), token: token}
	for i := range hosts {
		name := fmt.Sprintf("h%d", i+1)
		m := &machine{Host: operator.Host{ID: wire.HostID("h-00000000000" + fmt.Sprint(i+1)), Name: name, Role: "user",
			State: operator.HostActive, Version: oldRelease, Boot: "boot"},
			system: host.SystemStatus{Release: oldRelease, Slot: slots.A, State: host.SystemIdle}}
		for j := range 4 {
			m.nodes = append(m.nodes, operator.Node{CTID: wire.CTID(100 + 10*i + j), Env: "shop", Layer: wire.LayerName(name),
				State: "running", Host: m.ID,
				HostName: name, Started: time.Now().Add(-time.Hour)})
		}
		p.mu.hosts = append(p.mu.hosts, m)
	}
	p.serve(ports.Own(t))
	t.Cleanup(func() { p.close() })
	return p
}

// serve begins to answer.
func (p *fakePlatform) serve(addr string) {
	p.t.Helper()
	l, err := tls.Listen("tcp", addr, identity.ServerTLS(p.trust, nil, p.self))
	if err != nil {
		p.t.Fatal(err)
	}
	p.addr = l.Addr().String()
	s := &http.Server{Handler: p.handler()}
	go s.Serve(l)
	p.close = func() { s.Close() }
}

func (p *fakePlatform) handler() http.Handler {
	mux := http.NewServeMux()
	at := func(pattern string, f func(m *machine, r *http.Request) (any, error)) {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" "+operator.Prefix+path, func(w http.ResponseWriter, r *http.Request) {
			p.mu.Lock()
			defer p.mu.Unlock()
			if r.Header.Get("Authorization") != "Bearer "+p.token {
				operator.WriteProblem(w, operator.NewProblem(operator.Denied, "token", "it is not known", ""))
				return
			}
			p.advance()
			var m *machine
			for _, x := range p.mu.hosts {
				if h := r.PathValue("host"); h == string(x.ID) || h == "" && r.URL.Query().Get("host") == string(x.ID) {
					m = x
				}
			}
			if m == nil && r.PathValue("host") != "" {
				operator.WriteProblem(w, operator.NewProblem(operator.NotFound, "hosts", "there is no such host", ""))
				return
			}
			out, err := f(m, r)
			if err != nil {
				operator.WriteProblem(w, err)
				return
			}
			json.NewEncoder(w).Encode(out)
		})
	}
	at("GET /errors", func(*machine, *http.Request) (any, error) { return operator.ErrorGroups{Groups: p.mu.errors}, nil })
	at("GET /releases", func(*machine, *http.Request) (any, error) {
		return operator.Releases{Releases: []operator.Release{{Version: newRelease, Severity: "critical"}}}, nil
	})
	at("GET /hosts", func(*machine, *http.Request) (any, error) {
		list := operator.List[operator.Host]{}
		for _, m := range p.mu.hosts {
			h := m.Host
			h.Seen = time.Now()
			if h.Cordon != nil && h.State == operator.HostActive {
				h.State, h.Reason = operator.HostMaintenance, h.Cordon.Words()
			}
			list.Items = append(list.Items, h)
		}
		return list, nil
	})
	at("GET /nodes", func(m *machine, _ *http.Request) (any, error) {
		list := operator.List[operator.Node]{}
		for _, n := range m.nodes {
			if m.State != operator.HostActive {
				n.State = "unknown"
			}
			list.Items = append(list.Items, n)
		}
		return list, nil
	})
	at("GET /hosts/{host}/system", func(m *machine, _ *http.Request) (any, error) {
		s := m.system
		return operator.HostSystem{Wanted: m.wanted, Status: &s}, nil
	})
	at("PUT /hosts/{host}/cordon", func(m *machine, _ *http.Request) (any, error) {
		if m.Cordon == nil {
			p.did(m, "cordon")
		}
		m.Cordon = &operator.HostCordon{By: "patcher", At: time.Now()}
		return m.Host, nil
	})
	at("DELETE /hosts/{host}/cordon", func(m *machine, _ *http.Request) (any, error) {
		if m.Cordon != nil {
			p.did(m, "uncordon")
		}
		m.Cordon = nil
		return m.Host, nil
	})
	at("PUT /hosts/{host}/system", p.order)
	at("DELETE /hosts/{host}/system", func(m *machine, _ *http.Request) (any, error) {
		if m.wanted != nil {
			p.did(m, "forget")
		}
		m.wanted = nil
		return operator.HostSystem{}, nil
	})
	at("POST /hosts/{host}/slots", func(m *machine, _ *http.Request) (any, error) { return struct{}{}, p.back(m, "rollback") })
	at("POST /hosts/{host}/reboot", func(m *machine, _ *http.Request) (any, error) { return struct{}{}, p.back(m, "reboot") })
	return mux
}

func (p *fakePlatform) did(m *machine, what string) { p.mu.did = append(p.mu.did, m.Name+" "+what) }

func (p *fakePlatform) order(m *machine, r *http.Request) (any, error) {
	var o operator.OrderSystem
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
		return nil, err
	}
	if m.wanted == nil || m.wanted.Step != o.Step {
		p.did(m, o.Step)
		if m.wanted == nil {
			m.orders++
		}
		m.wanted = &operator.WantedSystem{Release: o.Release, Step: o.Step, Order: fmt.Sprint("order-", m.orders), At: time.Now()}
		m.began = time.Now()
	}
	return operator.HostSystem{Wanted: m.wanted}, nil
}

func (p *fakePlatform) back(m *machine, how string) error {
	if m.State != operator.HostActive {
		return operator.NewProblem(operator.Unavailable, "hosts/"+m.Name, "nothing reaches it", "")
	}
	p.did(m, how)
	m.phase, m.began, m.State = "backing", time.Now(), operator.HostUnreachable
	return nil
}

// advance lets the hosts do what it is time for.
func (p *fakePlatform) advance() {
	for _, m := range p.mu.hosts {
		past, s := time.Since(m.began), &m.system
		switch {
		case m.phase == "booting" && m.ails == "slow": // as long as the test has it so
		case m.phase == "booting" && past > bootTime:
			m.boots(newRelease)
			s.State, s.Waits = host.SystemTrying, []string{"gossip"}
			if m.ails == "boot" {
				m.boots(oldRelease)
				s.State, s.Waits, s.Reason = host.SystemFailed, nil, "the agent was not ready in time"
			}
		case m.phase == "backing" && past > bootTime:
			m.boots(oldRelease)
			s.State = host.SystemIdle
		case m.phase != "":
		case s.State == host.SystemTrying && past > wellTime:
			s.State, s.Waits = host.SystemDone, nil
			if m.ails == "agent" {
				p.mu.errors = append(p.mu.errors, operator.ErrorGroup{Fingerprint: "g1-a", Host: m.ID, Component: "agent", Kind: "ended",
					Version: newRelease, Message: "run: <text>", Count: 1, Last: time.Now()})
			}
			if m.ails == "nodes" {
				for i := range 3 {
					m.nodes[i].State, m.nodes[i].Reason = "failing", "exited with 1"
				}
			}
		case m.wanted == nil:
		case s.Order != m.wanted.Order && past > stageTime:
			s.Order, s.Target, s.State, s.Reason = m.wanted.Order, m.wanted.Release, host.SystemStaged, ""
		case s.Order == m.wanted.Order && m.wanted.Step == "switch" && s.State == host.SystemStaged && past > stageTime:
			m.phase, m.began, m.State, s.State = "booting", time.Now(), operator.HostUnreachable, host.SystemSwitching
		}
	}
}

func (m *machine) boots(release string) {
	m.phase, m.began, m.State, m.Version, m.system.Release, m.Boot = "", time.Now(), operator.HostActive, release, release, m.Boot+"+"
	for i := range m.nodes {
		m.nodes[i].State, m.nodes[i].Reason, m.nodes[i].Started = "running", "", time.Now()
	}
}

// of is what was done to a host, and how it is now.
func (p *fakePlatform) of(name string) (did []string, now machine) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.mu.did {
		if rest, ok := strings.CutPrefix(d, name+" "); ok {
			did = append(did, rest)
		}
	}
	for _, m := range p.mu.hosts {
		if m.Name == name {
			now = *m
		}
	}
	return did, now
}

// ail makes a host fail in a way.
func (p *fakePlatform) ail(name, how string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.mu.hosts {
		if m.Name == name {
			m.ails = how
		}
	}
}
