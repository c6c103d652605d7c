package move

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"hardnode.dev/agent/move/talk"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/run/steady"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/move"
)

// ErrRuns: the container has not been stopped yet.
var ErrRuns = errors.New("it still runs")

// Bounds of a connection.
const (
	askWithin   = 2 * time.Minute  // a question comes
	pieceWithin = time.Minute      // the other side takes a piece, or sends one
	stopWaits   = 20 * time.Second // how long the end of a container is waited for before the asker hears of it
)

// purpose is what a connection is for.
type purpose struct {
	id   wire.CTID
	move string
}

// part is what Work says of a move to a host.
func (m *Mover) part(of purpose, to wire.HostID) (*move.Part, error) {
	c, here := m.o.Work().Container(of.id)
	switch {
	case !here || c.Remove:
		return nil, fmt.Errorf("container %s is not on this host", of.id)
	case c.Move == nil || c.Move.Role != move.From || c.Move.ID != of.move || c.Move.Peer != to:
		return nil, fmt.Errorf("container %s does not go to host %s by move %.64q", of.id, to, of.move)
	}
	return c.Move, nil
}

// Serve answers a host that pulls, until it or ctx ends.
func (m *Mover) Serve(ctx context.Context, conn net.Conn, id wire.CTID, by string, to wire.HostID) error {
	of := purpose{id, by}
	out := &paced{conn: conn, m: m, of: of, to: to}
	leave := func() {}
	defer func() { leave() }()
	for first := true; ; first = false {
		conn.SetDeadline(time.Now().Add(askWithin))
		var q talk.Ask
		if err := talk.Read(conn, &q); err != nil {
			return err
		}
		conn.SetDeadline(time.Time{})
		part, err := m.part(of, to) // not before: a connection that ends with a question unread may take the answer along
		if first && err == nil {
			var may bool
			if leave, may = m.enter(id, conn, part.Phase); !may {
				conn.SetDeadline(time.Now().Add(pieceWithin))
				return talk.Write(conn, talk.Answer{Busy: true, Refused: "others are copied from this host first: it waits"})
			}
		}
		if err == nil {
			err = m.give(ctx, out, of.id, part, q)
		}
		var said refused
		switch {
		case err == nil:
		case errors.As(err, &said):
			return err
		case ctx.Err() != nil:
			return err
		default: // before a stream has begun: else the connection ends in its middle
			return m.refuse(conn, err)
		}
	}
}

func (m *Mover) refuse(conn net.Conn, why error) error {
	conn.SetDeadline(time.Now().Add(pieceWithin))
	return errors.Join(why, talk.Write(conn, talk.Answer{Refused: why.Error()}))
}

// enter notes a connection, and ends the one before: its host has lost it. False: there are enough of others.
func (m *Mover) enter(id wire.CTID, conn net.Conn, phase move.Phase) (leave func(), may bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old := m.mu.conns[id]; old != nil {
		old.Close()
	} else if phase == move.Copy && len(m.mu.conns) >= move.Most {
		return func() {}, false
	}
	m.mu.conns[id] = conn
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.mu.conns[id] == conn {
			delete(m.mu.conns, id)
		}
	}, true
}

// refused is an error in the middle of a stream.
type refused struct{ error }

// give answers one question.
func (m *Mover) give(ctx context.Context, out *paced, id wire.CTID, part *move.Part, q talk.Ask) error {
	for until := time.Now().Add(stopWaits); !m.claim(id); { // the one that was ended has a moment left
		if time.Now().After(until) || !run.Wait(ctx, 10*time.Millisecond) {
			return errors.New("another connection of the host gets it")
		}
	}
	defer m.release(id)
	if q.About {
		head, err := m.o.Disk.About(id, q.Snapshot)
		if err != nil {
			m.o.Log.Info("a snapshot is not told of", logging.Container, id, logging.Reason, err)
			return talk.Write(out, talk.Answer{Other: true}) // it is being deleted
		}
		return talk.Write(out, talk.Answer{Head: head})
	}
	if q.Snapshot == "" && !q.Log {
		a, err := m.take(ctx, id, out, q)
		if err != nil {
			return err
		}
		return talk.Write(out, a)
	}
	rate := part.Rate
	if part.Phase == move.Last {
		rate = 0
	}
	begun := false
	s := talk.Out{To: out.pace.To(ctx, out, rate), Skip: q.Offset, Sum: q.Sum, Begin: func() error {
		begun = true
		return talk.Write(out, talk.Answer{})
	}}
	var err error
	if q.Log {
		err = m.o.Disk.Log(id, &s)
	} else {
		err = m.o.Disk.Send(ctx, id, q.What(), q.On(), q.Volume, &s)
	}
	if err == nil {
		err = s.Close()
	}
	switch {
	case err != nil && begun:
		return refused{err}
	case err != nil:
		m.o.Log.Info("a stream begins anew", logging.Container, id, logging.Reason, err)
		return talk.Write(out, talk.Answer{Other: true})
	}
	return nil
}

// take takes the snapshot that is asked for.
func (m *Mover) take(ctx context.Context, id wire.CTID, out *paced, q talk.Ask) (talk.Answer, error) {
	until := time.Now().Add(stopWaits)
	for {
		part, err := m.part(out.of, out.to) // it may have become another while it was waited for
		if err != nil {
			return talk.Answer{}, err
		}
		err = ErrRuns
		if !q.Last || part.Phase == move.Last {
			var head *talk.Head
			if head, err = m.o.Disk.Take(ctx, id, q.Base, q.Last); err == nil && len(head.Kept) > 0 && !q.Keeps {
				return talk.Answer{}, fmt.Errorf("it has %d snapshots, which that host would not take along: update its release, or "+
					"delete them: hnctl node snapshot list %s", len(head.Kept), id)
			}
			if err == nil {
				if q.Last {
					head.Sized = m.o.Sizes().Known(id)
					m.say(id, func(s *move.State) {
						m.mu.taken[id] = part.ID
						*s = move.State{ID: part.ID, Phase: move.Last, Arrived: true}
					})
				}
				return talk.Answer{Head: head}, nil
			}
		}
		switch {
		case !errors.Is(err, ErrRuns):
			m.say(id, func(s *move.State) { s.ID, s.Phase, s.Error = part.ID, part.Phase, err.Error() })
			return talk.Answer{}, err
		case time.Now().After(until):
			return talk.Answer{Wait: true}, nil
		case !run.Wait(ctx, 20*time.Millisecond):
			return talk.Answer{}, ctx.Err()
		}
	}
}

// claim has one connection at a time be given a container: what one has lost may not have ended yet.
func (m *Mover) claim(id wire.CTID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.gives[id] {
		return false
	}
	m.mu.gives[id] = true
	return true
}

func (m *Mover) release(id wire.CTID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.mu.gives, id)
}

// paced ends a stream whose reader does not take it, or may not have it any more.
type paced struct {
	conn net.Conn
	m    *Mover
	of   purpose
	to   wire.HostID
	pace steady.Pace // of all its streams: many small ones go no faster than a large one
}

func (p *paced) Write(b []byte) (int, error) {
	if _, err := p.m.part(p.of, p.to); err != nil {
		return 0, err
	}
	p.conn.SetWriteDeadline(time.Now().Add(pieceWithin))
	return p.conn.Write(b)
}

// timely is a connection whose other side must send something within a while.
type timely struct{ net.Conn }

func (t timely) Read(b []byte) (int, error) {
	t.SetReadDeadline(time.Now().Add(pieceWithin))
	return t.Conn.Read(b)
}
