package rollout

import (
	"slices"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
)

// Watch is what is known of the nodes of one host while it is visited: what they lost, measured.
type Watch struct {
	Host  wire.HostID `json:"host"`
	Name  string      `json:"name"`
	Nodes []NodeWatch `json:"nodes"`
}

// NodeWatch is one node.
type NodeWatch struct {
	CTID    wire.CTID             `json:"ctid"`
	Env     wire.EnvName          `json:"env"`
	Layer   wire.LayerName        `json:"layer"`
	Started time.Time             `json:"started,omitzero"` // as its host said when it served last
	Served  time.Time             `json:"served"`           // when it was last known to serve
	Cause   string                `json:"cause,omitempty"`  // why it does not, since then
	Gone    bool                  `json:"gone,omitempty"`   // it is no longer wanted
	Outages []operator.NodeOutage `json:"outages,omitempty"`
}

// Begin begins the watch of a host's nodes.
func Begin(h Host, now time.Time) Watch {
	w := Watch{Host: h.ID, Name: h.Name, Nodes: []NodeWatch{}}
	for _, n := range h.Nodes {
		if n.State == "running" && !n.Gone {
			w.Nodes = append(w.Nodes, NodeWatch{CTID: n.CTID, Env: n.Env, Layer: n.Layer, Started: n.Started, Served: now})
		}
	}
	return w
}

// decides is the component that answers every look.
const decides = "orchestrator"

// causes are what a node that does not serve suffers from, by the step of the visit.
var causes = map[string]string{
	stepTry:      "it is replaced",
	stepDrain:    "its host is drained",
	stepSwitch:   "its host boots the release",
	stepHealth:   "its host boots the release",
	stepUncordon: "its host boots the release",
	stepWatch:    "it is not back after the boot",
	stepBack:     "its host boots what it ran before",
}

// Look is the watch after a look at the host, in a step of a visit: of the component of that name, or "" for the host's. A node that its
// host started anew did not serve from the host's last word of before to that start; one that the platform only lost sight of served all
// the time, and so did the resolver when it is what is visited: a version of it serves until the next one does, and that one beside the
// component's own place until this is taken, which may be when the next component is visited.
func Look(w Watch, h Host, step, component string, now time.Time) Watch {
	w.Nodes = slices.Clone(w.Nodes)
	if !h.Asked {
		return w
	}
	for i := range w.Nodes {
		n := &w.Nodes[i]
		at := slices.IndexFunc(h.Nodes, func(x operator.Node) bool { return x.CTID == n.CTID && !x.Gone })
		switch {
		case n.Gone:
		case at < 0:
			n.Gone = true
			n.Outages = append(slices.Clone(n.Outages), operator.NodeOutage{From: now, To: now,
				Cause: "replaced: another node took its place"})
		case runsBeside(h.Nodes[at].Component) && (component == h.Nodes[at].Component || component != "" && h.Nodes[at].State == "running"):
			n.Started, n.Served = h.Nodes[at].Started, now
		case h.Nodes[at].State == "running":
			if x := h.Nodes[at]; !x.Started.Equal(n.Started) {
				to := later(x.Started, n.Served)
				if x.Component == decides { // it serves when it has answered this look
					to = now
				}
				n.Outages = append(slices.Clone(n.Outages), operator.NodeOutage{From: n.Served, To: to,
					Cause: orElse(n.Cause, orElse(causes[step], "it was started anew"))})
				n.Started = x.Started
			}
			n.Cause, n.Served = "", later(n.Served, earliest(now, h.Seen))
		case n.Cause == "":
			n.Cause = orElse(causes[step], "it is "+h.Nodes[at].State)
		}
	}
	return w
}

// Outages are what a watch measured so far. What still does not serve has no end yet.
func Outages(w Watch, now time.Time) (out []operator.NodeOutage) {
	for _, n := range w.Nodes {
		list := n.Outages
		if n.Cause != "" && !n.Gone {
			list = append(slices.Clone(list), operator.NodeOutage{From: n.Served, Cause: n.Cause})
		}
		for _, o := range list {
			o.CTID, o.Env, o.Layer, o.Host = n.CTID, n.Env, n.Layer, w.Name
			end := o.To
			if end.IsZero() {
				end = now
			}
			o.Seconds = max(0, end.Sub(o.From).Seconds())
			out = append(out, o)
		}
	}
	return out
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earliest(a, b time.Time) time.Time {
	if b.IsZero() || a.Before(b) {
		return a
	}
	return b
}
