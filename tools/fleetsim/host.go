package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"hardnode.dev/agent/container/command"
	"hardnode.dev/agent/link"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/jem"
)

// virtual is one host: the agent's own link, and containers that are nothing but their status.
type virtual struct {
	fleet  *fleet
	index  int
	token  secret.Text
	hints  chan struct{}
	cancel context.CancelFunc // switches it off; nil while it is off
	done   chan struct{}      // closed when it is off

	mu struct {
		sync.Mutex
		link    *link.Link
		boots   int
		booted  time.Time
		known   host.Work // on disk
		peers   wire.Revision
		has     host.Known // of Peers and names
		keys    host.GossipKeyIDs
		applied host.Work // whose containers there are
		since   map[wire.CTID]time.Time
		crashes map[wire.CTID]bool // the containers that crash again and again; 0: all of them
		bytes   int64              // of the documents it was sent
	}
}

// on switches the host on, as its power would: it has what is on its disk, and a new boot.
func (v *virtual) on(ctx context.Context) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mu.boots++
	v.mu.booted = time.Now()
	v.mu.since, v.mu.applied = map[wire.CTID]time.Time{}, host.Work{}
	l, err := link.New(link.Options{
		Dir: filepath.Join(v.fleet.dir, fmt.Sprintf("host%d", v.index+1)), Config: v.config, Store: v, Report: v.report, Changed: v.hints,
		Runtime: v, Boot: v.boot(), Version: "fleetsim", Underlay: func(context.Context) netip.Addr { return v.underlay() },
		Clock: rightClock{}, Dial: v.dial,
	})
	if err != nil {
		return err
	}
	v.mu.link = l
	if v.mu.known.Revision > 0 {
		v.apply(v.mu.known)
	}
	ctx, v.cancel = context.WithCancel(ctx)
	v.done = make(chan struct{})
	go func() {
		defer close(v.done)
		if err := l.Run(ctx); err != nil && ctx.Err() == nil {
			v.fleet.failed(fmt.Errorf("host%d: %w", v.index+1, err))
		}
	}()
	return nil
}

// off cuts its power and waits until it is off.
func (v *virtual) off() {
	if v.cancel != nil {
		v.cancel()
		<-v.done
		v.cancel = nil
	}
}

func (v *virtual) boot() string { return fmt.Sprintf("boot-%d-%d", v.index, v.mu.boots) }

// underlay is the address other hosts would find it at, source the one it calls from: listeners count connections by it.
func (v *virtual) underlay() netip.Addr {
	n := v.index + 2
	return netip.AddrFrom4([4]byte{100, 64 + byte(n>>16), byte(n >> 8), byte(n)})
}

func (v *virtual) source() net.IP {
	n := v.index + 1
	return net.IPv4(127, 1+byte(n/62500), byte(n/250%250), byte(n%250+1))
}

func (v *virtual) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second, LocalAddr: &net.TCPAddr{IP: v.source()}}
	return d.DialContext(ctx, network, addr)
}

func (v *virtual) config(context.Context) (boot.HostConfig, error) {
	return boot.HostConfig{Version: 1, Role: host.RoleUser, Join: &boot.Join{Cluster: string(v.fleet.cluster.Seed.Cluster),
		Endpoints: []string{v.fleet.endpoint}, CAPin: v.fleet.cluster.Pin, Token: v.token}}, nil
}

// Known and Accept are what the link needs of agent/desired. Of Peers and names a virtual host keeps what it asks with, not what they say:
// the memory of thousands would be that many times the cluster.
func (v *virtual) Known() host.Known {
	v.mu.Lock()
	defer v.mu.Unlock()
	known := v.mu.has
	known.Work = v.mu.known.Revision
	return known
}

// Accept takes documents in; a while later the containers follow them.
func (v *virtual) Accept(a host.Assignment) error {
	v.fleet.measure.accepted(v, a)
	v.mu.Lock()
	defer v.mu.Unlock()
	if p := a.Peers; p != nil {
		v.took(p)
		v.mu.has = host.Known{Peers: p.Revision}
	}
	if c := a.PeersChange; c != nil {
		if c.From != 0 && c.From != v.mu.has.Hosts {
			v.fleet.failed(fmt.Errorf("host%d was told a change of peers that it does not have", v.index+1))
		}
		v.took(&c.Peers)
		v.mu.has.Peers, v.mu.has.Hosts = 0, c.To
	}
	if n := a.Names; n != nil {
		names := make(map[wire.Account]host.Sum, len(n.Accounts))
		for _, a := range n.Accounts {
			if a.From != 0 && a.From != v.mu.has.Names[a.Account] {
				v.fleet.failed(fmt.Errorf("host%d was told a change of names that it does not have", v.index+1))
			}
			names[a.Account] = a.To
		}
		v.mu.has.Names = names
	}
	if w := a.Work; w != nil {
		v.mu.known = *w
		v.after(v.fleet.delay, func() { v.apply(*w) })
	}
	return nil
}

// took takes in what a report says of Peers. The caller holds the lock.
func (v *virtual) took(p *host.Peers) {
	v.mu.peers = p.Revision
	v.mu.keys = host.GossipKeyIDs{Use: host.GossipKeyID(p.Gossip.Use)}
	for _, k := range p.Gossip.Accept {
		v.mu.keys.Accept = append(v.mu.keys.Accept, host.GossipKeyID(k))
	}
}

// after does something to the host a while later, unless it was switched off meanwhile, and has it report.
func (v *virtual) after(d time.Duration, f func()) {
	boots := v.mu.boots
	time.AfterFunc(d, func() {
		v.mu.Lock()
		if v.mu.boots == boots {
			f()
		}
		v.mu.Unlock()
		v.hint()
	})
}

func (v *virtual) hint() {
	select {
	case v.hints <- struct{}{}:
	default:
	}
}

// Exec, Told and Logs are what sessions need of a runtime.
func (v *virtual) Exec(context.Context, wire.CTID, host.ExecSpec, command.Stdio) (host.Exit, error) {
	return host.Exit{}, errors.New("nothing runs on a simulated host")
}

// Told has nothing to tell.
func (v *virtual) Told(context.Context, wire.CTID) jem.Told { return jem.Told{} }

// Logs has none to show.
func (v *virtual) Logs(context.Context, wire.CTID, host.LogsSpec, func(bool, []byte) error) error {
	return errors.New("a simulated host has no logs")
}

// rightClock is a clock that is never set: the simulation and the orchestrator share the machine's.
type rightClock struct{}

func (rightClock) Raise()                          {}
func (rightClock) Answer(time.Time, time.Duration) {}

// status is how its link is.
func (v *virtual) status() link.Status {
	v.mu.Lock()
	l := v.mu.link
	v.mu.Unlock()
	if l == nil {
		return link.Status{}
	}
	return l.Status()
}
