package apply

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"hardnode.dev/agent/container"
	"hardnode.dev/agent/container/limits"
	"hardnode.dev/agent/network"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/move"
	"hardnode.dev/internal/wire/tune"
	"hardnode.dev/internal/wire/volume"
)

// world is a host without a kernel: containers and images are entries in maps, and everything done is written down.
type world struct {
	mu     sync.Mutex
	cts    map[wire.CTID]container.Observed
	images map[wire.Digest]bool
	done   []string
	exits  chan container.Exit
	nets   int

	lookTakes  time.Duration // from what is seen to its being known
	startTakes map[wire.CTID]time.Duration
	stopTakes  map[wire.CTID]time.Duration
	startErr   map[wire.CTID]error
	lives      map[wire.CTID]time.Duration // how long a process runs
	fetchErr   map[wire.Digest]error
	livesOf    map[wire.Digest]time.Duration // as lives, of what runs an image
	startErrOf map[wire.Digest]error
	attached   []wire.CTID
	ends       []wire.CTID       // whom the network knows
	opened     []*os.File        // sockets
	named      []int             // how many names DNS was told, each time
	codes      map[wire.CTID]int // with which a process ends; 1 where there is none
	said       map[wire.CTID]string
	cut        bool // the network can't be set
	low        bool // the disk is nearly full
	closed     error
	refused    []network.Refusal
	checkErr   error
	checkErrOf map[netip.Addr]error
	led        wire.CTID // the last that published ports led to
	pressure   host.Pressure
	asks       []string // of what was to be told to servers
	moves      moves
}

// moves are what agent/move would say.
type moves struct {
	mu     sync.Mutex
	states map[wire.CTID]*move.State
	forgot []wire.CTID
}

func (m *moves) States() map[wire.CTID]*move.State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.states)
}

func (m *moves) say(id wire.CTID, s move.State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.states = map[wire.CTID]*move.State{id: &s}
}

func (m *moves) Changed() <-chan struct{} { return nil }

// forgotten are the containers that were forgotten, in order.
func (m *moves) forgotten() []wire.CTID {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.forgot)
}

func (m *moves) Forget(id wire.CTID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgot = append(m.forgot, id)
	return nil
}

// servers are those in a world's containers.
type servers struct{ *world }

func (s servers) ask(format string, a ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asks = append(s.asks, fmt.Sprintf(format, a...))
}

func (s servers) Resizing(c host.Container) { s.ask("resizing %d", c.CTID) }
func (s servers) Resized(c host.Container)  { s.ask("resized %d", c.CTID) }
func (s servers) Starting(c host.Container) {
	s.ask("starting %d of %d MiB", c.CTID, c.Limits.MemoryMax>>20)
}
func (s servers) Started(c host.Container) {
	s.ask("started %d of %d MiB", c.CTID, c.Limits.MemoryMax>>20)
}
func (s servers) Forget(id wire.CTID) { s.ask("forget %d", id) }
func (s servers) Of(id wire.CTID) tune.Tuned {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.asks, "resized "+id.String()) {
		return tune.Tuned{At: 5, Message: "told"}
	}
	return tune.Tuned{}
}

func newWorld() *world {
	return &world{cts: map[wire.CTID]container.Observed{}, images: map[wire.Digest]bool{imgA: true}, exits: make(chan container.Exit, 8),
		startTakes: map[wire.CTID]time.Duration{}, startErr: map[wire.CTID]error{}, lives: map[wire.CTID]time.Duration{},
		fetchErr: map[wire.Digest]error{}}
}

func (w *world) did(format string, a ...any) { w.done = append(w.done, fmt.Sprintf(format, a...)) }

func (w *world) log() string { w.mu.Lock(); defer w.mu.Unlock(); return strings.Join(w.done, ", ") }

// name takes what DNS is told.
func (w *world) name(p *host.Peers) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.named = append(w.named, len(p.Names))
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *world) Start(ctx context.Context, s container.StartSpec) (container.Observed, error) {
	w.mu.Lock()
	takes, err := w.startTakes[s.CTID], errors.Join(w.startErr[s.CTID], w.startErrOf[s.Image.Digest])
	w.mu.Unlock()
	if werr := wait(ctx, takes+time.Millisecond); werr != nil {
		return container.Observed{}, werr
	}
	if err == nil {
		_, err = s.Network(ctx, nil)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.did("start %d fails", s.CTID)
		return container.Observed{}, err
	}
	old, again := w.cts[s.CTID]
	o := container.Observed{CTID: s.CTID, State: container.StateRunning, Generation: s.Generation, UIDBase: s.UIDBase, Spec: s.Container,
		Started: time.Now(), MemoryBytes: 1 << 20,
		Set: limits.Of(s.Limits, s.CPUMaxMicros)}
	for _, v := range s.Volumes {
		o.InVolumes = append(o.InVolumes, volume.Use{Name: v.Name, Limit: v.Bytes})
	}
	if again {
		o.Restarts = old.Restarts + 1
	}
	w.cts[s.CTID] = o
	w.did("start %d/%d", s.CTID, s.Generation)
	if d := max(w.lives[s.CTID], w.livesOf[s.Image.Digest]); d > 0 {
		code, ok := w.codes[s.CTID]
		if !ok {
			code = 1
		}
		time.AfterFunc(d, func() { w.end(s.CTID, code) })
	}
	return o, nil
}

// end is the death of a container's process.
func (w *world) end(id wire.CTID, code int) {
	w.mu.Lock()
	o, ok := w.cts[id]
	if ok {
		o.State, o.ExitCode, o.ExitKnown, o.Exited = container.StateExited, code, true, time.Now()
		w.cts[id] = o
	}
	w.mu.Unlock()
	w.exits <- container.Exit{CTID: id, Code: code}
}

func (w *world) Restart(ctx context.Context, id wire.CTID) error { return w.Stop(ctx, id) }

func (w *world) Stop(ctx context.Context, id wire.CTID) error {
	return w.StopWithin(ctx, id, time.Hour)
}

// StopWithin waits as long as the container's program takes, at most limit: then it is killed.
func (w *world) StopWithin(ctx context.Context, id wire.CTID, limit time.Duration) error {
	w.mu.Lock()
	takes := w.stopTakes[id]
	w.mu.Unlock()
	if err := wait(ctx, min(takes, limit)); err != nil {
		return err
	}
	w.mu.Lock()
	if takes > limit {
		w.did("kill %d", id)
	}
	defer w.mu.Unlock()
	o := w.cts[id]
	o.State = container.StateStopped
	w.cts[id] = o
	w.did("stop %d", id)
	return nil
}

func (w *world) Remove(_ context.Context, id wire.CTID, keep bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	volumes := w.cts[id].Spec.Volumes
	if delete(w.cts, id); keep && len(volumes) > 0 { // it is seen as long as they are there
		w.cts[id] = container.Observed{CTID: id, State: container.StateStopped}
	}
	w.did("remove %d keep=%v", id, keep)
	return nil
}

func (w *world) SetLimits(_ context.Context, id wire.CTID, l host.Limits, micros int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.cts[id]
	o.Set = limits.Of(l, micros)
	w.cts[id] = o
	w.did("resize %d to %d MiB, %d µs", id, l.MemoryMax>>20, micros)
	return nil
}

func (w *world) SetVolumes(_ context.Context, id wire.CTID, list []host.Volume) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.cts[id]
	o.InVolumes = nil
	for _, v := range list {
		o.InVolumes = append(o.InVolumes, volume.Use{Name: v.Name, Limit: v.Bytes})
		w.did("volume %s of %d to %d MiB", v.Name, id, v.Bytes>>20)
	}
	w.cts[id] = o
	return nil
}

func (w *world) DropVolumes(_ context.Context, id wire.CTID, names []string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.cts[id]
	o.InVolumes = slices.DeleteFunc(slices.Clone(o.InVolumes), func(u volume.Use) bool { return slices.Contains(names, u.Name) })
	w.cts[id] = o
	w.did("drop %v of %d", names, id)
	return nil
}

func (w *world) Observe(ctx context.Context) ([]container.Observed, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []container.Observed
	for _, o := range w.cts {
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b container.Observed) int { return int(a.CTID - b.CTID) })
	if w.lookTakes == 0 {
		return out, nil
	}
	w.mu.Unlock()
	err := wait(ctx, w.lookTakes)
	w.mu.Lock()
	return out, err
}

// Logs is what a container has said.
func (w *world) Logs(_ context.Context, id wire.CTID, _ host.LogsSpec, line func(bool, []byte) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return line(false, []byte(w.said[id]))
}

func (w *world) Netns(wire.CTID) (*os.File, error) { return nil, errors.New("none") }
func (w *world) Exits() <-chan container.Exit      { return w.exits }

func (w *world) Path(d wire.Digest) (string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return "/data/images/" + d.Hex(), w.images[d]
}

func (w *world) Ensure(ctx context.Context, img host.Image) (string, error) {
	if err := wait(ctx, time.Second); err != nil {
		return "", err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.fetchErr[img.Digest]; err != nil {
		w.did("fetch fails")
		return "", err
	}
	w.images[img.Digest] = true
	w.did("fetch")
	return "", nil
}

func (w *world) Collect(used map[wire.Digest]bool) (gone []wire.Digest, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for d := range w.images {
		if !used[d] {
			gone = append(gone, d)
			delete(w.images, d)
		}
	}
	return gone, nil
}

func (w *world) Low() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.low
}

func (w *world) Apply(_ context.Context, s network.State) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nets++
	w.ends, w.refused = nil, nil
	for _, e := range s.Endpoints {
		for _, a := range e.Public {
			w.refused = append(w.refused, network.Refusal{CTID: e.CTID, Addr: a, Why: "it is the gateway"})
		}
		w.ends = append(w.ends, e.CTID)
		if len(e.Publish) > 0 && e.CTID != w.led {
			w.led = e.CTID
			w.did("lead to %d", e.CTID)
		}
	}
	if w.cut {
		return errors.New("no nftables")
	}
	return nil
}
func (w *world) Attach(_ context.Context, e network.Endpoint, _ *os.File) (func(), error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.attached = append(w.attached, e.CTID)
	return func() {}, nil
}
func (w *world) Repair(network.Endpoint, func(wire.CTID) (*os.File, error)) error { return nil }

// Sockets opens pipes: what they are is nobody's matter here.
func (w *world) Full() *host.Problem { return nil }

func (w *world) full() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}

func (w *world) Crowded() map[wire.CTID]bool { return map[wire.CTID]bool{105: true} }

func (w *world) Refused() []network.Refusal {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.refused
}

func (w *world) Sockets(list []host.Socket) (files []*os.File, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range list {
		r, wr, err := os.Pipe()
		if err != nil {
			return files, err
		}
		wr.Close()
		files = append(files, r)
		w.opened = append(w.opened, r)
		w.did("open %s %d on %s", s.Proto, s.Port, s.Link)
	}
	return files, nil
}

func (w *world) check(_ context.Context, at netip.Addr, _ host.Check) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return errors.Join(w.checkErr, w.checkErrOf[at])
}
