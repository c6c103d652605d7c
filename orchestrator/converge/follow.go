package converge

import (
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
)

// Load tells the index of everything in a view of the store. It must know nothing yet.
func (x *Index) Load(v *store.View) {
	for name := range store.Numbers.Refs(v) {
		x.take(v, store.Numbers.Kind(), name)
	}
	for _, kind := range []string{store.Clusters.Kind(), store.GossipKeys.Kind(), store.PeersDoc.Kind(), store.Netboots.Kind(),
		store.DNSs.Kind()} {
		x.take(v, kind, store.Only)
	}
	each(x, v, store.Templates)
	each(x, v, store.Hosts)
	each(x, v, store.Envs)
	each(x, v, store.EnvNames)
	each(x, v, store.Works)
	each(x, v, store.Cursors)
	each(x, v, store.Cordons)
	each(x, v, store.Nodes)
	each(x, v, store.Components)
}

func each[T any](x *Index, v *store.View, t store.Table[T]) {
	for name := range t.Refs(v) {
		x.take(v, t.Kind(), name)
	}
}

// Follow tells the index of what changed up to v.
func (x *Index) Follow(v *store.View, changes []store.Change) {
	for _, c := range changes {
		x.take(v, c.Kind, c.Name)
	}
}

// take brings one record up to what it is in v.
func (x *Index) take(v *store.View, kind, name string) {
	switch kind {
	case store.Clusters.Kind():
		x.cluster, _ = store.Clusters.Get(v, store.Only)
		x.dirty.peers = true
	case store.GossipKeys.Kind():
		x.gossip, _ = store.GossipKeys.Get(v, store.Only)
		x.dirty.peers = true
	case store.PeersDoc.Kind():
		x.peers, _ = store.PeersDoc.Get(v, store.Only)
		x.dirty.peers = true
	case store.Netboots.Kind():
		x.netboot = store.Netboots.Find(v, store.Only)
		x.dirty.envs[env.System] = true
	case store.DNSs.Kind():
		x.answers = store.DNSs.Find(v, store.Only) != nil
		x.dirty.envs[env.System] = true
	case store.Components.Kind():
		x.setComponent(name, store.Components.Find(v, name))
	case store.Numbers.Kind():
		n, _ := store.Numbers.Get(v, name)
		switch name {
		case "ctid":
			x.next = wire.CTID(n.Next)
		case "block":
			x.block = int(n.Next)
		case store.Published:
			x.published = wire.Revision(n.Next)
		}
	case store.Envs.Kind():
		rec := store.Envs.Find(v, name)
		var op *store.Operation
		if rec != nil {
			op = store.Operations.Find(v, string(rec.Operation))
		}
		x.setEnv(wire.EnvName(name), rec, workOf(op))
	case store.EnvNames.Kind():
		x.setNames(wire.EnvName(name), store.EnvNames.Find(v, name))
	case store.Operations.Kind():
		op := store.Operations.Find(v, name)
		x.setWorking(wire.OperationID(name), workOf(op))
	case store.Nodes.Kind():
		if id, err := wire.ParseCTID(name); err == nil {
			x.setNode(id, store.Nodes.Find(v, name))
		}
	case store.Hosts.Kind():
		x.setHost(wire.HostID(name), store.Hosts.Find(v, name))
	case store.Works.Kind():
		x.setWork(wire.HostID(name), store.Works.Find(v, name))
	case store.Cursors.Kind():
		c, _ := store.Cursors.Get(v, name)
		x.setCursor(wire.HostID(name), c.Last)
	case store.Cordons.Kind():
		x.setCordon(wire.HostID(name), store.Cordons.Find(v, name))
	case store.Templates.Kind():
		x.takeTemplate(name, store.Templates.Find(v, name))
	}
}

func workOf(op *store.Operation) (w working) {
	if op == nil || op.State.Final() {
		return w
	}
	return working{spreading: op.Kind == "env.spread", editing: op.Kind == "env.edit" && !op.Settled,
		stopping: op.Kind == "env.stop" || op.Kind == "env.trash"}
}

// takeTemplate finds a template by the name of its record.
func (x *Index) takeTemplate(key string, rec *host.Template) {
	if rec != nil {
		x.setTemplate(rec.Name, rec)
		return
	}
	for name := range x.templates {
		if store.TemplateKey(name) == key {
			x.setTemplate(name, nil)
			return
		}
	}
}

// Heard tells the index of hosts that moved.
func (x *Index) Heard(moves []live.Move) {
	for _, m := range moves {
		x.setStatus(m.ID, m.Status)
	}
}

// index makes one of an Input: all of it is dirty.
func (in Input) index() *Index {
	x := NewIndex(in.Clocks)
	x.netboot, x.answers = in.Netboot, in.Answers
	x.cluster, x.gossip, x.peers, x.published, x.next, x.block = in.Cluster, in.Gossip, in.Peers, in.Published, in.NextCTID, in.NextBlock
	x.License(in.License)
	for name, t := range in.Templates {
		x.setTemplate(name, &t)
	}
	for i := range in.Hosts {
		x.setHost(in.Hosts[i].ID, &in.Hosts[i])
	}
	for id, s := range in.Live {
		x.setStatus(id, s)
	}
	for i := range in.Envs {
		name := in.Envs[i].Spec.Name
		x.setEnv(name, &in.Envs[i], working{in.Spreading[name], in.Editing[name], in.Stopping[name]})
	}
	for name, n := range in.Names {
		x.setNames(name, &n)
	}
	for id, w := range in.Works {
		x.setWork(id, &w)
	}
	for id, c := range in.Cursors {
		x.setCursor(id, c)
	}
	for id, c := range in.Cordons {
		x.setCordon(id, &c)
	}
	for i := range in.Nodes {
		x.setNode(in.Nodes[i].CTID, &in.Nodes[i])
	}
	for i := range in.Components {
		x.setComponent(in.Components[i].Name, &in.Components[i])
	}
	return x
}

// Gather puts an Input together from a view of the store and the rest.
func Gather(v *store.View, snapshot live.Snapshot) Input {
	in := Input{Envs: store.Envs.All(v), Nodes: store.Nodes.All(v), Hosts: store.Hosts.All(v), Live: snapshot, Templates: env.Templates{},
		Components: store.Components.All(v),
		Names:      map[wire.EnvName]store.Names{}, Works: map[wire.HostID]host.Work{}, Cursors: map[wire.HostID]int{},
		Cordons: map[wire.HostID]store.Cordon{}, Spreading: map[wire.EnvName]bool{},
		Editing: map[wire.EnvName]bool{}, Stopping: map[wire.EnvName]bool{}}
	in.Cluster, _ = store.Clusters.Get(v, store.Only)
	in.Gossip, _ = store.GossipKeys.Get(v, store.Only)
	in.Netboot, in.Answers = store.Netboots.Find(v, store.Only), store.DNSs.Find(v, store.Only) != nil
	in.Peers, _ = store.PeersDoc.Get(v, store.Only)
	n, _ := store.Numbers.Get(v, "ctid")
	in.NextCTID = wire.CTID(n.Next)
	n, _ = store.Numbers.Get(v, "block")
	in.NextBlock = int(n.Next)
	n, _ = store.Numbers.Get(v, store.Published)
	in.Published = wire.Revision(n.Next)
	for _, e := range in.Envs {
		w := workOf(store.Operations.Find(v, string(e.Operation)))
		in.Spreading[e.Spec.Name], in.Editing[e.Spec.Name], in.Stopping[e.Spec.Name] = w.spreading, w.editing, w.stopping
	}
	for _, t := range store.Templates.All(v) {
		in.Templates[t.Name] = t
	}
	for name, rec := range store.EnvNames.Refs(v) {
		in.Names[wire.EnvName(name)] = *rec
	}
	for id, rec := range store.Works.Refs(v) {
		in.Works[wire.HostID(id)] = *rec
	}
	for id, rec := range store.Cursors.Refs(v) {
		in.Cursors[wire.HostID(id)] = rec.Last
	}
	for id, rec := range store.Cordons.Refs(v) {
		in.Cordons[wire.HostID(id)] = *rec
	}
	return in
}
