package view

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Facts of the protocol (linux/fuse.h).
const (
	maxRead      = 32 << 10 // bytes of one answer, which the mount promises too
	opInit       = 26
	notifyResend = 7
	version      = 7
	minor        = 28 // the layout of messages that the library speaks
	headerSize   = 40 // of a request
	replySize    = 16 // header of an answer
)

// workers are how many requests are answered at once. None waits for anything but the kernel.
const workers = 4

// Conn is a View at a descriptor of /dev/fuse.
type Conn struct {
	dev    *os.File
	server *fuse.ProtocolServer
	taken  atomic.Uint64         // requests
	asked  chan struct{}         // there is a value when requests came since the last one was taken
	began  [workers]atomic.Int64 // since when a worker is at a request, in nanoseconds of the wall clock; 0: it is not
}

// Open prepares a View at a descriptor that was mounted by somebody else: just now, or for a process before this one, whose open requests
// are sent again.
func Open(dev *os.File, v *View) (*Conn, error) {
	c := &Conn{dev: dev, asked: make(chan struct{}, 1)}
	c.server = fuse.NewProtocolServer(v, &fuse.MountOptions{MaxWrite: maxRead, IgnoreSecurityLabels: true,
		DisabledCapabilities: fuse.CAP_PASSTHROUGH | fuse.CAP_NO_OPEN_SUPPORT, Logger: log.New(io.Discard, "", 0),
		PanicHandler: func(any) fuse.Status { return fuse.EIO }})
	// The library believes in no request before the first. To a process that takes over the kernel says it no more: so it is said here, and
	// the kernel's own, where it comes, a second time.
	first := fuse.InitIn{Major: version, Minor: minor}
	first.Length, first.Opcode = uint32(unsafe.Sizeof(first)), opInit
	raw := unsafe.Slice((*byte)(unsafe.Pointer(&first)), unsafe.Sizeof(first))
	if n, status := c.server.HandleRequest([][]byte{raw}, [][]byte{make([]byte, 256)}); n == 0 || !status.Ok() {
		return nil, fmt.Errorf("begin: %v", status)
	}
	var resend [replySize]byte
	binary.NativeEndian.PutUint32(resend[:], replySize)
	binary.NativeEndian.PutUint32(resend[4:], notifyResend)
	if _, err := dev.Write(resend[:]); err != nil {
		return nil, fmt.Errorf("have open requests sent again: %w", err)
	}
	return c, nil
}

// Serve answers until ctx ends. That the file system is mounted nowhere any more is an error.
func (c *Conn) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { c.dev.SetReadDeadline(time.Now()) })
	defer stop()
	errs := make([]error, workers)
	var all sync.WaitGroup
	for i := range workers {
		all.Go(func() { errs[i] = c.work(ctx, &c.began[i]) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// work answers one request after the other.
func (c *Conn) work(ctx context.Context, began *atomic.Int64) error {
	in, out := make([]byte, maxRead+4096), make([]byte, maxRead+4096)
	for {
		n, err := c.dev.Read(in)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EINTR): // whoever asked has gone
			continue
		case errors.Is(err, unix.ENODEV):
			return errors.New("the file system is not mounted any more")
		case err != nil:
			return fmt.Errorf("read a request: %w", err)
		}
		c.taken.Add(1)
		select {
		case c.asked <- struct{}{}:
		default:
		}
		began.Store(time.Now().UnixNano())
		if reply := c.answer(in[:n], out); len(reply) > 0 {
			if _, err := c.dev.Write(reply); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) {
				return fmt.Errorf("answer a request: %w", err)
			}
		}
		began.Store(0)
	}
}

// answer is what is said to a request; nothing, where nothing is waited for.
func (c *Conn) answer(request, out []byte) []byte {
	n, status := c.server.HandleRequest([][]byte{request}, [][]byte{out})
	if n > 0 || status.Ok() || len(request) < headerSize {
		return out[:n]
	}
	refused := -int32(unix.EIO) // the library could not read it: the kernel waits all the same
	binary.NativeEndian.PutUint32(out, replySize)
	binary.NativeEndian.PutUint32(out[4:], uint32(refused))
	copy(out[8:replySize], request[8:16])
	return out[:replySize]
}

// Taken is how many requests there were.
func (c *Conn) Taken() uint64 { return c.taken.Load() }

// Asked gives a value when there were requests since it last did; one reader.
func (c *Conn) Asked() <-chan struct{} { return c.asked }

// Well tells whether no request has been at work for longer than most: none can take long.
func (c *Conn) Well(most time.Duration) bool {
	now := time.Now()
	for i := range c.began {
		if at := c.began[i].Load(); at != 0 && now.Sub(time.Unix(0, at)) > most {
			return false
		}
	}
	return true
}
