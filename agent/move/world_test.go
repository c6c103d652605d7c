package move

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hardnode.dev/agent/move/talk"
	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/testkit/ports"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/move"
	"hardnode.dev/internal/wire/snapshot"
)

// disk is one without btrfs: what a container has is a text for each volume, and a stream is its length and all of it.
type disk struct {
	mu      sync.Mutex
	has     map[string]string
	runs    bool
	snaps   map[snapshot.ID]map[string]string
	seq     int
	arrived string
	copies  int   // that are neither dropped nor arrived
	full    bool  // nothing more fits
	endless bool  // streams do not end
	sent    int64 // bytes of streams
	log     string
	own     []snapshot.ID                     // the container's own snapshots, the oldest first
	kept    map[snapshot.ID]map[string]string // what they hold
	unready int                               // so often what has come can not get its place
	waits   string                            // the move whose last state waits for that
	deaf    bool                              // no log can be kept
	closed  error                             // why nothing new is taken
}

func identity(s string) (id btrfs.Identity) {
	sum := sha256.Sum256([]byte(s))
	copy(id.UUID[:], sum[:])
	id.Transid = 1
	return id
}

func newDisk() *disk {
	return &disk{has: map[string]string{}, snaps: map[snapshot.ID]map[string]string{}}
}

func (d *disk) with(f func()) { d.mu.Lock(); defer d.mu.Unlock(); f() }

func (d *disk) Take(_ context.Context, _ wire.CTID, base snapshot.ID, last bool) (*talk.Head, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if last && d.runs {
		return nil, ErrRuns
	}
	d.seq++
	id := snapshot.ID(fmt.Sprintf("20261127-%06d", d.seq))
	maps.DeleteFunc(d.snaps, func(s snapshot.ID, _ map[string]string) bool { return s != base })
	d.snaps[id] = maps.Clone(d.has)
	h := &talk.Head{Snapshot: id, Last: last, Generation: 1}
	if last {
		h.Log = int64(len(d.log))
	}
	for _, id := range d.own {
		h.Kept = append(h.Kept, talk.Kept{ID: id, Taken: d.takenAt(id)})
	}
	for v, text := range d.has {
		p := talk.Part{Volume: v, Is: identity(text), Bytes: int64(len(text))}
		if was, ok := d.snaps[base][v]; ok {
			p.From = identity(was)
		}
		h.Parts = append(h.Parts, p)
	}
	return h, nil
}

// take takes one of the container's own snapshots.
func (d *disk) take(id snapshot.ID) {
	d.with(func() {
		if d.own = append(d.own, id); d.kept == nil {
			d.kept = map[snapshot.ID]map[string]string{}
		}
		d.kept[id] = maps.Clone(d.has)
	})
}

// takenAt is when one was taken, by what it holds: another one of its name was at another time.
func (d *disk) takenAt(id snapshot.ID) time.Time {
	of := identity(fmt.Sprint(d.kept[id])).UUID
	return time.Unix(int64(binary.LittleEndian.Uint32(of[:])), 0)
}

// drop deletes one.
func (d *disk) drop(id snapshot.ID) {
	d.with(func() {
		d.own = slices.DeleteFunc(d.own, func(o snapshot.ID) bool { return o == id })
		delete(d.kept, id)
	})
}

func (d *disk) About(_ wire.CTID, which snapshot.ID) (*talk.Head, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := &talk.Head{Snapshot: which, Generation: 1, Meta: &snapshot.Snapshot{ID: which, Taken: d.takenAt(which),
		Note: "note of " + string(which)}}
	for v, text := range d.kept[which] {
		h.Parts = append(h.Parts, talk.Part{Volume: v, Is: identity(text)})
	}
	if d.kept[which] == nil {
		return nil, errors.New("there is no such snapshot")
	}
	return h, nil
}

// of is what a snapshot has of a volume; the mutex is held.
func (d *disk) of(which talk.Of, v string) (text string, ok bool) {
	if which.Kept {
		text, ok = d.kept[which.ID][v]
	} else {
		text, ok = d.snaps[which.ID][v]
	}
	return text, ok
}

func (d *disk) Send(ctx context.Context, _ wire.CTID, which, base talk.Of, v string, w io.Writer) error {
	d.mu.Lock()
	text, ok := d.of(which, v)
	if base.ID != "" && ok {
		_, ok = d.of(base, v)
	}
	endless := d.endless
	d.mu.Unlock()
	if !ok {
		return errors.New("there is no such snapshot")
	}
	n := uint64(len(text))
	if endless {
		n = 1 << 60
	}
	if _, err := w.Write(binary.LittleEndian.AppendUint64(nil, n)); err != nil {
		return err
	}
	for {
		for b := []byte(text); len(b) > 0; {
			k := min(len(b), 10_000)
			if _, err := w.Write(b[:k]); err != nil {
				return err
			}
			d.with(func() { d.sent += int64(k) })
			b = b[k:]
		}
		if !endless {
			return nil
		}
	}
}

func (d *disk) Log(_ wire.CTID, w io.Writer) error {
	var text string
	d.with(func() { text = d.log })
	_, err := io.Copy(w, strings.NewReader(text))
	return err
}

func (d *disk) Given() ([]wire.CTID, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.snaps) > 0 {
		return []wire.CTID{101}, nil
	}
	return nil, nil
}

func (d *disk) Drop(wire.CTID) error { d.with(func() { clear(d.snaps) }); return nil }

func (d *disk) Begin(wire.CTID, int64) (Copy, error) {
	d.with(func() { d.copies++; d.own, d.kept = nil, map[snapshot.ID]map[string]string{} })
	return &partly{d: d, has: map[string]string{}}, nil
}

func (d *disk) Arrived(_ wire.CTID, m string) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waits == m && d.unready == 0 {
		d.arrived, d.waits = m, ""
	}
	return d.arrived == m, nil
}

func (d *disk) Forget(wire.CTID) error { d.with(func() { d.arrived = "" }); return nil }

type partly struct {
	d   *disk
	has map[string]string
}

func (p *partly) Apply(ctx context.Context, _ host.Container, part Piece, at btrfs.Identity, r io.Reader) (btrfs.Identity, error) {
	p.d.mu.Lock()
	full := p.d.full
	p.d.mu.Unlock()
	if full {
		return at, errors.New("no space left on device")
	}
	var n [8]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return at, err
	}
	want := binary.LittleEndian.Uint64(n[:])
	if want > 1<<40 { // it is not kept
		_, err := io.CopyN(io.Discard, r, 1<<50)
		return at, err
	}
	text := make([]byte, want)
	if _, err := io.ReadFull(r, text); err != nil {
		return at, err
	}
	p.has[part.Volume] = string(text)
	return identity(string(text)), nil
}

func (p *partly) Keep(_ host.Container, meta snapshot.Snapshot, is map[Piece]btrfs.Identity) error {
	has := map[string]string{}
	for piece, id := range is {
		if has[piece.Volume] = p.has[piece.Volume]; identity(has[piece.Volume]) != id || meta.Note != "note of "+string(meta.ID) {
			return fmt.Errorf("snapshot %s is another one", meta.ID)
		}
	}
	p.d.with(func() { p.d.own, p.d.kept[meta.ID] = append(p.d.own, meta.ID), has })
	return nil
}

func (p *partly) Unkeep(which snapshot.ID) error { p.d.drop(which); return nil }
func (p *partly) Remove(v Piece) error           { delete(p.has, v.Volume); return nil }
func (p *partly) Drop() error {
	p.d.with(func() {
		if p.d.copies--; p.d.waits == "" {
			p.d.own, p.d.kept = nil, nil
		}
	})
	return nil
}
func (p *partly) Log(r io.Reader) error {
	var deaf bool
	p.d.with(func() { deaf = p.d.deaf })
	if deaf {
		return errors.New("no space left on device")
	}
	text, err := io.ReadAll(r)
	p.d.with(func() { p.d.log = string(text) })
	return err
}

func (p *partly) Arrive(m string) error {
	var unready bool
	p.d.with(func() {
		p.d.has = p.has
		if unready = p.d.unready > 0; unready {
			p.d.unready, p.d.waits = p.d.unready-1, m
		} else {
			p.d.arrived, p.d.copies = m, p.d.copies-1
		}
	})
	if unready {
		return errors.New("it can not get its place")
	}
	return nil
}

// size is of which size a container's servers know.
type size struct {
	mu    sync.Mutex
	state string
}

func (s *size) Known(wire.CTID) string         { s.mu.Lock(); defer s.mu.Unlock(); return s.state }
func (s *size) Came(_ wire.CTID, state string) { s.mu.Lock(); defer s.mu.Unlock(); s.state = state }

// side is one host.
type side struct {
	*Mover
	id   wire.HostID
	disk *disk
	real *real // instead of disk, if not nil
	size size
	work *work
	ctx  context.Context // of its agent
	stop func()
}

// work is a host's.
type work struct {
	mu   sync.Mutex
	list []host.Container
}

func (w *work) is(list ...host.Container) { w.mu.Lock(); defer w.mu.Unlock(); w.list = list }

func (w *work) get() *host.Work {
	w.mu.Lock()
	defer w.mu.Unlock()
	return &host.Work{Containers: w.list}
}

// pair is two hosts that a container goes between; through is what the connections of the one that pulls are led through.
type pair struct {
	t        *testing.T
	from, to *side
	through  func(net.Conn) net.Conn
}

const (
	one   = wire.HostID("h-000000000001")
	other = wire.HostID("h-000000000002")
)

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{t: t, through: func(c net.Conn) net.Conn { return c }}
	p.from = &side{id: one, disk: newDisk(), work: &work{}}
	p.to = &side{id: other, disk: newDisk(), work: &work{}}
	p.start(p.from)
	p.start(p.to)
	return p
}

// start starts a host's Mover, as each agent does.
func (p *pair) start(s *side) {
	d := Disk(s.disk)
	if s.real != nil {
		d = s.real
	}
	closed := func() (why error) {
		if s.disk != nil {
			s.disk.with(func() { why = s.disk.closed })
		}
		return why
	}
	s.Mover = New(Options{Work: s.work.get, Disk: d, Closed: closed, Sizes: func() Sizes { return &s.size },
		Image: func(context.Context, host.Image) error { return nil },
		Dial: func(ctx context.Context, _ wire.HostID, of wire.CTID, by string) (net.Conn, error) {
			return p.dial(s.id, of, by)
		}})
	ctx, cancel := context.WithCancel(p.t.Context())
	s.ctx = ctx
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	s.stop = sync.OnceFunc(func() { cancel(); <-done })
	p.t.Cleanup(s.stop)
}

// dial connects to the host that gives, as host by.
func (p *pair) dial(by wire.HostID, of wire.CTID, id string) (net.Conn, error) {
	l := ports.Listen(p.t)
	give, ctx := p.from.Mover, p.from.ctx
	go func() {
		defer l.Close() // not before: it would end a connection that is not accepted yet
		if c, err := l.Accept(); err == nil {
			defer c.Close()
			defer context.AfterFunc(ctx, func() { c.Close() })() // as agent/mount does
			give.Serve(ctx, c, of, id, by)
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return nil, err
	}
	return p.through(c), nil
}

// phase tells both hosts.
func (p *pair) phase(ph move.Phase, rate int64) {
	p.from.work.is(ct(move.From, other, ph, rate))
	p.to.work.is(ct(move.To, one, ph, rate))
}

func ct(r move.Role, peer wire.HostID, ph move.Phase, rate int64) host.Container {
	return host.Container{CTID: 101, Run: true, Generation: 1, Limits: host.Limits{DiskBytes: 1 << 20},
		Volumes: []host.Volume{{Name: "data", Bytes: 64 << 20}},
		Move:    &move.Part{ID: "m1", Role: r, Peer: peer, Phase: ph, Rate: rate}}
}

func (p *pair) eventually(what string, is func() bool) {
	p.t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("not within a minute: %s; from %+v, to %+v", what, p.from.state(), p.to.state())
		}
	}
}

func (s *side) state() (out move.State) {
	if st := s.States()[101]; st != nil {
		out = *st
	}
	return out
}
