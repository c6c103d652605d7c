// Package ready hears from full OSes that they have booted: the receiving end of sd_notify(3) as systemd's container interface has it.
//
// Owns: one socket for each container that has said nothing yet.
// In: datagrams of a container, where anybody may be the sender.
// Out: whether its first process has said READY=1.
// Never: believes any other process, waits for a container, or takes one whose socket is not its own for one that boots.
package ready

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
)

// Board is the sockets of all containers that boot. Make it with Open; its methods may be called at once.
type Board struct {
	dir   string
	log   *slog.Logger
	first func(pid int) bool // tells whether a process is the first of its namespace

	mu struct {
		sync.Mutex
		open map[wire.CTID]int // sockets of those that boot
	}
}

// Open makes the directory of the sockets. Those that an earlier agent left are nobody's: what boots then is not waited for.
func Open(dir string, log *slog.Logger) (*Board, error) {
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)); err != nil {
		return nil, fmt.Errorf("make directory of notify sockets: %w", err)
	}
	b := &Board{dir: dir, log: logging.Or(log), first: firstOfIts}
	b.mu.open = map[wire.CTID]int{}
	return b, nil
}

// Listen makes a container's socket anew, and gives its path. Until its first process says READY=1, the container Boots.
func (b *Board) Listen(id wire.CTID) (path string, err error) {
	b.Drop(id)
	path = filepath.Join(b.dir, id.String())
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return "", fmt.Errorf("make notify socket: %w", err)
	}
	if err := errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1), unix.Bind(fd, &unix.SockaddrUnix{Name: path}),
		os.Chmod(path, 0o666)); err != nil { // whoever sends needs to write to it; the directory is closed to all but the container's mount
		unix.Close(fd)
		return "", fmt.Errorf("make notify socket: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.open[id] = fd
	return path, nil
}

// Drop ends the wait for a container.
func (b *Board) Drop(id wire.CTID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(id)
}

func (b *Board) drop(id wire.CTID) {
	if fd, ok := b.mu.open[id]; ok {
		unix.Close(fd)
		os.Remove(filepath.Join(b.dir, id.String()))
		delete(b.mu.open, id)
	}
}

// Boots tells whether a container's first process has yet to say that it is ready.
func (b *Board) Boots(id wire.CTID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, ok := b.mu.open[id]
	return ok && !b.heard(id)
}

// look is how often Run asks whether there is a socket to listen to, breath how long it lets others work once it has read something: one
// that floods its socket gets no more of this host than that.
const (
	look   = 100 * time.Millisecond
	breath = 5 * time.Millisecond
)

// Run calls told when a container has become ready, until ctx ends. It reads at once what comes: a socket holds ten messages, newer systemd
// tells of each target, and its first process waits until there is room.
func (b *Board) Run(ctx context.Context, told func(wire.CTID)) error {
	for ctx.Err() == nil {
		ids, sockets := b.booting()
		if len(ids) == 0 {
			run.Wait(ctx, look)
			continue
		}
		if n, err := unix.Poll(sockets, int(look.Milliseconds())); err != nil || n == 0 {
			run.Wait(ctx, breath)
			continue
		}
		for _, id := range ids {
			if !b.Boots(id) {
				told(id)
			}
		}
		run.Wait(ctx, breath)
	}
	return nil
}

func (b *Board) booting() (list []wire.CTID, sockets []unix.PollFd) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, fd := range b.mu.open {
		list, sockets = append(list, id), append(sockets, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	return list, sockets
}

// atOnce is how many messages of one container are read at once: one that floods its socket is not listened to for ever.
const atOnce = 64

// heard reads what came; the lock is held.
func (b *Board) heard(id wire.CTID) bool {
	buf, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(unix.SizeofUcred))
	for range atOnce {
		n, oobn, _, _, err := unix.Recvmsg(b.mu.open[id], buf, oob, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
		if err != nil {
			return false
		}
		if pid := sender(oob[:oobn]); says(buf[:n]) && pid != 0 && b.first(pid) {
			b.log.Info("container is ready", logging.Container, id)
			b.drop(id)
			return true
		}
	}
	return false
}

// says tells whether a message has the line READY=1.
func says(msg []byte) bool {
	for line := range bytes.SplitSeq(msg, []byte("\n")) {
		if string(line) == "READY=1" {
			return true
		}
	}
	return false
}

// sender is the process that the kernel says a message is of (unix(7), SCM_CREDENTIALS); 0 if it does not say. Descriptors that came
// beside it are closed.
func sender(oob []byte) (pid int) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0
	}
	for _, m := range msgs {
		if c, err := unix.ParseUnixCredentials(&m); err == nil {
			pid = int(c.Pid)
		}
		if fds, err := unix.ParseUnixRights(&m); err == nil {
			for _, fd := range fds {
				unix.Close(fd)
			}
		}
	}
	return pid
}

// firstOfIts tells whether a process is the first of a namespace right below this one's (proc_pid_status(5), NSpid): a container that makes
// namespaces of its own has a first process in each.
func firstOfIts(pid int) bool {
	f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return false
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if list, ok := strings.CutPrefix(s.Text(), "NSpid:"); ok {
			n := strings.Fields(list)
			return len(n) == 2 && n[1] == "1"
		}
	}
	return false
}
