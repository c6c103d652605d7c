package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/agent/spawner/ring"
	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// Exec runs a command in a running container with the container's own confinement and waits for its end. The error is set when
// the session could not be set up; a program that can't be executed is Exit.Error with code 126 or 127. When ctx ends the
// process is killed, and with either end all that it started.
func (r *Runtime) Exec(ctx context.Context, id wire.CTID, spec host.ExecSpec, stdio Stdio) (host.Exit, error) {
	if stdio.In != nil {
		defer stdio.In.Close()
	}
	if len(spec.Argv) == 0 || spec.Argv[0] == "" {
		return host.Exit{}, fmt.Errorf("execute in container %s: %w: no program is given", id, ErrInvalid)
	}
	rec, group, err := r.ready(ctx, id, spec.TTY || spec.User != "" || spec.UID != 0)
	if err != nil {
		return host.Exit{}, err
	}
	had := false
	defer func() {
		if !had {
			group.end(ctx, true)
		}
	}()
	pr, err := profileOf(rec.Container.Profile)
	if err != nil {
		return host.Exit{}, err
	}
	who, err := r.accountIn(ctx, id, rec, spec)
	if err != nil {
		return host.Exit{}, fmt.Errorf("execute in container %s: %w", id, err)
	}
	who.groups = slices.DeleteFunc(who.groups, func(g uint32) bool { return !rec.Container.Image.Has(g) })
	for _, n := range []uint32{who.uid, who.gid} {
		if !rec.Container.Image.Has(n) {
			return host.Exit{}, fmt.Errorf("execute in container %s: %w: %v", id, ErrInvalid, noID(rec.Container.Image, n))
		}
	}
	spec.UID, spec.GID = who.uid, who.gid
	s := &session{Stdio: stdio}
	if spec.TTY {
		err = s.terminal(rec, spec)
	} else {
		err = s.pipes(rec.hostID(spec.UID))
	}
	defer s.close()
	if err != nil {
		return host.Exit{}, fmt.Errorf("execute in container %s: %w", id, err)
	}
	e := call.Exec{ID: id.String(), PID: rec.PID, TTY: spec.TTY, Own: true, Beside: rec.Container.Profile != host.ProfileSystem,
		Process: pr.command(rec.Container.Process, rec.Container.Hostname, spec, who)}
	began := time.Now()
	had = true
	exit, err := r.spawn.Exec(ctx, e, s.pump, group.f, s.theirs[0], s.theirs[1], s.theirs[2])
	grace := drainFor
	if s.finish() || err != nil {
		grace = 0
	}
	empty := group.await(ctx, grace)
	killed := r.outOfMemoryIn(group, rec, began, exit.Code)
	group.again = group.again && err == nil // else the spawner may still be killing all in it
	left := group.end(ctx, empty)
	var f *call.Failure
	switch {
	case errors.As(err, &f) && f.Code == call.CodeProgram:
		code := 126
		if strings.Contains(f.Text, unix.ENOENT.Error()) {
			code = 127
		}
		return host.Exit{Code: code, Error: f.Text}, nil
	case f != nil && strings.Contains(f.Text, unix.EAGAIN.Error()) && readInt(r.cgroup(id), "pids.events", "max") > 0:
		return host.Exit{}, fmt.Errorf("execute in container %s: it has as many processes as it may have, %d: one of its programs makes more and more, or the command came "+
			"at a bad moment; try again, or stop it", id, readInt(r.cgroup(id), "pids.max", ""))
	case err != nil:
		return host.Exit{}, asCaller(id, err)
	}
	out := host.Exit{Code: exit.Code}
	switch {
	case killed.Kills > 0:
		out.Note = killed.String()
	case left > 0:
		out.Note = fmt.Sprintf("the command left behind %s, which ended with its session: what shall go on is a service of the image", count(left))
	}
	return out, nil
}

// ready is a container that runs, and a cgroup for a command in it. Is the one kept that was made for an earlier command, the container has
// not been stopped since: it is the process it was, or has ended, and the spawner, which will be asked, says so. It is asked before when root
// is set: something is to be done in the root of the process, for a terminal or a user.
func (r *Runtime) ready(ctx context.Context, id wire.CTID, root bool) (record, *group, error) {
	g := r.takeSpare(id)
	if g != nil && !root {
		return g.rec, g, nil
	}
	rec, err := r.running(ctx, id)
	switch {
	case err != nil && g != nil:
		g.end(ctx, true)
	case err == nil && g == nil:
		if g, err = r.makeGroup(id, rec); err != nil {
			err = fmt.Errorf("execute in container %s: %w", id, err)
		}
	}
	return rec, g, err
}

func count(processes int) string {
	if processes == 1 {
		return "1 process"
	}
	return strconv.Itoa(processes) + " processes"
}

// accountIn is who a command runs as: a user is looked up in the root that the container has now, a number has its home from there.
func (r *Runtime) accountIn(ctx context.Context, id wire.CTID, rec record, spec host.ExecSpec) (account, error) {
	who := account{uid: spec.UID, gid: spec.GID, home: "/"}
	if spec.User == "" && spec.UID == 0 {
		who.home = "/root"
		return who, nil
	}
	root, err := os.OpenFile(fmt.Sprintf("/proc/%d/root", rec.PID), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return who, fmt.Errorf("open root of container: %w", err)
	}
	defer root.Close()
	if err := r.same(ctx, id, rec); err != nil { // the number may have become another process's
		return who, err
	}
	if spec.User != "" {
		return accountOf(root, spec.User)
	}
	if known, err := accountOf(root, strconv.FormatUint(uint64(spec.UID), 10)); err == nil {
		who.home = known.home
	}
	return who, nil
}

// session is the descriptors of one Exec.
type session struct {
	Stdio
	theirs [3]*os.File // the command's ends
	ours   [3]*os.File // this side's: to write stdin, to read stdout and stderr; with a terminal the first two are one
	output sync.WaitGroup
	input  sync.WaitGroup
	stop   chan struct{}
	flow   [2]flow // of stdout and stderr
}

func (s *session) pipes(owner uint32) error {
	for i := range 3 {
		if i == 0 && s.In == nil {
			f, err := os.Open(os.DevNull)
			if err != nil {
				return err
			}
			s.theirs[0] = f
			continue
		}
		var p [2]int
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			return fmt.Errorf("make pipe: %w", err)
		}
		mine, their := 0, 1
		if i == 0 {
			mine, their = 1, 0
		}
		unix.SetNonblock(p[mine], true)
		s.ours[i], s.theirs[i] = os.NewFile(uintptr(p[mine]), "session"), os.NewFile(uintptr(p[their]), "session")
		if err := unix.Fchown(p[their], int(owner), int(owner)); err != nil {
			return fmt.Errorf("hand over pipe: %w", err)
		}
	}
	return nil
}

// hostID is the host's id for one that the container has.
func (r record) hostID(id uint32) uint32 {
	on, _ := call.IDs{Base: r.UIDBase, Blocks: r.Container.Image.IDBlocks}.Host(id)
	return on
}

func (s *session) terminal(rec record, spec host.ExecSpec) error {
	root, err := os.OpenFile(fmt.Sprintf("/proc/%d/root", rec.PID), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return fmt.Errorf("open root of container: %w", err)
	}
	defer root.Close()
	master, slave, err := sys.OpenPTY(root, rec.hostID(spec.UID))
	if err != nil {
		return err
	}
	s.ours[0], s.ours[1] = master, master
	s.theirs = [3]*os.File{slave, slave, slave}
	if spec.Rows > 0 && spec.Cols > 0 {
		return sys.ResizePTY(master, spec.Rows, spec.Cols)
	}
	return nil
}

// pump starts carrying bytes; the command runs now and holds its own ends.
func (s *session) pump() {
	s.closeTheirs()
	s.stop = make(chan struct{})
	var turn sync.Mutex
	for i, to := range []io.Writer{s.Out, s.Err} {
		from := s.ours[i+1]
		if from == nil {
			continue
		}
		if to == nil {
			to = io.Discard
		}
		out := &inTurn{mu: &turn, to: to}
		s.output.Go(func() { s.flow[i].copy(out, from) })
	}
	if s.In != nil && s.ours[0] != nil {
		s.input.Go(func() {
			io.Copy(s.ours[0], s.In)
			if s.ours[0] != s.ours[1] {
				s.ours[0].Close()
			}
		})
	}
	if s.Resize != nil && s.ours[0] == s.ours[1] {
		s.input.Go(func() {
			for {
				select {
				case size, ok := <-s.Resize:
					if !ok {
						return
					}
					sys.ResizePTY(s.ours[0], size[0], size[1])
				case <-s.stop:
					return
				}
			}
		})
	}
}

// inTurn lets stdout and stderr go to one writer.
type inTurn struct {
	mu *sync.Mutex
	to io.Writer
}

func (w *inTurn) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(b)
}

// flow is one stream of output on its way.
type flow struct {
	mu struct {
		sync.Mutex
		writing bool      // the receiver has not taken all yet
		over    bool      // nothing more comes
		last    time.Time // something was read or taken
	}
}

// copy goes on reading when the receiver is gone, so that the command is not stopped by a full pipe.
func (f *flow) copy(to io.Writer, from io.Reader) {
	buf := make([]byte, host.MaxFrame)
	f.set(false)
	for {
		n, err := from.Read(buf)
		f.set(true)
		if _, werr := to.Write(buf[:n]); werr != nil {
			to = io.Discard
		}
		f.set(false)
		if err != nil {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.mu.over = true
			return
		}
	}
}

func (f *flow) over() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.over
}

func (f *flow) set(writing bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.writing, f.mu.last = writing, time.Now()
}

// idle is how long nothing has been there to carry; 0 while the receiver is taking something, however slow it is.
func (f *flow) idle(now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.writing || f.mu.last.IsZero() {
		return 0
	}
	return now.Sub(f.mu.last)
}

// finish waits for the last output and lets go of the input. It tells whether somebody still holds the output.
func (s *session) finish() (left bool) {
	if s.stop == nil {
		return false // never pumped
	}
	close(s.stop)
	s.closeTheirs()
	left = s.drain()
	if s.In != nil {
		s.In.Close()
	}
	s.close()
	s.input.Wait()
	return left
}

func (s *session) closeTheirs() {
	for i, f := range s.theirs {
		if f != nil && (i == 0 || f != s.theirs[0]) {
			f.Close()
		}
	}
	s.theirs = [3]*os.File{}
}

func (s *session) close() {
	s.closeTheirs()
	for _, f := range s.ours {
		if f != nil {
			f.Close() // a second Close is an error nobody needs
		}
	}
}

// LogTime is how a log's line begins when its time is asked for: RFC 3339 with microseconds, so that lines sort as text.
const LogTime = "2006-01-02T15:04:05.000000Z "

// Logs calls line for each kept line of the container's output, oldest first, then for new ones if Follow is set, until ctx ends.
func (r *Runtime) Logs(ctx context.Context, id wire.CTID, spec host.LogsSpec, line func(stderr bool, text []byte) error) error {
	if err := ring.Read(ctx, r.logDir(id), spec.Tail, spec.Follow, func(l ring.Line) error {
		if l.Time.Before(spec.Since) {
			return nil
		}
		return line(l.Stream != ring.Stdout, logText(l, spec))
	}); err != nil {
		return fmt.Errorf("read log of container %s: %w", id, err)
	}
	return nil
}

// logText is a line as it was asked for.
func logText(l ring.Line, spec host.LogsSpec) []byte {
	if !spec.Times {
		return l.Text
	}
	return append(l.Time.UTC().AppendFormat(nil, LogTime), l.Text...)
}

// drain waits for the output's end: as long as the receiver takes for what there is, but not for a background child of the command that
// holds the pipe open and writes nothing. Then it is true.
func (s *session) drain() (left bool) {
	all := make(chan struct{})
	go func() { s.output.Wait(); close(all) }()
	t := time.NewTicker(drainFor / 10)
	defer t.Stop()
	for {
		select {
		case <-all:
			return left
		case now := <-t.C:
			open, quiet := 0, 0
			for i, f := range s.ours[1:] {
				if f == nil || s.flow[i].over() {
					continue
				}
				open++
				if s.flow[i].idle(now) > drainFor && !pending(f) {
					quiet++
				}
			}
			if open == 0 || quiet < open || left { // with none open, all comes at once
				continue
			}
			left = true
			for _, f := range s.ours[1:] {
				if f != nil {
					f.Close() // ends the reads
				}
			}
		}
	}
}

// pending tells whether a reader of f would get something, or learn of its end, at once: on a busy host the reader may not have had its turn.
func pending(f *os.File) bool {
	c, err := f.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	err = c.Control(func(fd uintptr) {
		n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	})
	return err == nil && n > 0
}

// drainFor is how long nothing may come, after the command has ended, from one who holds its output.
const drainFor = 500 * time.Millisecond
