package hold

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/agent/spawner/fork"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
)

// waitFor is how long a Wait is held.
const waitFor = 30 * time.Second

// Serve answers requests on l until ctx ends; it returns when every connection is done.
func (t *Table) Serve(ctx context.Context, l *net.UnixListener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	run.Accept(ctx, l.AcceptUnix, func(err error) { t.log.Error("accept", logging.Err, err) }, func(c *net.UnixConn) {
		defer c.Close()
		t.serve(ctx, c)
	})
	return nil
}

// serve carries out the one request of a connection.
func (t *Table) serve(ctx context.Context, c *net.UnixConn) {
	if err := call.PeerIsRoot(c); err != nil {
		t.log.Warn("request refused", logging.Err, err)
		return
	}
	c.SetDeadline(time.Now().Add(10 * time.Second))
	var r call.Request
	files, err := call.Receive(c, &r)
	if err != nil {
		return
	}
	defer func() { call.CloseAll(files) }()
	c.SetDeadline(time.Time{})
	if err := r.Validate(); err != nil {
		call.Send(c, call.Reply{Err: err.Error(), Code: call.CodeInvalid})
		return
	}
	if want := r.FDs(); len(files) != want {
		call.Send(c, call.Reply{Err: fmt.Sprintf("request: came with %d descriptors, want %d", len(files), want), Code: call.CodeInvalid})
		return
	}
	var reply call.Reply
	var back []*os.File
	switch {
	case r.Start != nil:
		var follow func()
		if follow, err = t.start(c, r.Start, files); err == nil {
			defer follow()
			reply.Containers, reply.Seq = t.List(r.Start.ID)
		}
	case r.Go != nil:
		err = errors.New("go: nothing was started on this connection")
	case r.Exec != nil:
		t.exec(c, r.Exec, files)
		return
	case r.Rest != nil:
		t.rest(ctx, c, r.Rest.ID, files[0])
		return
	case r.Signal != nil:
		err = t.Signal(r.Signal.ID, r.Signal.Signal)
	case r.Forget != nil:
		err = t.Forget(r.Forget.ID)
	case r.List != nil && r.List.ID == "":
		reply.Containers, reply.Seq, reply.State = t.All(r.List.State)
		reply.Same = reply.State == r.List.State
	case r.List != nil:
		reply.Containers, reply.Seq = t.List(r.List.ID)
	case r.Console != nil:
		var typed *os.File
		if typed, err = t.Console(r.Console.ID, files[0]); err == nil {
			defer typed.Close()
			back = append(back, typed)
		}
		files = nil // it is the table's
	case r.Wait != nil:
		reply.Ended, reply.Seq = t.wait(ctx, c, r.Wait.Seq)
	}
	if err != nil {
		reply = call.Reply{Err: err.Error(), Code: codeOf(err)}
	}
	call.Send(c, reply, back...)
}

func codeOf(err error) call.Code {
	var fe *fork.Error
	switch {
	case errors.Is(err, ErrRunning):
		return call.CodeRunning
	case errors.Is(err, ErrNotRunning):
		return call.CodeNotRunning
	case errors.As(err, &fe) && fe.Program():
		return call.CodeProgram
	}
	return call.CodeSystem
}

// start makes a container's first process, keeps it waiting until the agent says that it may run, and records it. follow is as Run has it.
func (t *Table) start(c *net.UnixConn, s *call.Start, files []*os.File) (follow func(), err error) {
	if err := t.Begin(s.ID); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			t.Abandon(s.ID)
			err = fmt.Errorf("start container %s: %w", s.ID, err)
		}
	}()
	owner, _ := s.Host(s.UID) // the request was checked
	var outR, outW *os.File
	var console string
	if s.System {
		outR, outW, console, err = openConsole(s.Base, s.Base+ttyGroup)
	} else {
		outR, outW, err = stdioPipe(owner)
	}
	if err != nil {
		return nil, err
	}
	defer outW.Close()
	errR, errW, err := stdioPipe(owner)
	if err != nil {
		outR.Close()
		return nil, err
	}
	defer errW.Close()
	child, err := t.hold(c, s, files, fork.StartFDs{Stdout: num(outW), Stderr: num(errW), Console: console})
	if err != nil {
		call.CloseAll([]*os.File{outR, errR})
		return nil, err
	}
	followed, kerr := t.Run(s, child, outR, errR)
	if kerr != nil {
		t.log.Error("a successor would not know this container", logging.Container, s.ID, logging.Err, kerr)
	}
	return func() {
		followed()
		t.log.Info("container started", logging.Container, s.ID, "pid", child.PID)
		t.forker.Replenish()
	}, nil
}

// ttyGroup is the group of terminals inside, as their devpts has it.
const ttyGroup = 5

// readyWithin is how long a caller may take to connect a container's network.
const readyWithin = time.Minute

// hold makes the process and gives its namespaces to the caller, who says when it may run.
func (t *Table) hold(c *net.UnixConn, s *call.Start, files []*os.File, fd fork.StartFDs) (*fork.Child, error) {
	fd.Lower, fd.Layer = num(files[1]), num(files[2])
	for _, f := range files[3:] {
		fd.Mounts = append(fd.Mounts, num(f))
	}
	fd.Mounts, fd.Handed = fd.Mounts[:len(s.Mounts)], fd.Mounts[len(s.Mounts):] // as many came as the request says
	held, err := t.forker.Hold(func(p *fork.Prog) { p.StartList(s, fd) }, num(files[0]), s.IDs, s.OOMAdjust)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err := held.Drop(); err != nil {
			t.log.Error("a process is left", logging.Container, s.ID, logging.Err, err)
		}
	}()
	err = call.Send(c, call.Reply{}, held.User, held.Net)
	call.CloseAll([]*os.File{held.User, held.Net})
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(readyWithin))
	var r call.Request
	more, err := call.Receive(c, &r)
	call.CloseAll(more)
	if err != nil {
		return nil, fmt.Errorf("wait for the word to run: %w", err)
	}
	if r.Go == nil {
		return nil, errors.New("wait for the word to run: got another message")
	}
	c.SetDeadline(time.Time{})
	return held.Go()
}

// num is a descriptor's number; the file must stay alive while it is used.
func num(f *os.File) int {
	n := -1
	if c, err := f.SyscallConn(); err == nil {
		c.Control(func(fd uintptr) { n = int(fd) })
	}
	return n
}

// stdioPipe is a pipe whose inode belongs to the container's user: it opens /dev/stdout again through /proc.
func stdioPipe(owner uint32) (r, w *os.File, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, fmt.Errorf("make stdio pipe: %v", err)
	}
	if err := errors.Join(unix.Fchown(p[0], int(owner), int(owner)), unix.SetNonblock(p[0], true)); err != nil {
		unix.Close(p[0])
		unix.Close(p[1])
		return nil, nil, fmt.Errorf("make stdio pipe: %v", err)
	}
	return os.NewFile(uintptr(p[0]), "output"), os.NewFile(uintptr(p[1]), "output"), nil
}

// exec runs a command and tells its end. A connection that is closed before kills it, and with it all that is in its own cgroup: whoever
// asked may be dead. After its end the cgroup is the caller's again.
func (t *Table) exec(c *net.UnixConn, e *call.Exec, files []*os.File) {
	var child *fork.Child
	err := t.With(e.ID, e.PID, func(pidfd *os.File) error {
		fd := fork.ExecFDs{PIDFD: num(pidfd), Stdin: num(files[1]), Stdout: num(files[2]), Stderr: num(files[3])}
		var err error
		child, err = t.forker.Start(func(p *fork.Prog) { p.ExecList(e, fd) }, num(files[0]), fd.PIDFD)
		return err
	})
	if err != nil {
		reply := call.Reply{Err: fmt.Sprintf("execute in container %s: %v", e.ID, err), Code: codeOf(err)}
		var fe *fork.Error
		if errors.As(err, &fe) && fe.Program() {
			reply.Exit = &call.Exit{Code: 126}
			if errors.Is(fe.Errno, unix.ENOENT) {
				reply.Exit.Code = 127
			}
		}
		call.Send(c, reply)
		return
	}
	call.CloseAll(files[1:])
	defer child.PIDFD.Close()
	var over atomic.Bool
	kill := func() {
		unix.PidfdSendSignal(num(child.PIDFD), unix.SIGKILL, nil, 0)
		if !e.Own {
			return
		}
		if err := killGroup(num(files[0])); err != nil {
			t.log.Warn("processes of a command may go on", logging.Container, e.ID, logging.Err, err)
		}
	}
	gone := make(chan struct{})
	go func() { // ends when the peer closes or this function closes the connection: see the wait below
		defer close(gone)
		var b [1]byte
		if n, _ := c.Read(b[:]); n == 0 && !over.Load() {
			kill()
		}
	}()
	if err := call.Send(c, call.Reply{PID: child.PID}); err != nil {
		kill()
	}
	code, _ := fork.ExitCode(child.PID)
	over.Store(true)
	call.Send(c, call.Reply{Exit: &call.Exit{Code: code}})
	c.CloseRead()
	<-gone
}

// killGroup kills all in the cgroup that dir is of, and below it (cgroup-v2, cgroup.kill).
func killGroup(dir int) error {
	fd, err := unix.Openat(dir, "cgroup.kill", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		_, err = unix.Write(fd, []byte("1"))
		unix.Close(fd)
	}
	if err != nil && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.ENOENT) { // else it is gone
		return fmt.Errorf("kill cgroup of command: %w", err)
	}
	return nil
}

// wait holds until a container ended after seq, the peer closes, or waitFor passes.
func (t *Table) wait(ctx context.Context, c *net.UnixConn, seq int64) ([]string, int64) {
	timer := time.NewTimer(waitFor)
	defer timer.Stop()
	gone := make(chan struct{})
	go func() { // a caller has nothing more to say: what can be read is its end, or makes no sense
		defer close(gone)
		c.Read(make([]byte, 1))
	}()
	defer func() { c.SetReadDeadline(time.Unix(1, 0)); <-gone }()
	for {
		ids, last, change := t.Since(seq)
		if len(ids) > 0 || seq > last {
			return ids, last
		}
		select {
		case <-change:
		case <-timer.C:
			return nil, last
		case <-gone:
			return nil, last
		case <-ctx.Done():
			return nil, last
		}
	}
}
