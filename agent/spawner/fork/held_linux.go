package fork

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/spawner/call"
)

// Held is a child in namespaces of its own that waits for Go before it does anything. Whoever holds it ends it by Go or Drop; if this
// process dies, the child ends by itself.
type Held struct {
	User, Net *os.File // its user and network namespaces; the caller closes them

	f            *Forker
	list         *list
	pid          int
	status, gate *os.File
	spare        *spare // that made it
}

// Hold clones a child into cgroup and new namespaces of every kind. The user namespace maps ids and owns the others; the
// child's oom_score_adj is oomAdjust. The list that build makes must begin with a gate.
func (f *Forker) Hold(build func(*Prog), cgroup int, ids call.IDs, oomAdjust int) (h *Held, err error) {
	gateR, gateW, err := pipe("gate")
	if err != nil {
		return nil, err
	}
	defer gateR.Close()
	h = &Held{f: f, gate: gateW, list: f.list()}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.Drop())
		}
	}()
	build(h.list.Prog)
	if h.list.ops[1].kind != kindGate {
		panic("BUG: list of a held child does not begin with its gate")
	}
	h.list.ops[1].a[0] = gateR.Fd()
	h.list.use(int(gateR.Fd()))
	args := cloneArgs{flags: unix.CLONE_INTO_CGROUP | unix.CLONE_NEWNS | unix.CLONE_NEWPID, cgroup: uint64(cgroup)}
	if s := f.takeSpare(); s != nil {
		h.spare = s
		if err := s.adapt(ids, oomAdjust); err != nil { // its clone has what it has
			return h, err
		}
		if h.pid, h.status, err = f.begin(h.list, args, none, s.clone); err != nil {
			return h, err
		}
		h.User, h.Net = s.user, s.net
		s.user, s.net = nil, nil
		return h, nil
	}
	args.flags |= ahead
	if h.pid, h.status, err = f.begin(h.list, args, none, f.clone); err != nil {
		return h, err
	}
	if err := adapt(h.pid, ids, oomAdjust); err != nil {
		return h, err
	}
	h.User, h.Net, err = namespaces(h.pid)
	return h, err
}

// adapted are the files of a process in which its ids and its oom_score_adj are set.
var adapted = []string{"uid_map", "gid_map", "oom_score_adj"}

// adapt maps the ids of a child's user namespace. Nobody else reaps the child, so the number stays its own.
func adapt(pid int, ids call.IDs, oomAdjust int) error {
	files, err := openAdapted(pid)
	if err != nil {
		return err
	}
	defer call.CloseAll(files)
	return adaptBy(files, ids, oomAdjust)
}

func openAdapted(pid int) (files []*os.File, err error) {
	for _, name := range adapted {
		fd, err := unix.Open(fmt.Sprintf("/proc/%d/%s", pid, name), unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			call.CloseAll(files)
			return nil, fmt.Errorf("open %s of child: %w", name, err)
		}
		files = append(files, os.NewFile(uintptr(fd), name))
	}
	return files, nil
}

func adaptBy(files []*os.File, ids call.IDs, oomAdjust int) error {
	for i, text := range []string{ids.Map(), ids.Map(), fmt.Sprint(oomAdjust)} {
		if _, err := files[i].WriteString(text); err != nil {
			return fmt.Errorf("set %s of child: %w", adapted[i], err)
		}
	}
	return nil
}

// namespaces opens those of a child that whoever starts a container works on.
func namespaces(pid int) (user, net *os.File, err error) {
	if user, err = os.Open(fmt.Sprintf("/proc/%d/ns/user", pid)); err != nil {
		return nil, nil, fmt.Errorf("open user namespace: %w", err)
	}
	if net, err = os.Open(fmt.Sprintf("/proc/%d/ns/net", pid)); err != nil {
		user.Close()
		return nil, nil, fmt.Errorf("open network namespace: %w", err)
	}
	return user, net, nil
}

// Go lets the child run its list and returns when execve succeeded.
func (h *Held) Go() (*Child, error) {
	_, err := h.gate.Write([]byte{1})
	h.gate.Close()
	h.gate = nil
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open gate of child: %w", err), h.Drop())
	}
	defer h.release()
	status := h.status
	h.status = nil
	child, err := finish(h.list.Prog, h.pid, status)
	if err == nil && h.spare != nil {
		h.f.spend(h.spare)
		h.spare = nil
	}
	return child, err
}

func (h *Held) release() {
	if h.list != nil {
		h.f.release(h.list)
		h.list = nil
	}
}

// Drop ends a child that was not let go, and waits for its end. After Go has succeeded it does nothing.
func (h *Held) Drop() error {
	defer h.release()
	if h.spare != nil {
		h.spare.end()
		h.spare = nil
	}
	if h.gate != nil {
		h.gate.Close()
		h.gate = nil
	}
	if h.status == nil {
		return nil
	}
	h.status.Close()
	h.status = nil
	if err := unix.Kill(h.pid, unix.SIGKILL); err != nil {
		return fmt.Errorf("end child %d: %w", h.pid, err)
	}
	reap(h.pid)
	return nil
}

func pipe(name string) (r, w *os.File, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, fmt.Errorf("make %s pipe: %w", name, err)
	}
	return os.NewFile(uintptr(p[0]), name), os.NewFile(uintptr(p[1]), name), nil
}
