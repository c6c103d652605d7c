package view

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// bell tells that a request has come to a file that others read: who waits for it costs nothing until then. One that somebody else takes
// at the same moment may not be heard.
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
	if b.raw, err = b.file.SyscallConn(); err != nil {
		b.close()
		return nil, fmt.Errorf("wait for requests: %w", err)
	}
	return b, nil
}

// wait returns at the next request, after most, or when ctx ends; at once where late says so, which tells of a request that came before the
// bell was set.
func (b *bell) wait(ctx context.Context, most time.Duration, late func() bool) error {
	b.file.SetReadDeadline(time.Now().Add(most))
	defer context.AfterFunc(ctx, func() { b.file.SetReadDeadline(time.Unix(1, 0)) })()
	if err := b.listen(unix.EPOLL_CTL_ADD); err != nil {
		return err
	}
	defer b.listen(unix.EPOLL_CTL_DEL) // each further request would wake this program too
	looks := 0
	err := b.raw.Read(func(uintptr) bool {
		looks++
		return looks > 1 || late() // woken: the request may have been answered since
	})
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("wait for requests: %w", err)
	}
	return nil
}

func (b *bell) listen(op int) error {
	var err error
	if cerr := b.raw.Control(func(fd uintptr) {
		err = unix.EpollCtl(int(fd), op, b.dev, &unix.EpollEvent{Events: unix.EPOLLIN})
	}); cerr != nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("wait for requests: %w", err)
	}
	return nil
}

func (b *bell) close() { b.file.Close() }
