// Package show turns what is stored and what hosts report into what people and the resolver see.
//
// Owns: the derived views: Node, Environment, Host, Cluster, and the resolver's sites.
// In: one view of the store, one snapshot of the hosts, the licence.
// Out: values of wire/operator and wire/host.
// Never: says more than is known: what runs on a host that does not answer is unknown. Never does I/O.
package show

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"hardnode.dev/internal/build"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
)

// Removing is the state of a node that is no longer wanted and not yet removed by its host.
const Removing = "removing"

// keepAway is how long it is told that a host was away.
const keepAway = 10 * time.Minute

// World is everything at one moment.
type World struct {
	Now       time.Time
	View      *store.View
	Live      live.Snapshot
	Stuck     map[wire.EnvName]string
	Uncovered map[wire.HostID]string
	Uneven    map[wire.EnvName]string
	Alarms    []string
	Rotation  string // of the gossip key
	License   operator.License
}

// Node is one node.
func (w World) Node(n store.Node) operator.Node {
	h, _ := store.Hosts.Get(w.View, string(n.Host))
	c, _ := store.Clusters.Get(w.View, store.Only)
	s := w.Live[n.Host]
	out := operator.Node{CTID: n.CTID, Env: n.Env, Layer: n.Layer, Template: n.Container.Image.Name, Digest: n.Container.Image.Digest, Component: n.Container.Component,
		Host: n.Host, HostName: h.Name, Placed: n.Placed, Cloudlets: n.Cloudlets, Gone: n.Gone}
	if n.Container.IPv4.IsValid() {
		out.InternalIP = n.Container.IPv4.String()
	}
	if len(n.Container.Publish) > 0 {
		out.ExternalIP = cmp.Or(h.External, c.Infra.External, c.Infra.Underlay)
	}
	ct, reported := s.Container(n.CTID)
	if reported {
		out.Restarts, out.Started, out.MemoryMiB, out.DiskMiB = ct.Restarts, ct.Started, ct.MemoryBytes>>20, ct.DiskBytes>>20
		out.CPUSeconds = float64(ct.CPUMicros) / 1e6
	}
	switch {
	case n.Host == "":
		out.State, out.Reason = string(host.CtWaiting), "the infra host has not joined yet"
	case s.State.State != operator.HostActive:
		out.State, out.Reason = env.Unknown, fmt.Sprintf("host %s is %s: %s", h.Name, cmp.Or(string(s.State.State), "not seen yet"), s.Reason)
	case n.Gone:
		out.State, out.Reason = Removing, n.Why
		if reported && ct.Reason != "" {
			out.Reason += "; " + ct.Reason
		}
	case !reported:
		out.State, out.Reason = string(host.CtWaiting), "the host has not begun with it"
		if !w.Delivered(n) {
			out.Reason = "the host has not fetched its work yet"
		}
	case ct.Generation < n.Container.Generation:
		out.State, out.Reason = string(host.CtWaiting), "the host still runs the version before"
	default:
		out.State, out.Reason = string(ct.State), ct.Reason
	}
	if n.Gone && out.State == env.Unknown {
		out.Reason = n.Why + "; it is removed when its host is back"
		if n.ReplacedBy != 0 {
			out.Reason = fmt.Sprintf("replaced by node %d; it is removed when its host is back: %s", n.ReplacedBy, n.Why)
		}
	}
	return out
}

// Delivered tells whether the node's host has the node as it shall be on disk.
func (w World) Delivered(n store.Node) bool {
	r := w.Live[n.Host].Report
	return r != nil && r.Seen >= w.assigned(n)
}

// Answered tells whether what the node's host reports of it, or that it reports nothing of it, is an answer to how it shall be now: what is
// older may be about to change.
func (w World) Answered(n store.Node) bool {
	r := w.Live[n.Host].Report
	return r != nil && r.PlannedFor() >= w.assigned(n)
}

func (w World) assigned(n store.Node) wire.Revision {
	if n.Assigned != 0 {
		return n.Assigned
	}
	work, _ := store.Works.Get(w.View, string(n.Host))
	return work.Revision
}

// Away tells whether the node's host does not answer.
func (w World) Away(n store.Node) bool {
	return w.Live[n.Host].State.State == operator.HostUnreachable
}

// Nodes are an environment's nodes by number, those that are going included.
func (w World) Nodes(name wire.EnvName) []operator.Node {
	out := []operator.Node{}
	some := store.NodesOf.Of(w.View, string(name))
	if name == "" {
		some = store.Nodes.Rows(w.View)
	}
	for n := range some {
		out = append(out, w.Node(n))
	}
	return out
}

// Facts is what an environment's state follows from.
func (w World) Facts(e store.Environment) env.Facts {
	f := env.Facts{Want: string(e.Want), Why: w.Stuck[e.Spec.Name]}
	for _, l := range e.Spec.Layers {
		f.Missing += l.Nodes
	}
	for n := range store.NodesOf.Of(w.View, string(e.Spec.Name)) {
		if n.Gone || n.Replaces != 0 { // a node on its way to take another's place isn't one more
			continue
		}
		f.Missing--
		v := w.Node(n)
		f.Nodes = append(f.Nodes, env.NodeState{CTID: n.CTID, State: v.State, Reason: v.Reason})
	}
	f.Missing = max(0, f.Missing)
	if f.Missing > 0 && f.Why == "" {
		f.Why = "not placed yet"
	}
	if op, ok := store.Operations.Get(w.View, string(e.Operation)); ok && !op.State.Final() {
		f.Busy = op.Kind
	}
	if e.Failed != nil {
		f.Failed = failed(e)
	}
	return f
}

// failed says that an environment's creation failed, and what becomes of it.
func failed(e store.Environment) string {
	s := "its creation failed: " + e.Failed.Reason
	if e.Failed.Kept {
		return s + "; it is kept"
	}
	return fmt.Sprintf("%s; it is removed on %s unless you keep it: hnctl env keep %s", s, e.Failed.Removal().Format(time.DateOnly), e.Spec.Name)
}

// Environment is one environment.
func (w World) Environment(e store.Environment) operator.Environment {
	state, reason := env.State(w.Facts(e))
	out := operator.Environment{Spec: e.Spec, State: state, Reason: reason, Domain: w.domain(e), Created: e.Created, Nodes: w.Nodes(e.Spec.Name),
		Revision: store.Envs.Revision(w.View, string(e.Spec.Name)), Spread: w.Uneven[e.Spec.Name]}
	if f := e.Failed; f != nil {
		out.Failed = &operator.FailedCreate{At: f.At, Reason: f.Reason, Kept: f.Kept, Removal: f.Removal()}
	}
	return out
}

func (w World) domain(e store.Environment) string {
	c, _ := store.Clusters.Get(w.View, store.Only)
	return string(e.Spec.Name) + "." + c.Domain
}

// Environments are all environments by name.
func (w World) Environments() []operator.Environment {
	out := []operator.Environment{}
	for _, e := range store.Envs.All(w.View) {
		out = append(out, w.Environment(e))
	}
	return out
}

// Host is one host.
func (w World) Host(h store.Host) operator.Host {
	s := w.Live[h.ID]
	out := operator.Host{ID: h.ID, Name: h.Name, Role: string(h.Role), State: s.State.State, Reason: s.Reason, Unlicensed: w.Uncovered[h.ID], Block: h.Block4.String(),
		Code: h.Code, Joined: h.Joined, Seen: s.Received}
	if out.State == "" {
		out.State, out.Reason = operator.HostJoining, "it has not been looked at yet"
	}
	if why := s.Loss.Why; why != "" {
		out.Reason += "; " + why
	}
	for n := range store.NodesOn.Of(w.View, string(h.ID)) {
		if !n.Gone {
			out.Containers++
		}
	}
	if r := s.Report; r != nil {
		out.Version, out.Boot, out.CPUs, out.MHz, out.Load1, out.UptimeSec = r.Version, r.Boot, r.Capacity.CPUs, r.Capacity.MHz, r.Load.Load1, r.Load.UptimeSec
		out.MemoryMiB, out.MemoryUsed, out.DiskMiB, out.DiskUsed = r.Capacity.MemoryBytes>>20, r.Load.MemoryUsed>>20, r.Capacity.DiskBytes>>20, r.Load.DiskUsed>>20
		if r.Underlay.IsValid() {
			out.Underlay = r.Underlay.String()
		}
		for _, p := range r.Problems {
			out.Problems = append(out.Problems, fmt.Sprintf("%s: %s (%s)", p.Object, p.Reason, p.Next))
		}
		if a := s.Away.String(); a != "" && w.Now.Sub(s.Away.To) < keepAway {
			out.Problems = append(out.Problems, "link: "+a)
		}
		if d := s.Received.Sub(r.Sent); d > time.Minute || d < -time.Minute {
			out.Problems = append(out.Problems, fmt.Sprintf("clock: it is %s off the orchestrator's (check its time servers)", d.Round(time.Second)))
		}
	}
	return out
}

// Hosts are all hosts in order of joining.
func (w World) Hosts() []operator.Host {
	all := store.Hosts.All(w.View)
	slices.SortFunc(all, func(a, b store.Host) int { return cmp.Compare(a.Order, b.Order) })
	out := make([]operator.Host, len(all))
	for i, h := range all {
		out[i] = w.Host(h)
	}
	return out
}

// Cluster is the installation as a whole.
func (w World) Cluster() operator.Cluster {
	c, _ := store.Clusters.Get(w.View, store.Only)
	out := operator.Cluster{ID: c.ID, Name: c.Name, Domain: c.Domain, Version: build.Version, Now: w.Now, Hosts: map[string]int{}, Environments: map[string]int{}, License: w.License, Alarms: w.Alarms, GossipKey: w.Rotation}
	for _, h := range w.Hosts() {
		out.Hosts[string(h.State)]++
	}
	for _, e := range w.Environments() {
		out.Environments[string(e.State)]++
	}
	return out
}

// Sites is what the resolver serves: every user environment with an HTTP port, its backends being the nodes that were seen running and
// healthy on a host that answers now. Where there is none of those, nodes that ran on an UNREACHABLE host that is not lost count too: what
// does not report may serve all the same, and the resolver sees for itself.
func (w World) Sites() []host.Site {
	out := []host.Site{}
	for _, e := range store.Envs.All(w.View) {
		if e.System || e.Want == store.WantDeleted {
			continue
		}
		site := host.Site{Env: e.Spec.Name, Domain: w.domain(e), Running: e.Want == store.WantRunning, State: string(w.Environment(e).State), Backends: []host.Backend{}}
		var unseen []host.Backend
		entry := entryLayer(e.Spec)
		for n := range store.NodesOf.Of(w.View, string(e.Spec.Name)) {
			if n.Gone || n.HTTP == 0 || n.Layer != entry {
				continue
			}
			silent := w.silent(n)
			if !silent && w.Node(n).State != string(host.CtRunning) {
				continue
			}
			if c := n.Container.Check; c != nil && c.Port == n.HTTP {
				site.Check = c.Path
			}
			b := host.Backend{CTID: n.CTID, Addr: netip.AddrPortFrom(n.Container.IPv4, n.HTTP), Host: n.Host}
			if silent {
				unseen = append(unseen, b)
			} else {
				site.Backends = append(site.Backends, b)
			}
		}
		if len(site.Backends) == 0 && site.Running {
			site.Backends = append(site.Backends, unseen...)
		}
		out = append(out, site)
	}
	return out
}

// silent tells whether a node ran when its host, UNREACHABLE now and not lost, reported last.
func (w World) silent(n store.Node) bool {
	s := w.Live[n.Host]
	c, ok := s.Container(n.CTID)
	return ok && s.State.State == operator.HostUnreachable && !s.Loss.Lost && c.State == host.CtRunning && c.Generation == n.Container.Generation
}

// entryLayer is the layer that requests enter by: the balancer if there is one, else compute, else the first.
func entryLayer(s operator.EnvironmentSpec) wire.LayerName {
	for _, name := range []wire.LayerName{"bl", "cp"} {
		for _, l := range s.Layers {
			if l.Name == name {
				return name
			}
		}
	}
	if len(s.Layers) == 0 {
		return ""
	}
	return s.Layers[0].Name
}
