package live

import (
	"container/list"
	"slices"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/move"
)

// Version counts the moves of a Fleet's hosts, from 0 on.
type Version int64

// Move is a host of which something became another one that decisions read: its state or loss, where its reports come from, its addresses
// and keys, its size, which Work it has planned for, and the containers there with their states. How often a host reports, and what a
// container that is started again and again says of it, are no moves.
type Move struct {
	ID     wire.HostID
	Status Status
	Gone   bool // it is not followed any more
}

// moves are the hosts in order of their last move: what is new costs what is new.
type moves struct {
	last  Version
	order *list.List // of moved
	at    map[wire.HostID]*list.Element
	over  chan struct{}
}

type moved struct {
	id      wire.HostID
	version Version
}

func newMoves() moves {
	return moves{order: list.New(), at: map[wire.HostID]*list.Element{}, over: make(chan struct{})}
}

// move notes that a host moved. A host that is gone keeps its place: somebody may not have heard of it yet.
func (f *Fleet) move(id wire.HostID) {
	m := &f.mu.moves
	m.last++
	if e := m.at[id]; e != nil {
		e.Value = moved{id, m.last}
		m.order.MoveToBack(e)
	} else {
		m.at[id] = m.order.PushBack(moved{id, m.last})
	}
	close(m.over)
	m.over = make(chan struct{})
}

// Since is each host that moved after that version, once, as it is now; the version now; and a channel that is closed at the next move.
// Since 0 is everything.
func (f *Fleet) Since(v Version) ([]Move, Version, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := &f.mu.moves
	var out []Move
	for e := m.order.Back(); e != nil && e.Value.(moved).version > v; e = e.Prev() {
		id := e.Value.(moved).id
		if r := f.mu.hosts[id]; r != nil {
			out = append(out, Move{ID: id, Status: r.Status})
		} else {
			out = append(out, Move{ID: id, Gone: true})
		}
	}
	slices.Reverse(out)
	return out, m.last, m.over
}

// decisive tells whether a report says something else than the one before it, as far as decisions read it.
func decisive(old, rep *host.Report) bool {
	if old == nil || old.Boot != rep.Boot || old.MeshKey != rep.MeshKey || old.Underlay != rep.Underlay ||
		!slices.Equal(old.Addrs, rep.Addrs) || old.Moves != rep.Moves || old.Capacity.MemoryBytes != rep.Capacity.MemoryBytes ||
		old.Capacity.DiskBytes != rep.Capacity.DiskBytes || old.PlannedFor() != rep.PlannedFor() || old.Keys.Use != rep.Keys.Use ||
		!slices.Equal(old.Keys.Accept, rep.Keys.Accept) {
		return true
	}
	return !slices.EqualFunc(old.Containers, rep.Containers, func(a, b host.ContainerStatus) bool {
		return a.CTID == b.CTID && a.Generation == b.Generation && a.Boot == b.Boot && a.State == b.State && asFar(a.Move, b.Move)
	})
}

// asFar tells whether a container's move is as far as it was. What is copied counts: a move has its time anew with it.
func asFar(a, b *move.State) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.ID == b.ID && a.Phase == b.Phase && a.Ready == b.Ready && a.Arrived == b.Arrived &&
		(a.Error == "") == (b.Error == "") && a.Bytes == b.Bytes && a.Waits == b.Waits
}
