package move

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
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
	at    map[Piece]place
	kept  map[snapshot.ID]time.Time // of the container's own snapshots, when they were taken
	torn  bool                      // a piece is neither what it was nor what it should be
	bytes int64                     // of all rounds
	done  []round
}

// place is what a piece holds here: as it is in that snapshot.
type place struct {
	is btrfs.Identity
	of talk.Of
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
		if now, err := p.want(); err != nil || now.Move.Phase != c.Move.Phase {
			continue // what is said of Copy must hold for who was told Copy: it does not arrive
		}
		if !p.m.mayCome(p.id, c.Move.Phase) {
			p.waits(ctx)
			continue
		}
		arrived := p.copy == nil && p.arrived() // all is here, and could not get its place yet
		if !arrived {
			if err = p.m.o.Image(ctx, c.Image); err == nil {
				arrived, err = p.round(ctx, c)
			}
		}
		if arrived {
			return
		}
		if err == nil {
			failed = 0
			p.m.say(p.id, func(s *move.State) { s.Error, s.Waits = "", false })
			p.rest(ctx)
			continue
		}
		if ctx.Err() != nil || errors.Is(err, errGone) {
			return
		}
		p.hangUp()
		if errors.Is(err, errBusy) {
			p.waits(ctx)
			continue
		}
		failed++
		p.m.o.Log.Warn("a container does not come", logging.Container, p.id, logging.Err, err)
		p.m.say(p.id, func(s *move.State) { s.Error = err.Error() })
		run.Wait(ctx, run.Backoff(failed-1, againMin, againMax, 0.2))
	}
}

// arrived tells whether the last state is here, and says so.
func (p *pull) arrived() bool {
	is, err := p.m.o.Disk.Arrived(p.id, p.move)
	if err != nil {
		p.m.o.Log.Warn("what has arrived is not known", logging.Container, p.id, logging.Err, err)
	}
	if is {
		p.m.say(p.id, func(s *move.State) { s.ID, s.Phase, s.Arrived, s.Ready, s.Error = p.move, move.Last, true, true, "" })
	}
	return is
}

// errBusy: enough others leave the other host.
var errBusy = errors.New("others are copied first")

// waits says that others come first, for a while.
func (p *pull) waits(ctx context.Context) {
	p.m.say(p.id, func(s *move.State) { s.Waits, s.Error = true, "" })
	run.Wait(ctx, againMin)
}

// mayCome tells whether a container may be copied now; once it may, it stays so until its pull ends.
func (m *Mover) mayCome(id wire.CTID, phase move.Phase) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.mu.coming[id] && phase == move.Copy && len(m.mu.coming) >= move.Most {
		return false
	}
	m.mu.coming[id] = true
	return true
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
	p.copy, p.base, p.torn, p.done = nil, "", false, nil
	p.at, p.kept = map[Piece]place{}, map[snapshot.ID]time.Time{}
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
	conn := p.conn // p has none any more once it is hung up
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	p.conn.SetWriteDeadline(time.Now().Add(pieceWithin))
	if err = talk.Write(p.conn, q); err == nil {
		err = talk.Read(p.in, &a)
	}
	switch {
	case err != nil:
		p.hangUp()
		return a, err
	case a.Busy:
		p.hangUp()
		return a, errBusy
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
	a, err := p.ask(ctx, c, talk.Ask{Base: p.base, Last: c.Move.Phase == move.Last, Keeps: true})
	if err != nil || a.Wait {
		return false, err
	}
	if err := a.Head.Validate(); err != nil {
		return false, err
	}
	if a.Head.Last && c.Move.Phase != move.Last {
		return false, errors.New("the other host has stopped it, and this one was not told")
	}
	if p.copy == nil {
		if p.m.o.Closed != nil && c.Move.Phase == move.Copy {
			if err := p.m.o.Closed(); err != nil {
				return false, err
			}
		}
		if err := p.begin(a.Head); err != nil {
			return false, err
		}
	}
	of := p.bytes
	for _, part := range a.Head.Parts {
		if part.From == (btrfs.Identity{}) {
			of += max(part.Bytes, 0)
		}
	}
	p.m.say(p.id, func(s *move.State) { s.Of, s.Waits = of, false })
	if err := p.keep(ctx, c, a.Head.Kept); err != nil {
		if p.torn {
			p.reset()
		}
		return false, err
	}
	err = p.parts(ctx, c, a.Head)
	if err == nil && a.Head.Last && a.Head.Log > 0 {
		err = p.log(ctx)
	}
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			p.reset() // some pieces are of this snapshot, and others of the one before, which is not kept any more
		}
		return false, err
	}
	p.base = a.Head.Snapshot
	r := round{p.bytes - before, time.Since(began)}
	p.done = append(p.done, r)
	if a.Head.Last {
		p.m.o.Sizes().Came(p.id, a.Head.Sized) // resized while it was stopped, it is told so when it starts here
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

// begin begins with nothing.
func (p *pull) begin(head *talk.Head) (err error) {
	p.reset()
	need := int64(0)
	for _, part := range head.Parts {
		need += max(part.Bytes, 0) // with what its snapshots hold besides
	}
	p.copy, err = p.m.o.Disk.Begin(p.id, need)
	return err
}

// keep pulls the container's own snapshots that are not here yet, and has those go that are not there any more.
func (p *pull) keep(ctx context.Context, c host.Container, list []talk.Kept) error {
	for k, taken := range p.kept {
		if !slices.ContainsFunc(list, func(l talk.Kept) bool { return l.ID == k && l.Taken.Equal(taken) }) {
			if err := p.copy.Unkeep(k); err != nil {
				return err
			}
			delete(p.kept, k)
		}
	}
	for _, k := range list {
		if _, here := p.kept[k.ID]; here {
			continue
		}
		a, err := p.ask(ctx, c, talk.Ask{Snapshot: k.ID, Kept: true, About: true})
		if err != nil {
			return fmt.Errorf("snapshot %s: %w", k.ID, err)
		}
		if err := a.Head.Validate(); err != nil {
			return err
		}
		if a.Head.Snapshot != k.ID || a.Head.Meta == nil || !a.Head.Meta.Taken.Equal(k.Taken) {
			return fmt.Errorf("snapshot %s: the other host tells of another one instead", k.ID)
		}
		is := map[Piece]btrfs.Identity{}
		for _, part := range a.Head.Parts {
			piece := pieceOf(a.Head, part)
			if err := p.part(ctx, c, talk.Of{ID: k.ID, Kept: true}, piece, part); err != nil {
				return fmt.Errorf("snapshot %s: volume %q: %w", k.ID, part.Volume, err)
			}
			is[piece] = part.Is
		}
		if err := p.copy.Keep(c, *a.Head.Meta, is); err != nil {
			return err
		}
		p.kept[k.ID] = k.Taken
	}
	return nil
}

// parts pulls the streams of a snapshot.
func (p *pull) parts(ctx context.Context, c host.Container, head *talk.Head) error {
	had := map[Piece]bool{}
	for _, part := range head.Parts {
		piece := pieceOf(head, part)
		had[piece] = true
		at, there := p.at[piece]
		switch {
		case there && at.of.Kept: // since the last round, or before the first: the other host has it
		case part.From != (btrfs.Identity{}) && part.From != at.is:
			return fmt.Errorf("volume %q: its stream goes on from %s, and %s is here", part.Volume, part.From.UUID, at.is.UUID)
		case there && part.From == (btrfs.Identity{}):
			if err := p.remove(piece); err != nil {
				return err
			}
		}
		if err := p.part(ctx, c, talk.Of{ID: head.Snapshot}, piece, part); err != nil {
			return fmt.Errorf("volume %q: %w", part.Volume, err)
		}
	}
	for piece := range p.at {
		if !had[piece] {
			if err := p.remove(piece); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *pull) remove(piece Piece) error {
	delete(p.at, piece)
	return p.copy.Remove(piece)
}

// part pulls one stream, which goes on from what is here of the piece. A connection that is cut meanwhile is made anew, and what has come
// is not sent again.
func (p *pull) part(ctx context.Context, c host.Container, of talk.Of, piece Piece, part talk.Part) error {
	at := p.at[piece]
	q := talk.Ask{Snapshot: of.ID, Kept: of.Kept, Volume: part.Volume, Base: at.of.ID, BaseKept: at.of.Kept}
	in := p.stream(ctx, q, most(limit(c, part.Volume)))
	told, before := time.Now(), p.bytes
	p.torn = true
	is, err := p.copy.Apply(ctx, c, piece, at.is, counting{in, func() {
		p.bytes = before + in.Bytes()
		if time.Since(told) > time.Second {
			told = time.Now()
			p.m.say(p.id, func(s *move.State) { s.Bytes, s.Error, s.Waits = p.bytes, "", false })
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
	p.at[piece], p.torn = place{is, of}, false
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
			p.m.say(p.id, func(s *move.State) {
				if s.Waits = errors.Is(err, errBusy); !s.Waits {
					s.Error = err.Error()
				}
			})
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
