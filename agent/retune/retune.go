// Package retune has the servers in a container follow its new size.
//
// Owns: which containers are still to be asked and of which size the others know, on disk so that a new agent goes on; how many at once and
// how often; the last answers.
// In: that a container is being resized, is started, has other files, comes from another host, is gone; a way to call JEM in it.
// Out: `jem setmem apply --resized` in the container, which does what its template says; the answer, bounded and made plain.
// Never: makes a resize wait or fail.
package retune

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/jem"
	"hardnode.dev/internal/wire/tune"
)

// Request is what is asked of JEM.
var Request = host.JEMRequest{Module: "setmem", Action: "apply", Args: []string{"--resized"}}

// Call carries Request out in a container. answered: the error is JEM's own answer, which would be the same a moment later.
type Call func(ctx context.Context, id wire.CTID) (reply jem.Reply, answered bool, err error)

// The bounds of the calls.
const (
	atOnce  = 2
	within  = 6 * time.Minute // setmem's own limit is a minute less
	settles = time.Second     // resizes that follow each other so closely are one
	tries   = 5               // of a call that got no answer, since the container is being started, say
	most    = 500             // bytes of an answer
)

// Retuner does it. New makes one; its methods may be called at once.
type Retuner struct {
	// for each container a file NUMBER when it is to be asked, and a file NUMBER.knows once it ran; in both a state
	dir  string
	call Call
	log  *slog.Logger
	news chan struct{}
	mu   struct {
		sync.Mutex
		asked map[wire.CTID]*asked
		done  map[wire.CTID]tune.Tuned
	}
}

// asked is a container that is to be asked.
type asked struct {
	state string
	due   time.Time
	tried int
	open  bool // a call is under way
	again bool // it was resized meanwhile
}

// New makes a Retuner that Run starts, which keeps what it has to do in dir. A nil log discards.
func New(dir string, call Call, log *slog.Logger) *Retuner {
	r := &Retuner{dir: dir, call: call, log: logging.Or(log), news: make(chan struct{}, 1)}
	r.mu.asked, r.mu.done = map[wire.CTID]*asked{}, map[wire.CTID]tune.Tuned{}
	return r
}

// state is what a container's servers were told, or not: its size, of the layer in which they keep it.
func state(c host.Container) string {
	return fmt.Sprintf("memory %d MHz %d generation %d", c.Limits.MemoryMax, c.Limits.CPUMHz, c.Generation)
}

// told follows a state that servers were told: it is in their files. Other containers are as their image made them.
const told = " told"

// Resizing is called before a container's size is changed: should this agent end meanwhile, the next one asks.
func (r *Retuner) Resizing(c host.Container) {
	r.keep(c.CTID, r.file(c.CTID), state(c))
}

// keep writes a state. Without it, on a disk that is full, say, the container is asked all the same, unless this agent ends before.
func (r *Retuner) keep(id wire.CTID, file, state string) {
	err := os.MkdirAll(r.dir, 0o700)
	if err == nil {
		err = os.WriteFile(file, []byte(state), 0o600)
	}
	if err != nil {
		r.log.Warn("keep that a container is resized", logging.Container, id, logging.Err, err)
	}
}

// Resized has a container's servers asked soon.
func (r *Retuner) Resized(c host.Container) { r.ask(c.CTID, state(c)) }

func (r *Retuner) ask(id wire.CTID, state string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.mu.asked[id]; a != nil && a.open {
		a.state, a.again = state, true
		return
	}
	r.mu.asked[id] = &asked{state: state, due: time.Now().Add(settles)}
	r.wake()
}

// Starting is called before a container is started. It may have been resized while it did not run, or lost what its servers were told.
func (r *Retuner) Starting(c host.Container) {
	if r.differs(c) {
		r.Resizing(c)
	}
}

// Started has a container's servers asked soon if they know of another size, or no more of this one. One that runs for the first time is
// not asked: its image is for any size.
func (r *Retuner) Started(c host.Container) {
	if r.differs(c) {
		r.Resized(c)
	} else if known, _ := r.known(c.CTID); known != state(c) {
		r.keep(c.CTID, r.knows(c.CTID), state(c))
	}
}

// differs tells whether a container that is being started is to be asked.
func (r *Retuner) differs(c host.Container) bool {
	known, wasTold := r.known(c.CTID)
	size, _, _ := strings.Cut(known, " generation")
	return wasTold && known != state(c) || known != "" && !strings.HasPrefix(state(c), size+" ")
}

// known is the state that a container's servers are in; "" is none that is known.
func (r *Retuner) known(id wire.CTID) (state string, wasTold bool) {
	return strings.CutSuffix(r.Known(id), told)
}

// Known is what another host must know of a container that goes there, for its Came; "": nothing is known.
func (r *Retuner) Known(id wire.CTID) string {
	raw, _ := os.ReadFile(r.knows(id))
	return string(raw)
}

// Came is called before a container is here whose servers know of a state that another host's Known said.
func (r *Retuner) Came(id wire.CTID, state string) {
	r.Forget(id) // what is known of it from an earlier time
	if state != "" {
		r.keep(id, r.knows(id), state)
	}
}

// Restored is called before a container has the files of another time: what its servers were told since is not in them. elsewhere: they are
// another container's, or of a backup, and nobody here knows of which size their servers were told.
func (r *Retuner) Restored(id wire.CTID, elsewhere bool) {
	if _, wasTold := r.known(id); wasTold || elsewhere {
		r.keep(id, r.knows(id), told)
	}
}

// Forget drops what is known of a container that is gone.
func (r *Retuner) Forget(id wire.CTID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.mu.asked, id)
	delete(r.mu.done, id)
	os.Remove(r.file(id))
	os.Remove(r.knows(id))
}

// Of is what became of a container's servers.
func (r *Retuner) Of(id wire.CTID) tune.Tuned {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.done[id]
}

// Run asks until ctx ends, and waits for the calls under way.
func (r *Retuner) Run(ctx context.Context) error {
	list, _ := os.ReadDir(r.dir) // what an agent before left undone
	for _, e := range list {
		if id, err := wire.ParseCTID(e.Name()); err == nil {
			state, _ := os.ReadFile(r.file(id))
			r.ask(id, string(state))
		}
	}
	var calls sync.WaitGroup
	defer calls.Wait()
	for {
		id, wait := r.next(time.Now())
		if wait == 0 {
			calls.Go(func() {
				r.carry(ctx, id)
				r.mu.Lock()
				defer r.mu.Unlock()
				r.wake()
			})
			continue
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-r.news:
		case <-t.C:
		}
		t.Stop()
	}
}

// wake has Run look again.
func (r *Retuner) wake() {
	select {
	case r.news <- struct{}{}:
	default:
	}
}

// next takes a container that is due, wait 0, or says how long there is none.
func (r *Retuner) next(now time.Time) (next wire.CTID, wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	open := 0
	wait = time.Hour
	for id, a := range r.mu.asked {
		if a.open {
			open++
		} else if left := max(0, a.due.Sub(now)); left < wait {
			next, wait = id, left
		}
	}
	if open >= atOnce {
		return 0, time.Hour // the end of one wakes
	}
	if wait == 0 {
		r.mu.asked[next].open = true
	}
	return next, wait
}

// carry calls JEM in one container, and notes what came of it.
func (r *Retuner) carry(ctx context.Context, id wire.CTID) {
	callCtx, cancel := context.WithTimeout(ctx, within)
	reply, answered, err := r.call(callCtx, id)
	cancel()
	if ctx.Err() != nil {
		return // the next agent asks
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.mu.asked[id]
	if a == nil {
		return // it is gone
	}
	a.open = false
	if a.again {
		*a = asked{state: a.state, due: time.Now().Add(settles)}
		return
	}
	if a.tried++; err != nil && !answered && a.tried < tries {
		a.due = time.Now().Add(run.Backoff(a.tried, 5*time.Second, time.Minute, 0))
		return
	}
	d := tune.Tuned{At: time.Now().Unix(), Message: plain(reply.Message)}
	if err != nil {
		d.Message, d.Failed = plain(err.Error()), true
		r.log.Warn("servers do not follow the size", logging.Container, id, logging.Err, d.Message)
	} else {
		r.log.Info("servers were asked to follow the size", logging.Container, id, logging.Reason, d.Message)
	}
	r.mu.done[id] = d
	delete(r.mu.asked, id)
	r.settle(id, a.state, err == nil || answered)
}

// settle notes that nothing is to be asked of a container, and what came of it.
func (r *Retuner) settle(id wire.CTID, state string, answered bool) {
	if answered {
		r.keep(id, r.knows(id), state+told)
	}
	if raw, err := os.ReadFile(r.file(id)); err == nil && string(raw) == state { // else it is being resized again at this moment
		os.Remove(r.file(id))
	}
}

func (r *Retuner) file(id wire.CTID) string  { return filepath.Join(r.dir, id.String()) }
func (r *Retuner) knows(id wire.CTID) string { return r.file(id) + ".knows" }

// plain is a container's words without what a terminal would act on.
func plain(s string) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 {
			return ' '
		}
		return c
	}, s)
	return strings.ToValidUTF8(s[:min(len(s), most)], "")
}
