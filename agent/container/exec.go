package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/container/account"
	"hardnode.dev/agent/container/cgroup"
	"hardnode.dev/agent/container/command"
	"hardnode.dev/agent/container/profile"
	"hardnode.dev/agent/container/record"
	"hardnode.dev/agent/container/spec"
	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/agent/spawner/ring"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// Exec runs a command in a running container with the container's own confinement and waits for its end. The error is set when
// the session could not be set up; a program that can't be executed is Exit.Error with code 126 or 127. When ctx ends the
// process is killed, and with either end all that it started.
func (r *Runtime) Exec(ctx context.Context, id wire.CTID, want host.ExecSpec, stdio command.Stdio) (host.Exit, error) {
	if stdio.In != nil {
		defer stdio.In.Close()
	}
	if len(want.Argv) == 0 || want.Argv[0] == "" {
		return host.Exit{}, fmt.Errorf("execute in container %s: %w: no program is given", id, ErrInvalid)
	}
	rec, group, err := r.ready(ctx, id, want.TTY || want.User != "" || want.UID != 0)
	if err != nil {
		return host.Exit{}, err
	}
	had := false
	defer func() {
		if !had {
			group.End(ctx, true)
		}
	}()
	pr, err := profile.Of(rec.Container.Profile)
	if err != nil {
		return host.Exit{}, err
	}
	who, err := r.accountIn(ctx, id, rec, want)
	if err != nil {
		return host.Exit{}, fmt.Errorf("execute in container %s: %w", id, err)
	}
	who.Groups = slices.DeleteFunc(who.Groups, func(g uint32) bool { return !rec.Container.Image.Has(g) })
	for _, n := range []uint32{who.UID, who.GID} {
		if !rec.Container.Image.Has(n) {
			return host.Exit{}, fmt.Errorf("execute in container %s: %w: %v", id, ErrInvalid, spec.NoID(rec.Container.Image, n))
		}
	}
	want.UID, want.GID = who.UID, who.GID
	s := &command.Session{Stdio: stdio}
	if want.TTY {
		err = s.Terminal(rec.PID, rec.HostID(want.UID), want.Rows, want.Cols)
	} else {
		err = s.Pipes(rec.HostID(want.UID))
	}
	defer s.Close()
	if err != nil {
		return host.Exit{}, fmt.Errorf("execute in container %s: %w", id, err)
	}
	e := call.Exec{ID: id.String(), PID: rec.PID, TTY: want.TTY, Own: true, Beside: rec.Container.Profile != host.ProfileSystem,
		Process: pr.Command(rec.Container.Process, rec.Container.Hostname, want, who)}
	began := time.Now()
	had = true
	exit, err := r.spawn.Exec(ctx, e, s.Pump, group.File, s.Theirs[0], s.Theirs[1], s.Theirs[2])
	grace := command.DrainFor
	if s.Finish(ctx) || err != nil {
		grace = 0
	}
	empty := group.Await(ctx, grace)
	killed := r.oom.In(group, rec, began, exit.Code)
	if err != nil {
		group.Once() // the spawner may still be killing all in it
	}
	left := group.End(ctx, empty)
	var f *call.Failure
	switch {
	case errors.As(err, &f) && f.Code == call.CodeProgram:
		code := 126
		if strings.Contains(f.Text, unix.ENOENT.Error()) {
			code = 127
		}
		return host.Exit{Code: code, Error: f.Text}, nil
	case f != nil && strings.Contains(f.Text, unix.EAGAIN.Error()) && cgroup.ReadInt(r.cgroup(id), "pids.events", "max") > 0:
		return host.Exit{}, fmt.Errorf("execute in container %s: it has as many processes as it may have, %d: one of its programs makes "+
			"more and more, or the command came "+
			"at a bad moment; try again, or stop it", id, cgroup.ReadInt(r.cgroup(id), "pids.max", ""))
	case err != nil:
		return host.Exit{}, record.AsCaller(id, err)
	}
	out := host.Exit{Code: exit.Code}
	switch {
	case killed.Kills > 0:
		out.Note = killed.String()
	case left > 0:
		out.Note = fmt.Sprintf("the command left behind %s, which ended with its session: what shall go on is a service of the image",
			count(left))
	}
	return out, nil
}

// ready is a container that runs, and a cgroup for a command in it. When a cgroup is kept from an earlier command, the container has not
// been stopped since: it is the same process, or that has ended, which the spawner will say when it is asked to execute. With root set the
// spawner is asked first, since something is to be done in the root of the process: for a terminal, or to look a user up.
func (r *Runtime) ready(ctx context.Context, id wire.CTID, root bool) (record.Record, *command.Group, error) {
	g := r.groups.Take(id)
	if g != nil && !root {
		return g.Record, g, nil
	}
	rec, err := r.known.Running(ctx, id)
	switch {
	case err != nil && g != nil:
		g.End(ctx, true)
	case err == nil && g == nil:
		if g, err = r.groups.Make(id, rec); err != nil {
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

// accountIn is who a command runs as. A user is looked up in the root that the container has now; the home of a number is found there too.
func (r *Runtime) accountIn(ctx context.Context, id wire.CTID, rec record.Record, want host.ExecSpec) (account.Account, error) {
	who := account.Account{UID: want.UID, GID: want.GID, Home: "/"}
	if want.User == "" && want.UID == 0 {
		who.Home = "/root"
		return who, nil
	}
	root, err := os.OpenFile(fmt.Sprintf("/proc/%d/root", rec.PID), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return who, fmt.Errorf("open root of container: %w", err)
	}
	defer root.Close()
	if err := r.known.Same(ctx, id, rec); err != nil { // the number may have become another process's
		return who, err
	}
	mounts := len(rec.Container.Mounts) > 0 || rec.Damage != nil
	if want.User != "" {
		return account.Of(root, want.User, mounts)
	}
	if known, err := account.Of(root, strconv.FormatUint(uint64(want.UID), 10), mounts); err == nil {
		who.Home = known.Home
	}
	return who, nil
}

// LogTime is how a log's line begins when its time is asked for: RFC 3339 with microseconds, so that lines sort as text.
const LogTime = "2006-01-02T15:04:05.000000Z "

// Logs calls line for each kept line of the container's output, oldest first, then for new ones if Follow is set, until ctx ends.
func (r *Runtime) Logs(ctx context.Context, id wire.CTID, spec host.LogsSpec, line func(stderr bool, text []byte) error) error {
	if err := ring.Read(ctx, r.LogDir(id), spec.Tail, spec.Follow, func(l ring.Line) error {
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
