package cluster

import (
	"fmt"
	"net"
	"strconv"
)

// The ports of this machine that are forwarded to the infra VM come from this range; `make deps` checks that enough of it is free.
const (
	PortFirst = 17400
	PortLast  = 17499
)

// Ports are where this machine reaches the infra VM, all on 127.0.0.1.
type Ports struct {
	API      int // 7443: API and panel (TLS)
	Hosts    int // 7444: host API (mutual TLS), for hosts outside the switch
	Registry int // 7445: templates
	JLS      int // 7446: licence server
	Pages    int // 80: the resolver
	Secure   int // 443: the resolver, HTTPS; 0 in clusters kept from before 2026-11-28
}

// forwarded is the table behind Ports: what, the VM's port, the port asked for first.
var forwarded = []struct {
	What   string
	Guest  int
	Wanted int
	at     func(*Ports) *int
}{
	{"panel and API (HTTPS)", 7443, 17443, func(p *Ports) *int { return &p.API }},
	{"host API (mutual TLS)", 7444, 17444, func(p *Ports) *int { return &p.Hosts }},
	{"registry of templates", 7445, 17445, func(p *Ports) *int { return &p.Registry }},
	{"licence server (JLS)", 7446, 17446, func(p *Ports) *int { return &p.JLS }},
	{"pages, through the resolver (HTTP)", 80, 17480, func(p *Ports) *int { return &p.Pages }},
	{"pages, through the resolver (HTTPS)", 443, 17483, func(p *Ports) *int { return &p.Secure }},
}

// ChoosePorts takes the usual ports, or for each that is taken the next free one of the range.
func ChoosePorts(free func(port int) bool) (Ports, error) {
	var p Ports
	used := map[int]bool{}
	for _, f := range forwarded {
		port := 0
		for i := range PortLast - PortFirst + 1 {
			try := PortFirst + (f.Wanted-PortFirst+i)%(PortLast-PortFirst+1)
			if !used[try] && !(i > 0 && wanted(try)) && free(try) {
				port = try
				break
			}
		}
		if port == 0 {
			return Ports{}, fmt.Errorf("choose a port for %s: all of %d to %d are taken; end what listens there (ss -ltnp)", f.What,
				PortFirst, PortLast)
		}
		used[port], *f.at(&p) = true, port
	}
	return p, nil
}

// wanted tells whether the port is the usual one of something.
func wanted(port int) bool {
	for _, f := range forwarded {
		if f.Wanted == port {
			return true
		}
	}
	return false
}

// Free tells whether nothing listens on the port of 127.0.0.1.
func Free(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	l.Close()
	return true
}

// Forwarded is one row of the table of ports for people.
type Forwarded struct {
	What        string
	Host, Guest int
	Usual       bool // Host is the port it usually has
}

// Table lists the forwarded ports: those there are.
func (p Ports) Table() []Forwarded {
	var out []Forwarded
	for _, f := range forwarded {
		if *f.at(&p) == 0 {
			continue
		}
		out = append(out, Forwarded{What: f.What, Host: *f.at(&p), Guest: f.Guest, Usual: *f.at(&p) == f.Wanted})
	}
	return out
}
