// Package view keeps the file system of agent/procview mounted and its readers going, whatever becomes of the program that answers there.
//
// Owns: the mount at boot.ViewDir, its descriptor of /dev/fuse, the kernel's count of who waits there.
// In: the kernel's first request; whether the program is ready.
// Out: the descriptor for each process of the program; an error to whoever would else wait for one that does not come.
// Never: answers with anything but an error, or knows what the files are.
//
// A process that ends leaves its requests with the kernel, since the descriptor stays open here; the next one has them sent again. Who
// reads meanwhile waits, at most for patience and what a restart takes. Then it gets an error, until there is a process that answers.
package view

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Facts of the protocol (linux/fuse.h).
const (
	maxRead       = 32 << 10 // bytes of one answer
	opForget      = 2
	opInit        = 26
	opInterrupt   = 36
	opForgets     = 42
	notifyResend  = 7
	headerSize    = 40 // of a request
	replySize     = 16 // header of an answer
	initSize      = 64 // answer to the first request
	major, minor  = 7, 28
	maxPages      = 1 << 22 // flag: the answer says how many pages a read has at most
	parallelReads = 1<<0 | 1<<18
	readDirPlus   = 1 << 13 // a listing says of each name what a look at it says
)

// Conn is the mounted file system.
type Conn struct {
	Dev     *os.File       // of /dev/fuse: whoever has it can answer
	control *os.File       // the kernel's folder about it
	asks    chan time.Time // of one place
}

// Mount makes the file system and mounts it on dir, which is made.
func Mount(dir string) (*Conn, error) {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("mount the containers' view: %w", err)
	}
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/fuse: %w", err)
	}
	c := &Conn{Dev: os.NewFile(uintptr(fd), "/dev/fuse"), asks: make(chan time.Time, 1)}
	options := fmt.Sprintf("fd=%d,rootmode=40555,user_id=0,group_id=0,allow_other,default_permissions,max_read=%d", fd, maxRead)
	const tight = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("procview", dir, "fuse", tight, options); err != nil {
		c.Dev.Close()
		return nil, fmt.Errorf("mount the containers' view at %q: %w", dir, err)
	}
	if err := c.begin(dir); err != nil {
		unix.Unmount(dir, unix.MNT_DETACH)
		c.Dev.Close()
		return nil, fmt.Errorf("mount the containers' view at %q: %w", dir, err)
	}
	return c, nil
}

// begin answers the kernel's first request, which waits already, and opens its count of who waits.
func (c *Conn) begin(dir string) error {
	b := make([]byte, maxRead+4096)
	n, err := unix.Read(int(c.Dev.Fd()), b)
	if err != nil {
		return fmt.Errorf("read the first request: %w", err)
	}
	if n < headerSize || binary.NativeEndian.Uint32(b[4:]) != opInit {
		return errors.New("read the first request: it is another one")
	}
	if _, err := unix.Write(int(c.Dev.Fd()), hello(b)); err != nil {
		return fmt.Errorf("answer the first request: %w", err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	number, err := numberOf(string(mounts), dir)
	if err != nil {
		return err
	}
	c.control, err = openControl(number)
	return err
}

// hello is the answer to the first request.
func hello(request []byte) []byte {
	b := make([]byte, 0, replySize+initSize)
	b = binary.NativeEndian.AppendUint32(b, replySize+initSize)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = append(b, request[8:16]...)
	for _, v := range []uint32{major, minor, 0, maxPages | parallelReads | readDirPlus, 12<<16 | 16, maxRead, 1, maxRead / 4096} {
		b = binary.NativeEndian.AppendUint32(b, v) // the fifth: 16 in the background, 12 are many; the last: pages
	}
	return b[:replySize+initSize]
}

// numberOf finds the kernel's number of the file system that is mounted on dir (proc_pid_mountinfo(5)).
func numberOf(mountinfo, dir string) (number uint64, err error) {
	err = fmt.Errorf("nothing is mounted on %q", dir)
	for line := range strings.Lines(mountinfo) {
		f := strings.Fields(line)
		if len(f) < 5 || f[4] != dir {
			continue
		}
		_, minor, _ := strings.Cut(f[2], ":")
		number, err = strconv.ParseUint(minor, 10, 32) // the last one is on top
	}
	return number, err
}

// openControl opens the kernel's folder about a connection, by a mount that is attached nowhere.
func openControl(number uint64) (*os.File, error) {
	fs, err := unix.Fsopen("fusectl", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open the control file system: %w", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, fmt.Errorf("make the control file system: %w", err)
	}
	m, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("mount the control file system: %w", err)
	}
	defer unix.Close(m)
	fd, err := unix.Openat(m, strconv.FormatUint(number, 10), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the connection in the control file system: %w", err)
	}
	return os.NewFile(uintptr(fd), "control"), nil
}

// Asks gives a value each look while somebody waits for an answer: since when there has been somebody at each look.
func (c *Conn) Asks() <-chan time.Time { return c.asks }

// waiting tells whether somebody waits for an answer.
func (c *Conn) waiting() bool {
	fd, err := unix.Openat(int(c.control.Fd()), "waiting", unix.O_RDONLY|unix.O_CLOEXEC, 0) // it can be read once
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var b [24]byte
	n, err := unix.Read(fd, b[:])
	return err == nil && strings.TrimSpace(string(b[:max(n, 0)])) != "0"
}

const (
	// patience is how long who reads may wait for a program that is not ready.
	patience = 250 * time.Millisecond
	// look is how often that is looked at while somebody reads.
	look = 100 * time.Millisecond
	// unheard is how long a request may wait that was taken from the kernel in the moment before init would have heard of it, by a program
	// that then hangs while nobody else reads.
	unheard = 5 * time.Second
)

// StandIn answers with an error where there is no program that is ready, until ctx ends: a task. As long as nobody reads, it sleeps.
func (c *Conn) StandIn(ctx context.Context, ready func() bool) error {
	b, err := newBell(c.Dev)
	if err != nil {
		return err
	}
	defer b.close()
	tick := time.NewTicker(look)
	tick.Stop()
	defer tick.Stop()
	var (
		away  time.Time    // since when no program is known to be ready; zero: there is one
		since = time.Now() // since when somebody has waited at each look
	)
	for first, looked := true, since; ; {
		asked := c.waiting()
		if !asked {
			if err := b.wait(ctx, unheard, c.waiting); err != nil || ctx.Err() != nil {
				return err
			}
			tick.Reset(look)
			asked, since = c.waiting(), time.Now() // it may have been answered already
		}
		if time.Since(looked) > patience { // nobody knows what was meanwhile
			away, since, first = time.Time{}, time.Now(), true
		}
		if asked {
			select {
			case c.asks <- since:
			default: // the one before is not taken yet
			}
		}
		switch {
		case ready():
			away, first = time.Time{}, true
		case away.IsZero():
			away = time.Now()
		case time.Since(away) >= patience:
			if first {
				c.resend()
				first = false
			}
			if err := c.refuse(); err != nil {
				return err
			}
		}
		looked = time.Now()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// resend gives what a process took and did not answer to whoever reads next.
func (c *Conn) resend() {
	var b [replySize]byte
	binary.NativeEndian.PutUint32(b[:], replySize)
	binary.NativeEndian.PutUint32(b[4:], notifyResend)
	unix.Write(int(c.Dev.Fd()), b[:]) // a kernel that can't has nothing to give
}

// refuse answers all that waits now with an error.
func (c *Conn) refuse() error {
	fd := int(c.Dev.Fd())
	if err := unix.SetNonblock(fd, true); err != nil {
		return fmt.Errorf("read without waiting: %w", err)
	}
	b := make([]byte, maxRead+4096)
	for {
		n, err := unix.Read(fd, b)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ENOENT):
			continue
		case err != nil:
			return fmt.Errorf("read what waits for the containers' view: %w", err)
		}
		if reply := refusal(b[:n]); reply != nil {
			unix.Write(fd, reply) // who asked may have gone
		}
	}
}

// refusal is the answer to a request that nobody can answer; nil, where none is waited for.
func refusal(request []byte) []byte {
	if len(request) < headerSize {
		return nil
	}
	switch binary.NativeEndian.Uint32(request[4:]) {
	case opForget, opForgets, opInterrupt:
		return nil
	}
	code := -int32(unix.EIO)
	b := make([]byte, replySize)
	binary.NativeEndian.PutUint32(b, replySize)
	binary.NativeEndian.PutUint32(b[4:], uint32(code))
	copy(b[8:], request[8:16])
	return b
}
