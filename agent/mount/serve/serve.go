// Package serve answers another host that mounts a volume of this one.
//
// Owns: the files that the other side has open, the answers that it may ask for again.
// In: requests of a stream (agent/mount/message) whose sender is known, and is believed in nothing but which of its users asks.
// Out: answers; changes in the volume's subvolume, of the owner that was said.
// Never: opens what is no regular file or directory, follows a link, leaves the subvolume, makes a device, or holds more than a bounded
// number of files. Whether a user may do something the mounting kernel asks itself: it has all the files' owners and modes.
package serve

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/mount/message"
)

// Bounds of one session.
const (
	atOnce     = 16   // requests that are answered at once
	maxFiles   = 1024 // files that are open
	remembered = 512  // answers that can be asked for again
)

// Session is what one mount has here, over all its connections. Make one with NewSession.
type Session struct {
	v        *Volume
	readOnly bool
	boot     uint32 // names this run of the machine: what is written before a power cut may be lost after it

	mu struct {
		sync.Mutex
		open    map[uint64]opened
		next    uint32
		running map[uint64]chan struct{}
		done    map[uint64][]byte
		order   []uint64 // of done
	}
}

type opened struct {
	node uint64
	f    *os.File
}

// NewSession begins a mount's session. boot names this run of the machine.
func NewSession(v *Volume, readOnly bool, boot uint32) *Session {
	s := &Session{v: v, readOnly: readOnly, boot: boot}
	s.mu.open, s.mu.running, s.mu.done = map[uint64]opened{}, map[uint64]chan struct{}{}, map[uint64][]byte{}
	s.mu.next = rand.Uint32()
	return s
}

// Close ends it: its files are closed.
func (s *Session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.mu.open {
		o.f.Close()
	}
	clear(s.mu.open)
	return s.v.Close()
}

// Gone tells whether the volume was deleted, or another one put in its place.
func (s *Session) Gone() bool {
	var st unix.Stat_t
	fd, errno := s.v.at(message.Root, &st)
	if errno == 0 {
		unix.Close(fd)
	}
	return errno != 0
}

// Serve answers one connection's requests until it or ctx ends.
func (s *Session) Serve(ctx context.Context, conn net.Conn) error {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	var all sync.WaitGroup
	defer all.Wait()
	defer conn.Close()
	var sending sync.Mutex
	send := func(b []byte) {
		sending.Lock()
		defer sending.Unlock()
		if _, err := conn.Write(b); err != nil {
			conn.Close() // the reader sees it
		}
	}
	places := make(chan struct{}, atOnce)
	buffers := sync.Pool{New: func() any { return new([message.Max]byte) }}
	for {
		in := buffers.Get().(*[message.Max]byte)
		raw, err := message.ReadOne(conn, in[:], message.RequestAt)
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		r, err := message.ParseRequest(raw)
		if err != nil {
			return err
		}
		if r.Op == message.Ping {
			buffers.Put(in)
			send(message.Answer(0, 0, nil))
			continue
		}
		places <- struct{}{}
		all.Go(func() {
			out := buffers.Get().(*[message.Max]byte)
			send(s.Answer(r, out[:message.AnswerAt]))
			buffers.Put(out)
			buffers.Put(in)
			<-places
		})
	}
}

// Answer is what is said to a request; out has room for all of it behind the header. One that comes again gets the answer of its first
// time, if doing it twice would be something else.
func (s *Session) Answer(r message.Request, out []byte) []byte {
	o, known := ops[r.Op]
	if !known {
		return message.Finish(out, r.Unique, unix.ENOSYS)
	}
	n := r.Number()
	for {
		s.mu.Lock()
		if b, done := s.mu.done[n]; done {
			s.mu.Unlock()
			return message.Finish(append(out[:0], b...), r.Unique, errnoOf(b))
		}
		before, runs := s.mu.running[n]
		if !runs {
			break
		}
		s.mu.Unlock()
		<-before
	}
	over := make(chan struct{})
	s.mu.running[n] = over
	s.mu.Unlock()

	c := &call{s: s, v: s.v, r: r, out: out}
	errno := c.parse(o)
	if errno == 0 && o.changes && s.readOnly {
		errno = unix.EROFS
	}
	if errno == 0 {
		errno = o.run(c)
	}
	b := message.Finish(c.out, r.Unique, errno)

	s.mu.Lock()
	defer s.mu.Unlock()
	if o.once {
		s.remember(n, b)
	}
	delete(s.mu.running, n)
	close(over)
	return b
}

func errnoOf(answer []byte) unix.Errno {
	_, errno, _ := message.ParseAnswer(answer) // it is one of ours
	return errno
}

// remember keeps an answer; the mutex is held.
func (s *Session) remember(n uint64, answer []byte) {
	if len(s.mu.order) >= remembered {
		delete(s.mu.done, s.mu.order[0])
		s.mu.order = s.mu.order[1:]
	}
	s.mu.done[n] = append([]byte{}, answer...)
	s.mu.order = append(s.mu.order, n)
}

// keep makes f one of the open files.
func (s *Session) keep(node uint64, f *os.File) (handle uint64, errno unix.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mu.open) >= maxFiles {
		f.Close()
		return 0, unix.ENFILE
	}
	for taken := true; taken; _, taken = s.mu.open[handle] {
		s.mu.next++
		handle = uint64(s.boot)<<32 | uint64(s.mu.next)
	}
	s.mu.open[handle] = opened{node, f}
	return handle, 0
}

// file is an open file, or one that an earlier process here had opened, opened again. done is called in the end.
func (s *Session) file(node, handle uint64, flags int) (f *os.File, done func(), errno unix.Errno) {
	s.mu.Lock()
	o, ok := s.mu.open[handle]
	s.mu.Unlock()
	if ok && o.node == node {
		return o.f, func() {}, 0
	}
	f, errno = s.v.openNode(node, flags)
	return f, func() { f.Close() }, errno
}

// release closes an open file.
func (s *Session) release(handle uint64) {
	s.mu.Lock()
	o, ok := s.mu.open[handle]
	delete(s.mu.open, handle)
	s.mu.Unlock()
	if ok {
		o.f.Close()
	}
}
