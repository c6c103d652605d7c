package converge

import (
	"slices"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/blocks"
	"hardnode.dev/orchestrator/converge/same"
	"hardnode.dev/orchestrator/entitle"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/place"
	"hardnode.dev/orchestrator/store"
)

// base is a template's name without its tag: a name without one means any of them (env.Templates.Find).
func base(t wire.TemplateName) string {
	name, _, _ := strings.Cut(string(t), ":")
	return name
}

// setEnv: nil is none any more.
func (x *Index) setEnv(name wire.EnvName, rec *store.Environment, op working) {
	e := x.env(name)
	if old := e.record; old != nil {
		if x.holders[old.Operation] == name {
			delete(x.holders, old.Operation)
		}
		x.name(name, old, -1)
	}
	if (rec == nil) != (e.record == nil) || rec != nil && (rec.Runs() != e.record.Runs() || rec.Want != e.record.Want ||
		!same.Documents(rec.Walls, e.record.Walls) ||
		!same.Documents(rec.Ports, e.record.Ports) || !same.Documents(rec.Addresses, e.record.Addresses) ||
		!same.Documents(rec.Mounts, e.record.Mounts) || !same.Documents(rec.Schedules, e.record.Schedules)) {
		for _, id := range e.nodes {
			x.dirty.hosts[x.nodes[id].Host] = true
		}
	}
	e.record, e.working = rec, op
	if rec != nil {
		if rec.Operation != "" {
			x.holders[rec.Operation] = name
		}
		x.name(name, rec, 1)
	}
	x.dirty.envs[name] = true
}

func (x *Index) name(name wire.EnvName, rec *store.Environment, by int) {
	for _, l := range rec.Spec.Layers {
		t := base(l.Template)
		if x.naming[t] == nil {
			x.naming[t] = map[wire.EnvName]int{}
		}
		if x.naming[t][name] += by; x.naming[t][name] == 0 {
			delete(x.naming[t], name)
		}
		if len(x.naming[t]) == 0 {
			delete(x.naming, t)
		}
	}
}

// setWorking says what the operation is that may hold an environment.
func (x *Index) setWorking(id wire.OperationID, op working) {
	if name, there := x.holders[id]; there && x.envs[name].working != op {
		x.envs[name].working = op
		x.dirty.envs[name] = true
	}
}

func (x *Index) setNames(name wire.EnvName, rec *store.Names) {
	x.env(name).names = rec
	x.dirty.envs[name] = true
}

func (x *Index) setNode(id wire.CTID, n *store.Node) {
	old := x.nodes[id]
	if old != nil {
		e := x.envs[old.Env]
		e.nodes = without(e.nodes, id)
		for _, on := range ends(old) {
			x.hosts[on].nodes, x.dirty.hosts[on] = without(x.hosts[on].nodes, id), true
		}
		e.waits -= waits(old)
		x.ledger.Use(blocks.Around(old.Container.IPv4), -1)
		if a := old.Container.IPv4; x.used[a] <= 1 {
			delete(x.used, a)
		} else {
			x.used[a]--
		}
		x.dirty.envs[old.Env] = true
	}
	if n != nil {
		e := x.env(n.Env)
		e.nodes = with(e.nodes, id)
		for _, on := range ends(n) {
			x.host(on).nodes, x.dirty.hosts[on] = with(x.host(on).nodes, id), true
		}
		e.waits += waits(n)
		x.used[n.Container.IPv4]++
		x.ledger.Use(blocks.Around(n.Container.IPv4), 1)
		x.dirty.envs[n.Env] = true
		x.nodes[id] = n
	} else {
		delete(x.nodes, id)
	}
	x.setHeld(id, n)
	if delete(x.formers, id); n != nil && n.Former != nil {
		x.formers[id] = n.Former.Until
	}
	x.dirty.peers = x.dirty.peers || x.moved[id]
	if delete(x.moved, id); n != nil && (n.Moved || n.Moving != nil) {
		x.moved[id], x.dirty.peers = true, true
	}
	// The board is left alone where nothing changed for it: whoever watches it would be looked at again.
	if old != nil && n != nil && old.Host == n.Host && old.Gone == n.Gone && old.Other() == n.Other() && counted(old) == counted(n) {
		return
	}
	for _, on := range ends(old) {
		if on != "" {
			x.board.Remove(on, counted(old), old.Gone)
		}
	}
	for _, on := range ends(n) {
		if on != "" {
			x.board.Add(on, counted(n), n.Gone)
		}
	}
}

// waits is 1 for a node of which decisions wait to hear from its host.
func waits(n *store.Node) int {
	if n.Gone || n.Replaces != 0 || n.Moving != nil {
		return 1
	}
	return 0
}

// counted is a node as the board counts it.
func counted(n *store.Node) place.Node {
	return place.Node{Layer: place.Layer{Env: n.Env, Name: n.Layer}, Cloudlets: n.Cloudlets,
		DiskBytes: env.DiskOf(n.Container), Image: n.Container.Image.Digest}
}

func with(list []wire.CTID, id wire.CTID) []wire.CTID {
	i, there := slices.BinarySearch(list, id)
	if there {
		return list
	}
	return slices.Insert(list, i, id)
}

func without(list []wire.CTID, id wire.CTID) []wire.CTID {
	if i, there := slices.BinarySearch(list, id); there {
		return slices.Delete(list, i, i+1)
	}
	return list
}

func (x *Index) setHost(id wire.HostID, rec *store.Host) {
	m := x.host(id)
	x.uses(m.record, -1)
	m.record = rec
	x.uses(rec, 1)
	x.on(m, false)
	x.dirty.hosts[id], x.dirty.envs[env.System] = true, true
	x.dirty.peers, x.dirty.count, x.dirty.storm = true, true, true
	x.place(id, m)
}

// place tells the board of a host.
func (x *Index) place(id wire.HostID, m *machine) {
	if m.record == nil {
		x.board.Drop(id)
		return
	}
	h := place.Host{ID: id, Name: m.record.Name, Role: m.record.Role, State: m.status.State.State,
		Unlicensed: x.kept.uncovered[id], Addresses: blocks.Addresses * (1 + len(m.record.More)), Labels: m.record.Labels}
	if m.cordon != nil {
		h.Cordon = m.cordon.Words()
	}
	if r := m.status.Report; r != nil {
		h.Memory, h.Disk, h.Moves, h.Closed = r.Capacity.MemoryBytes, r.Capacity.DiskBytes, r.Moves, r.Closed
	}
	x.board.Set(h)
}

func (x *Index) setWork(id wire.HostID, rec *host.Work) {
	m := x.host(id)
	m.work = rec
	x.dirty.hosts[id] = true
	x.on(m, true)
}

func (x *Index) setCordon(id wire.HostID, rec *store.Cordon) {
	m := x.host(id)
	if (m.cordon != nil && m.cordon.Drain != nil) || (rec != nil && rec.Drain != nil) {
		x.on(m, false)
	}
	if m.cordon = rec; m.record == nil {
		x.dirty.hosts[id] = true // it may be nothing any more
	}
	if delete(x.drains, id); rec != nil && rec.Drain != nil {
		x.drains[id] = true
	}
	x.place(id, m)
}

func (x *Index) setCursor(id wire.HostID, last int) { x.host(id).cursor = last }

func (x *Index) setTemplate(name wire.TemplateName, rec *host.Template) {
	if rec == nil {
		delete(x.templates, name)
	} else {
		x.templates[name] = *rec
	}
	for e := range x.naming[base(name)] {
		x.dirty.envs[e] = true
	}
}

// setStatus takes in what is known of a host now.
func (x *Index) setStatus(id wire.HostID, s live.Status) {
	m := x.host(id)
	old := m.status
	m.status = s
	if m.record == nil {
		return // nobody reads it
	}
	if old.State != s.State || old.Loss != s.Loss {
		x.on(m, false)
		x.dirty.storm = true
	}
	x.on(m, true)
	gone := func(s live.Status) bool { return s.State.State == operator.HostUnreachable }
	if old.From != s.From || !alike(old.Report, s.Report) || gone(old) != gone(s) {
		x.dirty.peers = true
	}
	x.place(id, m)
}

// alike tells whether two reports say the same of where and who their host is.
func alike(a, b *host.Report) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Boot == b.Boot && a.MeshKey == b.MeshKey && a.Underlay == b.Underlay && slices.Equal(a.Addrs, b.Addrs)
}

// License takes in what the licence allows now.
func (x *Index) License(l entitle.License) {
	old := x.license
	x.license = l
	if !l.Since.Equal(old.Since) {
		x.dirty.count = true
	}
	if l.Since = old.Since; l != old {
		x.dirty.count = true
	}
}
