package view

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// bell tells that a request has come to a file that others read: who waits for it costs nothing until then. It is heard even where
// somebody else took the request at once.
type bell struct {
	file *os.File // of an epoll instance (epoll(7)), which the runtime waits for as for any file
	raw  syscall.RawConn
	dev  int
}

func newBell(dev *os.File) (*bell, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("wait for requests: %w", err)
	}
	unix.SetNonblock(fd, true) // or the runtime would read it in a thread
	b := &bell{file: os.NewFile(uintptr(fd), "requests"), dev: int(dev.Fd())}
	if b.raw, err = b.file.SyscallConn(); err == nil {
		err = unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, b.dev, &unix.EpollEvent{})
	}
	if err != nil {
		b.close()
		return nil, fmt.Errorf("wait for requests: %w", err)
	}
	return b, nil
}

// wait returns at the next request, at once when one waits already, or when ctx ends. late tells of one that came while the bell was being
// set.
func (b *bell) wait(ctx context.Context, late func() bool) error {
	defer context.AfterFunc(ctx, func() { b.file.SetReadDeadline(time.Unix(1, 0)) })()
	if err := b.listen(unix.EPOLLIN); err != nil {
		return err
	}
	looks := 0
	err := b.raw.Read(func(uintptr) bool {
		looks++
		return looks > 1 || late() // woken: the request may have been answered since
	})
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("wait for requests: %w", err)
	}
	return b.listen(0) // each further one would wake this program too
}

func (b *bell) listen(events uint32) error {
	var err error
	if cerr := b.raw.Control(func(fd uintptr) {
		err = unix.EpollCtl(int(fd), unix.EPOLL_CTL_MOD, b.dev, &unix.EpollEvent{Events: events})
	}); cerr != nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("wait for requests: %w", err)
	}
	return nil
}

func (b *bell) close() { b.file.Close() }
