// Package move takes containers to other hosts, and from them: their layers and volumes, their snapshots and logs.
//
// Owns: what of a move is under way on this host; DATA/move: the snapshots that others pull, and which moves have arrived here.
// In: what Work says of moves; other hosts, by their certificates, through agent/mount's door.
// Out: states for the report; a container's layer, volumes, snapshots and log, in their places once all of the last state is here.
// Never: starts or stops a container, gives anything to another host than Work names, or has one run here before its last state is here.
//
// Whatever of the two agents ends, the next one goes on by Work: the host that gives makes a new snapshot, and the one that pulls begins
// with nothing, if it was the one that ended; one that only lost its connection goes on in the middle of the stream.
package move

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"net"
	"sync"
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

// Disk is what containers have on this host (the package's own Data).
type Disk interface {
	// Take takes a snapshot that is sent; last is of a container that does not run, else ErrRuns. What is older than base goes, of those
	// that were taken to be sent.
	Take(ctx context.Context, id wire.CTID, base snapshot.ID, last bool) (*talk.Head, error)
	// About says what one of the container's own snapshots holds.
	About(id wire.CTID, which snapshot.ID) (*talk.Head, error)
	// Send writes the stream of a part of a snapshot, which goes on from base, if it names one.
	Send(ctx context.Context, id wire.CTID, which, base talk.Of, volume string, w io.Writer) error
	// Log writes what a container has written, of one that does not run.
	Log(id wire.CTID, w io.Writer) error
	// Given are the containers with snapshots for others, and Drop takes those of one away.
	Given() ([]wire.CTID, error)
	Drop(id wire.CTID) error

	// Begin begins a copy with nothing, of what has about so many bytes.
	Begin(id wire.CTID, need int64) (Copy, error)
	// Arrived tells whether a move has arrived; Forget has none have.
	Arrived(id wire.CTID, move string) (bool, error)
	Forget(id wire.CTID) error
}

// Piece names a subvolume of a container: a volume, or, with Volume "", the layer of a generation.
type Piece struct {
	Volume     string
	Generation int64
}

// pieceOf is which one a part of a snapshot is.
func pieceOf(h *talk.Head, p talk.Part) Piece {
	if p.Volume != "" {
		return Piece{Volume: p.Volume}
	}
	return Piece{Generation: h.Generation}
}

// Copy is a container's data while it comes.
type Copy interface {
	// Apply has a piece become what a stream says; at is what it holds, zero: it is made anew.
	Apply(ctx context.Context, c host.Container, p Piece, at btrfs.Identity, r io.Reader) (btrfs.Identity, error)
	Remove(p Piece) error
	// Keep has what these pieces hold now be one of the container's snapshots too, and Unkeep has it be none any more.
	Keep(c host.Container, meta snapshot.Snapshot, is map[Piece]btrfs.Identity) error
	Unkeep(which snapshot.ID) error
	// Log has what the container wrote before be its log.
	Log(r io.Reader) error
	// Arrive has the parts be the container's own.
	Arrive(move string) error
	// Drop takes away what has not arrived.
	Drop() error
}

// Sizes is of which size a container's servers know: agent/retune's Retuner.
type Sizes interface {
	Known(id wire.CTID) (state string)
	// Came is called before a container has arrived whose servers know of that size.
	Came(id wire.CTID, state string)
}

// Options are what a Mover needs. All are required unless said otherwise.
type Options struct {
	Work  func() *host.Work // nil: none has been seen
	Dial  func(ctx context.Context, from wire.HostID, of wire.CTID, move string) (net.Conn, error)
	Image func(ctx context.Context, img host.Image) error // has it be here when the container is to start
	Disk  Disk
	Sizes func() Sizes
	// Closed is why this host takes nothing new now; nil: it does, and a nil Closed never says otherwise. What is stopped already for its
	// last state comes all the same.
	Closed func() error
	Log    *slog.Logger // nil discards
}

// Mover is all moves of a host. Make it with New.
type Mover struct {
	o       Options
	changed chan struct{}

	mu struct {
		sync.Mutex
		states map[wire.CTID]*move.State // never changed, only replaced
		pulls  map[wire.CTID]*pull
		gives  map[wire.CTID]bool     // it is given at the moment
		taken  map[wire.CTID]string   // the move whose last state has been
		conns  map[wire.CTID]net.Conn // the last one that came for it
		coming map[wire.CTID]bool     // that are copied: move.Most at most
	}
}

// New makes one that Run starts.
func New(o Options) *Mover {
	o.Log = logging.Or(o.Log)
	m := &Mover{o: o, changed: make(chan struct{}, 1)}
	m.mu.states, m.mu.pulls, m.mu.gives = map[wire.CTID]*move.State{}, map[wire.CTID]*pull{}, map[wire.CTID]bool{}
	m.mu.conns, m.mu.taken, m.mu.coming = map[wire.CTID]net.Conn{}, map[wire.CTID]string{}, map[wire.CTID]bool{}
	return m
}

// Changed hints that a state says something new.
func (m *Mover) Changed() <-chan struct{} { return m.changed }

// States are those of all moves.
func (m *Mover) States() map[wire.CTID]*move.State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.mu.states)
}

// say changes a state; change is called with the mutex held.
func (m *Mover) say(id wire.CTID, change func(*move.State)) {
	m.mu.Lock()
	before := m.mu.states[id]
	var now move.State
	if before != nil {
		now = *before
	}
	change(&now)
	m.mu.states[id] = &now
	m.mu.Unlock()
	if before == nil || *before != now {
		select {
		case m.changed <- struct{}{}:
		default:
		}
	}
}

// Gives tells whether a container goes to another host, which may ask for it.
func (m *Mover) Gives(w *host.Work) bool {
	if w != nil {
		for _, c := range w.Containers {
			if c.Move != nil && c.Move.Role == move.From {
				return true
			}
		}
	}
	return false
}

// busy and idle are how often Work is looked at while there are moves, and while there are none.
const (
	busy = 100 * time.Millisecond
	idle = time.Second
)

// Run works until ctx ends.
func (m *Mover) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	for ctx.Err() == nil {
		pace := idle
		if w := m.o.Work(); w != nil && m.look(ctx, w, &all) {
			pace = busy
		}
		run.Wait(ctx, pace)
	}
	return nil
}

// look begins and ends what Work says; it tells whether there is a move.
func (m *Mover) look(ctx context.Context, w *host.Work, all *sync.WaitGroup) (any bool) {
	parts := map[wire.CTID]host.Container{}
	for _, c := range w.Containers {
		if c.Move != nil && !c.Remove {
			parts[c.CTID] = c
		}
	}
	m.mu.Lock()
	known, pulls := maps.Clone(m.mu.states), maps.Clone(m.mu.pulls)
	m.mu.Unlock()
	for id, p := range pulls {
		if c, ok := parts[id]; !ok || c.Move.ID != p.move || c.Move.Role != move.To {
			p.stop() // it drops what came, and is gone at the next look
		}
	}
	for id := range known {
		if c, ok := parts[id]; !ok || c.Move.ID != known[id].ID {
			if pulls[id] == nil {
				m.mu.Lock()
				delete(m.mu.states, id)
				delete(m.mu.taken, id)
				m.mu.Unlock()
			}
		}
	}
	for id, c := range parts {
		switch {
		case c.Move.Role == move.To && known[id] != nil && known[id].ID == c.Move.ID && known[id].Arrived:
		case c.Move.Role == move.To && pulls[id] == nil:
			m.begin(ctx, c, all)
		case c.Move.Role == move.From:
			m.say(id, func(s *move.State) {
				if s.ID != c.Move.ID || s.Phase != c.Move.Phase {
					*s = move.State{ID: c.Move.ID, Phase: c.Move.Phase}
				}
				s.Arrived = c.Move.Phase == move.Last && m.mu.taken[id] == c.Move.ID
			})
		}
	}
	m.sweep(parts)
	return len(parts) > 0
}

// sweep takes away snapshots that nobody will ask for any more.
func (m *Mover) sweep(parts map[wire.CTID]host.Container) {
	given, err := m.o.Disk.Given()
	for _, id := range given {
		m.mu.Lock()
		gives := m.mu.gives[id]
		m.mu.Unlock()
		if c, ok := parts[id]; !gives && (!ok || c.Move.Role != move.From) {
			if derr := m.o.Disk.Drop(id); derr != nil {
				err = derr
			}
		}
	}
	if err != nil {
		m.o.Log.Warn("snapshots of a move stay", logging.Err, err)
	}
}

// begin pulls a container, unless it has arrived.
func (m *Mover) begin(ctx context.Context, c host.Container, all *sync.WaitGroup) {
	ctx, stop := context.WithCancel(ctx)
	p := &pull{m: m, id: c.CTID, move: c.Move.ID, stop: stop, ended: make(chan struct{})}
	if p.arrived() {
		stop()
		return
	}
	m.mu.Lock()
	m.mu.pulls[c.CTID] = p
	m.mu.Unlock()
	m.say(c.CTID, func(s *move.State) { *s = move.State{ID: c.Move.ID, Phase: move.Copy} })
	all.Go(func() {
		defer stop()
		p.run(ctx)
		m.mu.Lock()
		delete(m.mu.pulls, c.CTID)
		delete(m.mu.coming, c.CTID)
		m.mu.Unlock()
		close(p.ended)
	})
}

// Forget ends what is under way of a container that leaves this host, and forgets that it has come.
func (m *Mover) Forget(id wire.CTID) error {
	m.mu.Lock()
	p := m.mu.pulls[id]
	m.mu.Unlock()
	if p != nil {
		p.stop()
		<-p.ended
	}
	m.mu.Lock()
	delete(m.mu.states, id)
	m.mu.Unlock()
	return m.o.Disk.Forget(id)
}
