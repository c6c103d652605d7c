// Package jemcall carries out a call of JEM in a container for somebody outside it.
//
// Owns: what JEM is told, how long a call may take, how many there are at once, and what of its answer goes further.
// In: the call, what its caller sends along, a way to execute a program in the container, the container's figures.
// Out: an answer that was decoded and written anew: a valid jem.Reply in at most jem.MaxReply bytes, or an error that says what is wrong.
// Never: passes a byte on that the container wrote, ends a call because its caller went away, or takes a half of what is sent for the
// whole.
package jemcall

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"hardnode.dev/agent/container/command"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/jem"
)

// Program is where the in-container tool is bound in every container.
const Program = "/run/hardnode/jem"

// The limits of calls. JEM's own are shorter: these hold where somebody in the container holds JEM up.
const (
	within     = 65 * time.Minute
	eachOpen   = 8        // calls of one container at once
	allHeld    = 16 << 20 // bytes of answers that have not ended, of all containers
	short      = 64 << 10 // bytes of an answer that there is room for in any case
	keptStderr = 4 << 10
)

// Calls are the calls of all containers. The zero value has none. Its methods may be called at once.
type Calls struct {
	mu struct {
		sync.Mutex
		open map[wire.CTID]int
		held int64
	}
	within time.Duration // 0: the limit above; tests have another
}

// Exec executes a program in a container: agent/container's.
type Exec func(ctx context.Context, id wire.CTID, spec host.ExecSpec, io command.Stdio) (host.Exit, error)

// Carry carries a call out and writes its answer to out. It goes on when its caller is gone, until whole ends; but if what the caller
// sends along breaks off, it ends.
func (c *Calls) Carry(whole context.Context, id wire.CTID, req host.JEMRequest, told jem.Told, in io.ReadCloser, out io.Writer,
	exec Exec) (host.Exit, error) {
	if err := jem.ValidKey(req.Key); err != nil {
		return host.Exit{}, err
	}
	told.Key = req.Key
	leave, err := c.enter(id)
	if err != nil {
		return host.Exit{}, err
	}
	defer leave()
	limit := within
	if c.within != 0 {
		limit = c.within
	}
	ctx, cancel := context.WithTimeout(whole, limit)
	defer cancel()
	said := &bounded{calls: c, most: jem.MaxReply, full: cancel}
	defer said.release()
	errs := &bounded{calls: c, most: keptStderr}
	defer errs.release()
	spec := host.ExecSpec{Argv: append([]string{Program, req.Module, req.Action}, req.Args...),
		Env: map[string]string{jem.ToldBy: told.Encode()}}
	stdio := command.Stdio{Out: said, Err: errs}
	if in != nil {
		stdio.In = &entire{ReadCloser: in, ctx: ctx, broke: cancel}
	}
	exit, err := exec(ctx, id, spec, stdio)
	switch {
	case err != nil:
		return exit, err
	case said.over && said.crowded:
		return host.Exit{}, fmt.Errorf("the answer of jem %s %s has no room on this host beside other answers of JEM that have not ended, "+
			"%d MiB in all: try again later", req.Module, req.Action, allHeld>>20)
	case said.over:
		return host.Exit{}, fmt.Errorf("the answer of jem %s %s is larger than it may be, %d bytes", req.Module, req.Action, jem.MaxReply)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return host.Exit{}, fmt.Errorf("jem %s %s did not end within %s: something in the container holds it up", req.Module, req.Action,
			limit)
	case exit.Error != "":
		return exit, nil
	}
	reply, err := jem.Decode(said.b.Bytes())
	if err != nil {
		return host.Exit{}, fmt.Errorf("jem %s %s in container %s ended with code %d and without an answer: %v%s", req.Module, req.Action,
			id,
			exit.Code, err, asReason(errs.b.Bytes()))
	}
	clean, err := json.Marshal(reply)
	if err != nil {
		return host.Exit{}, err
	}
	switch {
	case reply.Ends && reply.Error == nil: // it may have ended with the container before it could say so
		exit.Code = 0
	case reply.Error != nil && exit.Code == 0, reply.Error == nil && exit.Code != 0:
		return host.Exit{}, fmt.Errorf("jem %s %s in container %s ended with code %d, which is not what it answered", req.Module,
			req.Action,
			id, exit.Code)
	}
	_, err = out.Write(append(clean, '\n'))
	return exit, err
}

// Do carries out a call that the host itself makes, within ctx. An answer that says that it failed is an error.
func (c *Calls) Do(ctx context.Context, id wire.CTID, req host.JEMRequest, told jem.Told, exec Exec) (jem.Reply, error) {
	var out bytes.Buffer
	exit, err := c.Carry(ctx, id, req, told, nil, &out, exec)
	if err == nil && exit.Error != "" {
		err = errors.New(exit.Error)
	}
	if err != nil {
		return jem.Reply{}, err
	}
	reply, err := jem.Decode(out.Bytes())
	if err == nil && reply.Error != nil {
		err = errors.New(reply.Error.Reason)
	}
	return reply, err
}

func (c *Calls) enter(id wire.CTID) (leave func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.open[id] >= eachOpen {
		return nil, fmt.Errorf("container %s has %d calls of JEM at work, which is the most allowed: wait for one to end", id, eachOpen)
	}
	if c.mu.open == nil {
		c.mu.open = map[wire.CTID]int{}
	}
	c.mu.open[id]++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.mu.open[id]--; c.mu.open[id] == 0 {
			delete(c.mu.open, id)
		}
	}, nil
}

// asReason is the container's last words on stderr, made plain.
func asReason(b []byte) string {
	text := strings.TrimSpace(strings.ToValidUTF8(string(bytes.TrimSpace(b)), "?"))
	if text == "" {
		return ""
	}
	return fmt.Sprintf("; it wrote %.300q", text)
}

// bounded keeps what is written, up to a limit: beyond that it calls full and fails.
type bounded struct {
	calls *Calls
	most  int
	full  func() // nil: what is too much is dropped
	b     bytes.Buffer
	held  int64
	// over: it is too much; crowded: only beside the others
	over, crowded bool
}

func (w *bounded) Write(p []byte) (int, error) {
	w.calls.mu.Lock()
	n := w.b.Len() + len(p)
	room := n <= w.most && (n <= short || w.calls.mu.held+int64(len(p)) <= allHeld)
	w.crowded = !room && n <= w.most
	if room {
		w.calls.mu.held += int64(len(p))
		w.held += int64(len(p))
	}
	w.calls.mu.Unlock()
	if room {
		return w.b.Write(p)
	}
	if w.over = true; w.full == nil {
		return len(p), nil
	}
	w.full()
	return 0, errors.New("the answer is too large")
}

func (w *bounded) release() {
	w.calls.mu.Lock()
	defer w.calls.mu.Unlock()
	w.calls.mu.held -= w.held
	w.held = 0
}

// entire gives a reader's bytes and its end. When it breaks off before, the call ends, and the end is not told: what came would be taken
// for the whole.
type entire struct {
	io.ReadCloser
	ctx   context.Context // the call's: this reader lives as long
	broke func()
}

func (r *entire) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.broke()
		<-r.ctx.Done()
	}
	return n, err
}
