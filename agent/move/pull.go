package move

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"hardnode.dev/agent/move/talk"
	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/move"
	"hardnode.dev/internal/wire/snapshot"
)

// pull is one container that comes.
type pull struct {
	m     *Mover
	id    wire.CTID
	move  string
	stop  context.CancelFunc
	ended chan struct{}

	conn  net.Conn // nil: there is none
	in    *bufio.Reader
	copy  Copy // nil: nothing is here
	base  snapshot.ID
	at    map[string]btrfs.Identity // by volume
	gen   int64
	bytes int64 // of all rounds
	done  []round
}

// errGone: Work does not say it any more.
var errGone = errors.New("the container does not come here any more")

// want is what Work says of it.
func (p *pull) want() (host.Container, error) {
	c, ok := p.m.o.Work().Container(p.id)
	if !ok || c.Remove || c.Move == nil || c.Move.Role != move.To || c.Move.ID != p.move {
		return c, errGone
	}
	return c, nil
}

// again is how long to wait before what failed is tried again.
const (
	againMin = 200 * time.Millisecond
	againMax = 5 * time.Second
)

// run pulls until the last state is here or ctx ends; then nothing is left that has not arrived.
func (p *pull) run(ctx context.Context) {
	defer p.reset()
	defer p.hangUp()
	failed := 0
	for ctx.Err() == nil {
		c, err := p.want()
		if err != nil {
			return
		}
		p.m.say(p.id, func(s *move.State) { s.Phase = c.Move.Phase })
		var arrived bool
		if err = p.m.o.Image(ctx, c.Image); err == nil {
			arrived, err = p.round(ctx, c)
		}
		if arrived {
			return
		}
		if err == nil {
			failed = 0
			p.m.say(p.id, func(s *move.State) { s.Error = "" })
			p.rest(ctx)
			continue
		}
		if ctx.Err() != nil || errors.Is(err, errGone) {
			return
		}
		failed++
		p.hangUp()
		p.m.o.Log.Warn("a container does not come", logging.Container, p.id, logging.Err, err)
		p.m.say(p.id, func(s *move.State) { s.Error = err.Error() })
		run.Wait(ctx, run.Backoff(failed-1, againMin, againMax, 0.2))
	}
}

// rest waits before the next round, if there is no hurry: until the last is wanted.
func (p *pull) rest(ctx context.Context) {
	if !ready(p.done) {
		return
	}
	for until := time.Now().Add(settled); time.Now().Before(until); {
		if c, err := p.want(); err != nil || c.Move.Phase == move.Last || !run.Wait(ctx, 20*time.Millisecond) {
			return
		}
	}
}

func (p *pull) hangUp() {
	if p.conn != nil {
		p.conn.Close()
	}
	p.conn, p.in = nil, nil
}

// reset has nothing be here.
func (p *pull) reset() {
	if p.copy != nil {
		if err := p.copy.Drop(); err != nil {
			p.m.o.Log.Warn("what came of a container stays", logging.Container, p.id, logging.Err, err)
		}
	}
	p.copy, p.base, p.at, p.gen, p.done = nil, "", map[string]btrfs.Identity{}, 0, nil
}

// ask sends a question, on a new connection if there is none, and reads the answer.
func (p *pull) ask(ctx context.Context, c host.Container, q talk.Ask) (a talk.Answer, err error) {
	if p.conn == nil {
		conn, err := p.m.o.Dial(ctx, c.Move.Peer, p.id, p.move)
		if err != nil {
			return a, err
		}
		p.conn, p.in = conn, bufio.NewReaderSize(timely{conn}, 64<<10)
	}
	defer context.AfterFunc(ctx, func() { p.conn.SetDeadline(time.Unix(1, 0)) })()
	p.conn.SetWriteDeadline(time.Now().Add(pieceWithin))
	if err = talk.Write(p.conn, q); err == nil {
		err = talk.Read(p.in, &a)
	}
	switch {
	case err != nil:
		p.hangUp()
		return a, err
	case a.Refused != "":
		p.hangUp()
		return a, refused{fmt.Errorf("host %s refuses: %.300q", c.Move.Peer, a.Refused)}
	case a.Other:
		return a, talk.ErrOther
	}
	return a, nil
}

// round pulls what has changed, or all; arrived: it was the last.
func (p *pull) round(ctx context.Context, c host.Container) (arrived bool, err error) {
	began, before := time.Now(), p.bytes
	a, err := p.ask(ctx, c, talk.Ask{Base: p.base, Last: c.Move.Phase == move.Last})
	if err != nil || a.Wait {
		return false, err
	}
	if err := a.Head.Validate(); err != nil {
		return false, err
	}
	if a.Head.Last && c.Move.Phase != move.Last {
		return false, errors.New("the other host has stopped it, and this one was not told")
	}
	if p.copy == nil || p.gen != a.Head.Generation {
		p.reset()
		if p.copy, err = p.m.o.Disk.Begin(p.id, a.Head.Generation); err != nil {
			return false, err
		}
	}
	p.gen = a.Head.Generation
	of := p.bytes
	for _, part := range a.Head.Parts {
		if part.From == (btrfs.Identity{}) {
			of += max(part.Bytes, 0)
		}
	}
	p.m.say(p.id, func(s *move.State) { s.Of = of })
	err = p.parts(ctx, c, a.Head)
	if err == nil && a.Head.Last && a.Head.Log > 0 {
		err = p.log(ctx)
	}
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			p.reset() // a part is neither what it was nor what it should be
		}
		return false, err
	}
	p.base = a.Head.Snapshot
	r := round{p.bytes - before, time.Since(began)}
	p.done = append(p.done, r)
	if a.Head.Last {
		if err := p.copy.Arrive(p.move); err != nil {
			p.reset()
			return false, err
		}
		p.copy = nil
		p.m.o.Log.Info("container has come", logging.Container, p.id, "host", c.Move.Peer, "rounds", len(p.done), "bytes", p.bytes,
			"last", r.bytes, logging.Took, r.took)
	}
	p.m.say(p.id, func(s *move.State) {
		s.Round, s.Bytes, s.Of, s.Delta, s.Micro = len(p.done), p.bytes, p.bytes, r.bytes, r.took.Microseconds()
		s.Ready = s.Ready || ready(p.done)
		if a.Head.Last {
			s.Phase, s.Arrived, s.Ready, s.Error = move.Last, true, true, ""
		}
	})
	return a.Head.Last, nil
}

// parts pulls the streams of a snapshot.
func (p *pull) parts(ctx context.Context, c host.Container, head *talk.Head) error {
	had := map[string]bool{}
	for _, part := range head.Parts {
		had[part.Volume] = true
		if err := p.part(ctx, c, head.Snapshot, part); err != nil {
			return fmt.Errorf("volume %q: %w", part.Volume, err)
		}
	}
	for v := range p.at {
		if !had[v] {
			if err := p.copy.Remove(v); err != nil {
				return err
			}
			delete(p.at, v)
		}
	}
	return nil
}

// part pulls one stream. A connection that is cut meanwhile is made anew, and what has come is not sent again.
func (p *pull) part(ctx context.Context, c host.Container, of snapshot.ID, part talk.Part) error {
	at := p.at[part.Volume]
	switch {
	case part.From != (btrfs.Identity{}) && part.From != at:
		return fmt.Errorf("its stream goes on from %s, and %s is here", part.From.UUID, at.UUID)
	case part.From == (btrfs.Identity{}) && at != (btrfs.Identity{}):
		if err := p.copy.Remove(part.Volume); err != nil {
			return err
		}
		delete(p.at, part.Volume)
	}
	q := talk.Ask{Snapshot: of, Volume: part.Volume}
	if part.From != (btrfs.Identity{}) {
		q.Base = p.base
	}
	in := p.stream(ctx, q, most(limit(c, part.Volume)))
	told, before := time.Now(), p.bytes
	is, err := p.copy.Apply(ctx, c, part, part.From, counting{in, func() {
		p.bytes = before + in.Bytes()
		if time.Since(told) > time.Second {
			told = time.Now()
			p.m.say(p.id, func(s *move.State) { s.Bytes, s.Error = p.bytes, "" })
		}
	}})
	if err == nil {
		err = in.End()
	}
	p.bytes = before + in.Bytes()
	if err != nil {
		return err
	}
	if is != part.Is {
		return fmt.Errorf("holds %s instead of %s", is.UUID, part.Is.UUID)
	}
	p.at[part.Volume] = is
	return nil
}

// log pulls what the container wrote. What can't be kept of it is no reason for the container to stand still.
func (p *pull) log(ctx context.Context) error {
	in := p.stream(ctx, talk.Ask{Log: true}, mostLog)
	err := p.copy.Log(in)
	if err == nil {
		err = in.End()
	}
	if err == nil || ctx.Err() != nil || errors.Is(err, errGone) {
		return err
	}
	p.hangUp()
	p.m.o.Log.Warn("what a container wrote does not come along", logging.Container, p.id, logging.Err, err)
	return nil
}

// stream is what a question is answered with, over as many connections as it takes.
func (p *pull) stream(ctx context.Context, q talk.Ask, most int64) *talk.In {
	fails, last := 0, int64(-1)
	return &talk.In{Max: most, Next: func(n int64, sum []byte) (io.Reader, error) {
		if last >= 0 {
			p.hangUp()
		}
		if n != last {
			fails = 0
		}
		last = n
		for ; ; fails++ {
			c, err := p.want()
			if err == nil {
				q.Offset, q.Sum = n, sum
				if _, err = p.ask(ctx, c, q); err == nil {
					return p.in, nil
				}
			}
			if errors.Is(err, errGone) || errors.Is(err, talk.ErrOther) || ctx.Err() != nil {
				return nil, errors.Join(err, ctx.Err())
			}
			p.m.say(p.id, func(s *move.State) { s.Error = err.Error() })
			if !run.Wait(ctx, run.Backoff(fails, againMin, againMax, 0.2)) {
				return nil, ctx.Err()
			}
		}
	}}
}

// counting calls f after each read.
type counting struct {
	io.Reader
	f func()
}

func (c counting) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.f()
	return n, err
}

// limit is how many bytes a volume may hold here, or the layer, ""; 0: no limit.
func limit(c host.Container, volume string) int64 {
	if volume == "" {
		return c.Limits.DiskBytes
	}
	for _, v := range c.Volumes {
		if v.Name == volume {
			return v.Bytes
		}
	}
	return c.Limits.DiskBytes
}
