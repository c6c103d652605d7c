package apply

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"hardnode.dev/agent/container"
	"hardnode.dev/agent/fetch"
	"hardnode.dev/agent/history"
	"hardnode.dev/agent/network"
	"hardnode.dev/agent/plan"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// deadlines bound each kind of step; stopping adds what the container may take itself.
var deadlines = map[plan.Kind]time.Duration{
	plan.Stop:   90 * time.Second,
	plan.Remove: 2 * time.Minute,
	plan.Drop:   2 * time.Minute,
	plan.Resize: 10 * time.Second,
	plan.Fetch:  15 * time.Minute,
	plan.Start:  time.Minute,
}

// filling is how much longer a start may take that may have to fill new volumes from the image, or to copy what stays of the layer before.
const filling = 9 * time.Minute

// dispatch starts the steps whose container has none in flight, each in a goroutine that Run waits for, in the plan's order: what finds no
// room among the starts and fetches, or was decided while an earlier step on the same thing was in flight, waits for the next round. It
// returns how many steps it started or put off.
func (a *Applier) dispatch(ctx context.Context, wg *sync.WaitGroup, steps []plan.Step, flying func(plan.Step) bool) (started int) {
	for _, s := range steps {
		if flying(s) {
			started++
			continue
		}
		leave, ok := a.enter(s.Kind)
		if !ok {
			started++
			continue
		}
		if !a.claim(s) {
			leave()
			continue
		}
		started++
		wg.Go(func() {
			defer a.hint()
			defer a.release(s)
			defer leave()
			began := time.Now()
			stepCtx, cancel := context.WithTimeout(ctx, a.patience(s))
			err := a.do(stepCtx, s)
			cancel()
			if ctx.Err() != nil && err != nil {
				return // the agent ends: the next one sees where things stand
			}
			a.note(s, err)
			key := string(s.Kind) + " " + s.CTID.String()
			if err != nil {
				if times, tell := a.said.news(key, err.Error(), time.Now()); tell {
					a.log.Warn("step", logging.Step, s.Kind, logging.Container, s.CTID, logging.Reason, s.Reason, logging.Err, err,
						logging.Took, time.Since(began), "times", times)
				}
				return
			}
			log := a.log
			if times := a.said.over(key); times > 0 {
				log = log.With("failed", times)
			}
			log.Info("step", logging.Step, s.Kind, logging.Container, s.CTID, logging.Reason, s.Reason, logging.Took, time.Since(began))
		})
	}
	return started
}

// patience is how long a step may take.
func (a *Applier) patience(s plan.Step) time.Duration {
	if l := a.leaving.Load(); l != nil {
		return max(0, time.Until(l.until)) + afterKill
	}
	d := deadlines[s.Kind] + time.Duration(s.Want.Process.StopAfter)*time.Second
	if s.Kind == plan.Start && (len(s.Want.Volumes) > 0 || s.Want.Generation > 1) {
		d += filling
	}
	return d
}

// flying tells which containers have a step in flight now, and whether a step's container or image has one.
func (a *Applier) flying() (busy map[wire.CTID]plan.Kind, of func(plan.Step) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	busy, fetching := maps.Clone(a.mu.busy), maps.Clone(a.mu.fetching)
	return busy, func(s plan.Step) bool {
		if s.Kind == plan.Fetch {
			return fetching[s.Want.Image.Digest]
		}
		_, ok := busy[s.CTID]
		return ok
	}
}

// inFlight adds the containers that have a step in flight and no status: they are being removed, and are not gone before that is over.
func inFlight(statuses []host.ContainerStatus, busy map[wire.CTID]plan.Kind) []host.ContainerStatus {
	for _, id := range slices.Sorted(maps.Keys(busy)) {
		if id != smokeCTID && !slices.ContainsFunc(statuses, func(s host.ContainerStatus) bool { return s.CTID == id }) {
			statuses = append(statuses, host.ContainerStatus{CTID: id, State: host.CtStopping,
				Reason: "being removed: its " + string(busy[id]) + " is not over yet"})
		}
	}
	slices.SortFunc(statuses, func(a, b host.ContainerStatus) int { return cmp.Compare(a.CTID, b.CTID) })
	return statuses
}

// longStart is after how long a start no longer counts among those in flight: it waits for something that the others need not wait for.
const longStart = 5 * time.Second

// enter takes a place among the fetches in flight, or among the starts: as many as the host's pressure allows. Other steps need none.
func (a *Applier) enter(k plan.Kind) (leave func(), ok bool) {
	switch k {
	case plan.Fetch:
		select {
		case a.slots <- struct{}{}:
			return func() { <-a.slots }, true
		default:
			return nil, false
		}
	case plan.Start:
		if a.starting() >= plan.Starts(a.o.Pressure()) {
			return nil, false
		}
	}
	return func() {}, true
}

// starting is how many starts have begun lately and go on.
func (a *Applier) starting() (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, began := range a.mu.starts {
		if time.Since(began) < longStart {
			n++
		}
	}
	return n
}

func (a *Applier) claim(s plan.Step) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.Kind == plan.Fetch {
		if a.mu.fetching[s.Want.Image.Digest] {
			return false
		}
		a.mu.fetching[s.Want.Image.Digest] = true
		return true
	}
	if _, busy := a.mu.busy[s.CTID]; busy {
		return false
	}
	a.mu.busy[s.CTID] = s.Kind
	if s.Kind == plan.Start {
		a.mu.starts[s.CTID] = time.Now()
	}
	return true
}

func (a *Applier) release(s plan.Step) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.Kind == plan.Fetch {
		delete(a.mu.fetching, s.Want.Image.Digest)
		return
	}
	delete(a.mu.busy, s.CTID)
	delete(a.mu.starts, s.CTID)
}

// do carries one step out.
func (a *Applier) do(ctx context.Context, s plan.Step) error {
	switch s.Kind {
	case plan.Fetch:
		_, err := a.o.Images.Ensure(ctx, s.Want.Image)
		return err
	case plan.Stop:
		if l := a.leaving.Load(); l != nil {
			return a.o.Runtime.StopWithin(ctx, s.CTID, max(0, time.Until(l.until)))
		}
		if s.Want.Run {
			return a.o.Runtime.Restart(ctx, s.CTID)
		}
		return a.o.Runtime.Stop(ctx, s.CTID)
	case plan.Resize:
		a.o.Servers.Resizing(s.Want)
		defer a.o.Servers.Resized(s.Want) // after a failure too: some limits hold perhaps
		return errors.Join(a.o.Runtime.SetLimits(ctx, s.CTID, s.Want.Limits, cpuMax(s.Want.Limits.CPUMHz, a.o.MHz)),
			a.o.Runtime.SetVolumes(ctx, s.CTID, s.Want.Volumes))
	case plan.Drop:
		return a.o.Runtime.DropVolumes(ctx, s.CTID, s.Volumes)
	case plan.Remove:
		if err := a.o.Moves.Forget(s.CTID); err != nil {
			return err
		}
		if err := a.o.Runtime.Remove(ctx, s.CTID, false); err != nil {
			return err
		}
		a.o.Forget(s.CTID)
		a.o.Servers.Forget(s.CTID)
		return a.o.Store.FreeUIDBase(s.CTID)
	case plan.Start:
		return a.start(ctx, s.Want)
	}
	panic("BUG: step " + string(s.Kind))
}

func (a *Applier) start(ctx context.Context, c host.Container) error {
	path, ok := a.o.Images.Path(c.Image.Digest)
	if !ok {
		return fmt.Errorf("image %s is not here any more", c.Image.Name)
	}
	if c.Env != plan.Jelastic && c.Move == nil && !a.o.Store.HasRange(c.CTID) { // it was never here, and neither are its data
		if err := a.o.Closed(); err != nil {
			return err
		}
	}
	base, err := a.o.Store.UIDBase(c.CTID, len(c.Image.IDBlocks) > 0)
	if err != nil {
		return err
	}
	spec := container.StartSpec{Container: c, UIDBase: base, ImagePath: path, CPUMaxMicros: cpuMax(c.Limits.CPUMHz, a.o.MHz),
		Resolv: network.ResolvConf(string(c.Env)), Hosts: hostsFile(c),
		Network: func(ctx context.Context, ns *os.File) (func(), error) {
			if err := a.stays(c.CTID); err != nil { // whoever takes its last state holds it: here is the last moment to see it
				return nil, err
			}
			return a.o.Network.Attach(ctx, endpoint(c), ns)
		}}
	if c.Env == plan.Jelastic {
		if spec.IdentitySocket, err = a.o.Identity(plan.OfComponent(c.CTID)); err != nil {
			return err
		}
	}
	if spec.Handed, err = a.o.Network.Sockets(c.Sockets); err != nil {
		return err
	}
	defer func() {
		for _, f := range spec.Handed {
			f.Close() // the process has its own
		}
	}()
	a.o.Servers.Starting(c)
	switch _, err = a.o.Runtime.Start(ctx, spec); {
	case err == nil:
		a.o.Servers.Started(c)
	case errors.Is(err, container.ErrRunning):
		return nil
	}
	return err
}

// note remembers what became of a step.
func (a *Applier) note(s plan.Step, err error) {
	var o history.Outcome
	if err != nil {
		var wrong *fetch.WrongError
		o = history.Outcome{Err: err.Error(), Final: errors.Is(err, container.ErrInvalid) || errors.As(err, &wrong)}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.history.Did(s, o, time.Now())
}

// cpuMax is the CPU time per 100 ms, in µs, that a ceiling in MHz means on CPUs of the given base frequency; 0 is no ceiling.
// At least 1 ms, the kernel's least.
func cpuMax(ceiling, base int64) int64 {
	if ceiling <= 0 || base <= 0 {
		return 0
	}
	return max(ceiling*100_000/base, 1000)
}

func hostsFile(c host.Container) []byte {
	b := fmt.Appendf(nil, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n%s\t%s.%s.internal %s\n", c.IPv4, c.Hostname,
		c.Env, c.Hostname)
	if c.IPv6.IsValid() {
		b = fmt.Appendf(b, "%s\t%s.%s.internal %s\n", c.IPv6, c.Hostname, c.Env, c.Hostname)
	}
	return b
}

// inUse keeps the UID ranges that processes run in from being given to others, before anything is started.
func (a *Applier) inUse(list []container.Observed) {
	running := map[wire.CTID]uint32{}
	for _, o := range list {
		if o.UIDBase != 0 && (o.State == container.StateRunning || o.State == container.StateOrphan) {
			running[o.CTID] = o.UIDBase
		}
	}
	shared, err := a.o.Store.InUse(running)
	if err != nil {
		a.warn("UID ranges", "keep UID ranges", err)
	} else {
		a.said.over("UID ranges")
	}
	for _, id := range shared {
		a.warn("UID range "+id.String(), "UID range", fmt.Errorf("container %s runs in the range of another; restart it", id))
	}
}

// warn says what goes wrong each round, once.
func (a *Applier) warn(key, what string, err error) {
	if times, tell := a.said.news(key, err.Error(), time.Now()); tell {
		a.log.Warn(what, logging.Err, err, "times", times)
	}
}
