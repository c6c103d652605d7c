package converge

import (
	"crypto/sha256"
	"fmt"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
)

// components gives the platform's own nodes to the infra host once it has joined: the one with block 0.
func (p *planner) components() {
	if !p.dirty.envs[env.System] {
		return
	}
	for n := range p.of(env.System) {
		if n.Host != "" {
			continue
		}
		for _, h := range p.records() {
			if h.Role == host.RoleInfra && h.Number == 0 {
				n.Host, n.Placed = h.ID, "components run on the infra host"
				p.put(n, "place", "the infra host has joined")
				break
			}
		}
	}
}

// retire marks the nodes nobody wants any more: of deleted environments, and beyond the layers there are.
func (p *planner) retire() {
	for n := range p.all() {
		if n.Gone || n.Env == env.System {
			continue
		}
		e, ok := p.record(n.Env)
		why := ""
		switch l := layerOf(e, n.Layer); {
		case !ok || e.Want == store.WantDeleted:
			why = "its environment is deleted"
		case (l == nil || n.Index >= l.Nodes) && p.editing(n.Env) && p.machine(n.Host) != nil:
			p.rolling[n.Env] = true // it goes once the edit can't be undone any more
		case l == nil || n.Index >= l.Nodes:
			why = "its layer has fewer nodes now"
		case p.machine(n.Host) == nil:
			why = "its host was removed"
		}
		if why != "" {
			n.Gone, n.Why = true, why
			p.put(n, "retire", why)
		}
	}
}

// replace gives every stateless node of a host that is lost (live.Lose) a successor elsewhere. The old one is out of its host's Work from
// now on, and its record goes when the host is back and says that the container is gone.
func (p *planner) replace() {
	for n := range p.all() {
		e, _ := p.record(n.Env)
		if n.Gone || n.Env == env.System || !e.Runs() || p.reachable(n.Host) || p.kept.storm {
			continue
		}
		name, reason, loss := p.hostName(n.Host), p.status(n.Host).Reason, p.status(n.Host).Loss
		if n.Moving != nil {
			p.stuck[n.Env] = fmt.Sprintf("node %d moves from or to host %s, which is unreachable: it waits for it", n.CTID, name)
			continue
		}
		if len(n.Container.Volumes) > 0 {
			p.stuck[n.Env] = fmt.Sprintf("node %d has volumes on host %s, which is unreachable: it waits for it", n.CTID, name)
			continue
		}
		if !loss.Lost {
			p.stuck[n.Env] = fmt.Sprintf("node %d is on host %s, which is unreachable: %s", n.CTID, name, loss.Why)
			continue
		}
		if n.Replaces != 0 || p.coming(n) {
			continue // moves sees to it
		}
		l := layerOf(e, n.Layer)
		if l == nil || n.Index >= l.Nodes {
			continue // it is about to go
		}
		spec := again(e, *l, n.Index, p.templates, n)
		made, refusal := p.create(spec, &n, "")
		if refusal != nil {
			p.stuck[n.Env] = fmt.Sprintf("node %d is on host %s, which is unreachable, and no other host takes it: %s",
				n.CTID, name, refusal)
			continue
		}
		why := fmt.Sprintf("host %s is unreachable: %s; %s", name, reason, loss.Why)
		made.Placed = fmt.Sprintf("replaces node %d: %s; %s", n.CTID, why, made.Placed)
		p.put(made, "place", made.Placed)
		n.Gone, n.Why, n.ReplacedBy = true, why, made.CTID
		p.put(n, "retire", fmt.Sprintf("replaced by node %d: %s", made.CTID, why))
		p.plan.Operations = append(p.plan.Operations, replacement(e, n, made, why, p.now, p.clocks))
	}
}

// coming tells whether another node is on its way to take this one's place: it does so at once when this one is lost.
func (p *planner) coming(old store.Node) bool {
	for n := range p.of(old.Env) {
		if n.Replaces != old.CTID || n.Gone || !p.reachable(n.Host) {
			continue
		}
		old.Gone, old.ReplacedBy = true, n.CTID
		old.Why = fmt.Sprintf("its host is lost, and node %d was on its way to take its place", n.CTID)
		p.put(old, "retire", old.Why)
		return true
	}
	return false
}

// again expands one node of a layer. Without its template in the registry any more, it is made as the node before it was.
func again(e store.Environment, l operator.LayerSpec, index int, templates env.Templates, before store.Node) env.Node {
	if t, ok := templates.Find(e.Account.Owner(), l.Template); ok {
		return env.NodeOf(e.Account, e.Spec.Name, l, index, t)
	}
	c := before.Container
	c.Account, c.Generation = e.Account, 1
	return env.Node{Env: e.Spec.Name, Layer: l.Name, Index: index, Cloudlets: l.Cloudlets, HTTP: before.HTTP, Container: c, Place: l.Place}
}

// missing makes the nodes that layers want and nobody is.
func (p *planner) missing() {
	for _, name := range p.list {
		e, ok := p.record(name)
		if !ok || e.System || e.Want == store.WantDeleted {
			continue
		}
		have := map[wire.LayerName]map[int]bool{}
		for n := range p.of(name) {
			if l := layerOf(e, n.Layer); !n.Gone && l != nil && n.Index < l.Nodes {
				if have[n.Layer] == nil {
					have[n.Layer] = map[int]bool{}
				}
				have[n.Layer][n.Index] = true
			}
		}
		if !wants(e.Spec, have) {
			continue
		}
		want, problem := env.Expand(e.Account, e.Spec, p.templates)
		if problem != nil {
			p.stuck[name] = problem.Reason
			continue
		}
		for _, n := range want {
			if have[n.Layer][n.Index] {
				continue
			}
			made, refusal := p.create(n, nil, "")
			if refusal != nil {
				p.stuck[name] = refusal.String()
				break
			}
			p.put(made, "place", made.Placed)
		}
	}
}

// wants tells whether a layer has fewer nodes than it wants; one with other nodes than it wants is left to retire.
func wants(s operator.EnvironmentSpec, have map[wire.LayerName]map[int]bool) bool {
	for _, l := range s.Layers {
		if len(have[l.Name]) < l.Nodes {
			return true
		}
	}
	return false
}

// cleanUp forgets nodes that are really gone, and deleted environments without any.
func (p *planner) cleanUp() {
	for n := range p.all() {
		if n.Gone && p.confirmed(n) {
			p.deleted[n.CTID] = true
			delete(p.plan.Nodes, n.CTID)
			p.plan.DeleteNodes = append(p.plan.DeleteNodes, n.CTID)
			p.step("forget node "+n.CTID.String(), n.Env, n.Host, n.Why)
		}
	}
	for _, name := range p.list {
		if e, ok := p.record(name); !ok || e.Want != store.WantDeleted || p.answers(name) {
			continue
		}
		// What is left lies on hosts that don't answer; their Work leaves it out, so they remove it when they are back.
		p.plan.DeleteEnvs = append(p.plan.DeleteEnvs, name)
		p.step("forget environment", name, "", "all its nodes are removed")
	}
}

// answers tells whether an environment has a node on a host that answers.
func (p *planner) answers(e wire.EnvName) bool {
	for n := range p.of(e) {
		if p.reachable(n.Host) {
			return true
		}
	}
	return false
}

// confirmed tells whether the host of a node that is gone has said that the container is gone too.
func (p *planner) confirmed(n store.Node) bool {
	if m := n.Moving; m != nil && p.machine(m.Other) != nil && !p.clear(n.CTID, m.Other, m.Assigned) {
		return false
	}
	return p.machine(n.Host) == nil || p.clear(n.CTID, n.Host, n.Assigned)
}

// replacement is the operation people watch while a node is replaced. Its id follows from the new node's number.
func replacement(e store.Environment, old, made store.Node, why string, now time.Time, c live.Clocks) store.Operation {
	sum := sha256.Sum256([]byte("node.replace " + made.CTID.String()))
	return store.Operation{Env: made.Env, Made: e.Created, Node: made.CTID, Old: old.CTID, Operation: operator.Operation{
		ID: wire.OperationID(fmt.Sprintf("op-%x", sum[:8])), Kind: "node.replace",
		Object: "environments/" + string(made.Env), By: "orchestrator", Account: made.Container.Account,
		State: operator.OpRunning, Created: now, Updated: now, Deadline: now.Add(c.Replace), Progress: 10,
		Steps: []operator.Step{
			{Name: "place", State: operator.OpDone, At: now,
				Detail: fmt.Sprintf("node %d takes the place of node %d: %s", made.CTID, old.CTID, why)},
			{Name: "run", State: operator.OpRunning, At: now},
		},
	}}
}
