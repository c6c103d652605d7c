package world

import (
	"cmp"
	"fmt"
	"iter"
	"strconv"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

// Removing is the state of a node that is no longer wanted and not yet removed by its host.
const Removing = "removing"

// Node is one node; false when there is none of that number.
func (w World) Node(id wire.CTID) (operator.Node, bool) {
	n, ok := store.Nodes.Get(w.View, id.String())
	if !ok || !w.seesIn(ofNode(n), n.Env) {
		return operator.Node{}, false
	}
	return w.NodeOf(n), true
}

// Nodes are the nodes by number, those that are going included: of one environment and on one host (its id or name), "" being any.
func (w World) Nodes(of wire.EnvName, on string) List[operator.Node] {
	id := wire.HostID(on) // of one that was removed, perhaps
	if h, ok := w.hostRecord(on); ok {
		id = h.ID
	}
	return List[operator.Node]{after: func(key string) iter.Seq[Item[operator.Node]] {
		last, _ := strconv.ParseInt(key, 10, 64)
		some := store.Nodes.After(w.View, strconv.FormatInt(last, 10))
		switch {
		case of != "":
			some = store.NodesOf.Of(w.View, string(of))
		case on != "":
			some = store.NodesOn.Of(w.View, string(id))
		}
		return func(yield func(Item[operator.Node]) bool) {
			for n := range some {
				if int64(n.CTID) <= last || on != "" && n.Host != id || !w.seesIn(ofNode(n), n.Env) {
					continue
				}
				if !yield(Item[operator.Node]{byNumber(int64(n.CTID)), func() operator.Node { return w.NodeOf(n) }}) {
					return
				}
			}
		}
	}}
}

// NodeOf is a node by its record.
func (w World) NodeOf(n store.Node) operator.Node {
	h, _ := store.Hosts.Get(w.View, string(n.Host))
	c, _ := store.Clusters.Get(w.View, store.Only)
	s := w.Live[n.Host]
	out := operator.Node{CTID: n.CTID, Env: n.Env, Account: ofNode(n), Layer: n.Layer,
		Template: n.Container.Image.Name, Digest: n.Container.Image.Digest, Component: n.Container.Component,
		Host: n.Host, HostName: h.Name, Placed: n.Placed, Cloudlets: n.Cloudlets, Gone: n.Gone, Halted: n.Halted}
	if n.Former != nil && !n.Gone {
		out.UndoUntil = n.Former.Until
	}
	if n.Container.IPv4.IsValid() {
		out.InternalIP = n.Container.IPv4.String()
	}
	if e := store.Envs.Find(w.View, string(n.Env)); e != nil && !n.Gone {
		out.Addresses = e.AddressesOf(n.Layer, n.Index+1)
	}
	if n.Container.IPv6.IsValid() {
		out.InternalIPv6 = n.Container.IPv6.String()
	}
	if len(n.Container.Publish) > 0 {
		out.ExternalIP = cmp.Or(h.External, c.Infra.External, c.Infra.Underlay)
	}
	ct, reported := s.Container(n.CTID)
	if reported {
		out.Restarts, out.Started, out.MemoryMiB, out.DiskMiB = ct.Restarts, ct.Started, ct.MemoryBytes>>20, ct.DiskBytes>>20
		out.Strain, out.Tuned = ct.Strain, ct.Tuned
		out.CPUSeconds, out.Volumes = float64(ct.CPUMicros)/1e6, ct.Volumes
	}
	switch {
	case n.Host == "":
		out.State, out.Reason = string(host.CtWaiting), "the infra host has not joined yet"
	case s.State.State != operator.HostActive:
		out.State, out.Reason = env.Unknown,
			fmt.Sprintf("host %s is %s: %s", h.Name, cmp.Or(string(s.State.State), "not seen yet"), s.Reason)
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
	case ct.Boot < n.Container.Boot:
		out.State, out.Reason = string(host.CtWaiting), "it is to be started anew, and its host has not begun with that"
	default:
		out.State, out.Reason = string(ct.State), ct.Reason
		if n.Halted != "" && (ct.State == host.CtStopped || ct.Reason == "") {
			out.Reason = n.Halted
		}
		switch {
		case n.Waits != "" && (ct.State == host.CtStopped || ct.State == host.CtWaiting):
			out.Reason = n.Waits
		case n.Stays != "" && ct.State == host.CtRunning:
			out.Reason = n.Stays
		}
		out.NextStart = s.Report.At(ct.NextStart, s.Received)
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
