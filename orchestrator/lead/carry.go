package lead

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"hardnode.dev/internal/wire"
	"hardnode.dev/orchestrator/converge"
	"hardnode.dev/orchestrator/converge/published"
	"hardnode.dev/orchestrator/store"
)

// A transaction is ended when it has so many records or bytes. What is put at once beyond that, at most one document, fits into what the
// store takes: 8192 records, 8 MiB.
type limits struct{ records, bytes int }

var usual = limits{2000, 2 << 20}

// unit is what of a plan has to be in one transaction.
type unit func(*part)

// part is one transaction of a plan, in the making.
type part struct {
	tx    *store.Tx
	since wire.Revision // of what the plan was made of
	stale bool
}

// carryOut stores a plan that was made of revision since.
func (l *Loop) carryOut(ctx context.Context, plan converge.Plan, since wire.Revision) error {
	if l.limit == (limits{}) {
		l.limit = usual
	}
	for units := split(plan); len(units) > 0; {
		done := 0
		_, err := l.Store.Update(ctx, func(tx *store.Tx) error {
			p := &part{tx: tx, since: since}
			done = 0
			for _, u := range units {
				u(p)
				if p.stale {
					return errStale
				}
				done++
				if records, bytes := tx.Size(); records >= l.limit.records || bytes >= l.limit.bytes {
					break
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		units = units[done:]
	}
	return nil
}

// split puts a plan into units, in an order in which each leaves a valid state.
func split(p converge.Plan) (units []unit) {
	if len(p.More) > 0 {
		units = append(units, func(t *part) { more(t, p) })
	}
	units = append(units, nodes(p)...)
	for _, id := range slices.Sorted(maps.Keys(p.Works)) {
		units = append(units, func(t *part) { put(t, store.Works, string(id), p.Works[id]) })
	}
	// Names before Peers: a document that still holds the names of all loses them when each environment's have their record.
	for _, name := range slices.Sorted(maps.Keys(p.Names)) {
		units = append(units, func(t *part) {
			publish(t)
			if rec := p.Names[name]; rec != nil {
				put(t, store.EnvNames, string(name), *rec)
			} else {
				remove(t, store.EnvNames, string(name))
			}
		})
	}
	if p.Gossip != nil || p.Peers != nil {
		units = append(units, func(t *part) {
			if p.Gossip != nil {
				put(t, store.GossipKeys, store.Only, *p.Gossip)
			}
			if p.Peers != nil {
				publish(t)
				put(t, store.PeersDoc, store.Only, *p.Peers)
			}
		})
	}
	for _, id := range p.DeleteWorks {
		units = append(units, func(t *part) {
			remove(t, store.Works, string(id))
			remove(t, store.Cursors, string(id))
		})
	}
	for _, id := range p.DeleteNodes {
		units = append(units, func(t *part) { remove(t, store.Nodes, id.String()) })
	}
	for _, name := range p.DeleteEnvs {
		units = append(units, func(t *part) { remove(t, store.Envs, string(name)) })
	}
	return units
}

// nodes are the nodes a plan changes: those it makes by number, then the others. One that is replaced comes with its successor.
func nodes(p converge.Plan) (units []unit) {
	together := map[wire.CTID][]wire.CTID{}
	for _, id := range slices.Sorted(maps.Keys(p.Nodes)) {
		first := id
		if by := p.Nodes[id].ReplacedBy; by != 0 {
			if _, there := p.Nodes[by]; there {
				first = by
			}
		}
		together[first] = append(together[first], id)
	}
	isNew := func(id wire.CTID) int {
		if _, made := p.At[id]; made {
			return 0
		}
		return 1
	}
	order := slices.SortedFunc(maps.Keys(together), func(a, b wire.CTID) int { return cmp.Or(isNew(a)-isNew(b), cmp.Compare(a, b)) })
	operations := map[wire.CTID][]store.Operation{}
	for _, op := range p.Operations {
		operations[op.Node] = append(operations[op.Node], op)
	}
	for _, first := range order {
		units = append(units, func(t *part) {
			for _, id := range together[first] {
				n := p.Nodes[id]
				at, made := p.At[id]
				guard(t, n.Env, made)
				put(t, store.Nodes, id.String(), n)
				if made {
					number(t, "ctid", int64(id)+1)
					store.Cursors.Put(t.tx, string(n.Host), store.Cursor{Last: at})
				}
			}
			for _, op := range operations[first] {
				put(t, store.Operations, string(op.ID), op)
			}
		})
	}
	return units
}

// more gives hosts their further blocks, before a node has an address of them. The number of blocks given always grows: of two who give the
// same block at once, the other one being enroll, one fails to commit.
func more(t *part, p converge.Plan) {
	t.fresh(store.Numbers.Revision(t.tx.View(), "block"))
	number(t, "block", int64(p.NextBlock))
	for id, list := range p.More {
		t.fresh(store.Hosts.Revision(t.tx.View(), string(id)))
		h, there := store.Hosts.Read(t.tx, string(id))
		if !there {
			t.stale = true
			continue
		}
		h.More = slices.Concat(h.More, list)
		store.Hosts.Put(t.tx, string(id), h)
	}
}

// fresh makes the part stale if a record has changed since the plan was made.
func (t *part) fresh(rev wire.Revision) { t.stale = t.stale || rev > t.since }

// guard makes the commit fail when an environment the plan acts on changes before it. Made: a node of it is made, so it must be there.
func guard(t *part, name wire.EnvName, made bool) {
	t.fresh(store.Envs.Revision(t.tx.View(), string(name)))
	if _, there := store.Envs.Read(t.tx, string(name)); made && !there { // it was renamed, say
		t.stale = true
	}
}

func put[T any](t *part, table store.Table[T], name string, rec T) {
	t.fresh(table.Revision(t.tx.View(), name))
	table.Put(t.tx, name, rec)
}

func remove[T any](t *part, table store.Table[T], name string) {
	t.fresh(table.Revision(t.tx.View(), name))
	table.Delete(t.tx, name)
}

// number raises a counter.
func number(t *part, name string, next int64) {
	n, _ := store.Numbers.Read(t.tx, name)
	store.Numbers.Put(t.tx, name, store.Number{Next: max(n.Next, next)})
}

// publish gives what hosts are told another revision, once in each transaction that changes it.
func publish(t *part) {
	rev, _ := published.Revision(t.tx.View())
	number(t, store.Published, int64(rev)+1)
}
