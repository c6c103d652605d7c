// Package pump carries what a kernel asks of a mounted volume to the host that has the volume, and the answers back.
//
// Owns: the requests that are under way, how long each may take, the connection.
// In: requests from a descriptor of /dev/fuse; a way to dial the other host; answers, which are believed in nothing but their form.
// Out: answers to the kernel: to each request within a bounded time, whatever becomes of the other host.
// Never: knows files, keeps anything that the next process would need (the kernel sends again what it has no answer to), or waits for the
// other host where nobody asks.
package pump

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/mount/message"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
)

// Times are how long things may take; the zero value is not valid, see Usual.
type Times struct {
	Silence   time.Duration // without a word of the other host: then requests end with EIO, the new ones at once
	Longest   time.Duration // a request at a host that lives
	Interrupt time.Duration // a request whose caller got a signal
	Ping      time.Duration // between two questions whether the other host lives
}

// Usual are the times of a mount.
var Usual = Times{Silence: 8 * time.Second, Longest: time.Minute, Interrupt: 2 * time.Second, Ping: 2 * time.Second}

// Bounds.
const (
	most     = 64 // requests under way; the kernel keeps the others
	dialMin  = 100 * time.Millisecond
	dialMax  = 3 * time.Second
	lookEach = 8 // looks in a Silence
)

// Dial connects to the host that has the volume and says what is wanted, so that requests can follow.
type Dial func(context.Context) (net.Conn, error)

// Pump is one mount's. Make it with New.
type Pump struct {
	dev   *os.File
	dial  Dial
	times Times
	log   *slog.Logger
	first chan struct{} // closed when the kernel may use the mount

	wake   chan struct{} // something is to be sent
	places chan struct{} // as many as may be under way
	begin  sync.Once

	mu struct {
		sync.Mutex
		asked map[uint64]*asked // under way, by number
		queue []*asked          // to be sent, on this connection
		seq   uint64
		ended bool      // all is answered with EIO
		heard time.Time // the other host's last word
		up    bool      // there is a connection
		why   string    // there is none
	}
}

// asked is a request under way.
type asked struct {
	seq         uint64
	unique      uint64
	raw         []byte
	at          time.Time
	interrupted bool
}

// New makes the pump of a mount's descriptor: just made, or of a process before this one.
func New(dev *os.File, dial Dial, times Times, log *slog.Logger) *Pump {
	p := &Pump{dev: dev, dial: dial, times: times, log: logging.Or(log), first: make(chan struct{}), wake: make(chan struct{}, 1),
		places: make(chan struct{}, most)}
	p.mu.asked, p.mu.heard = map[uint64]*asked{}, time.Now()
	return p
}

// Resume has the kernel send again what the process before this one took and did not answer (FUSE_NOTIFY_RESEND, since Linux 6.9).
func (p *Pump) Resume() error {
	p.begin.Do(func() { close(p.first) })
	const resend = 7
	b := message.Answer(0, 0, nil)
	binary.LittleEndian.PutUint32(b[4:], resend)
	_, err := p.dev.Write(b)
	return err
}

// Ready is closed when the kernel and this side have agreed: then ids of the mount can be mapped.
func (p *Pump) Ready() <-chan struct{} { return p.first }

// End answers all that is under way, and all that comes, with EIO.
func (p *Pump) End() {
	p.mu.Lock()
	p.mu.ended = true
	gone := p.take(func(*asked) unix.Errno { return unix.EIO })
	p.mu.Unlock()
	p.refuse(gone)
}

// Trouble says why the other host is out of reach; "" when it is not, or has not been for long.
func (p *Pump) Trouble() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.down(time.Now()) || p.mu.ended {
		return ""
	}
	return p.mu.why
}

// down tells whether the other host has been out of reach for too long; the mutex is held.
func (p *Pump) down(now time.Time) bool { return !p.mu.up && now.Sub(p.mu.heard) > p.times.Silence }

// Run works until ctx ends, or the file system is mounted nowhere any more, which is no error.
func (p *Pump) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(ctx, func() { p.dev.SetReadDeadline(time.Now()) })()
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	all.Go(func() { p.connect(ctx) })
	all.Go(func() { p.look(ctx) })
	buf := make([]byte, message.Max)
	for {
		n, err := p.dev.Read(buf)
		switch {
		case ctx.Err() != nil || errors.Is(err, unix.ENODEV) || errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN): // whoever asked has gone
			continue
		case err != nil:
			return fmt.Errorf("read a request of the kernel: %w", err)
		}
		r, err := message.ParseRequest(buf[:n])
		if err != nil {
			return err
		}
		if done := p.own(r); !done {
			select {
			case p.places <- struct{}{}:
			case <-ctx.Done():
				return nil
			}
			p.ask(buf[:n], r)
		}
	}
}

// own does what is this side's affair.
func (p *Pump) own(r message.Request) bool {
	switch r.Op {
	case message.Init:
		p.answer(agree(r))
		p.begin.Do(func() { close(p.first) })
	case message.Forget, message.Forgets, message.Destroy: // the other side remembers no files; Destroy is answered where it is waited for
		if r.Op == message.Destroy {
			p.answer(message.Answer(r.Unique, 0, nil))
		}
	case message.Interrupt:
		if len(r.Body) >= 8 {
			p.mu.Lock()
			if a := p.mu.asked[binary.LittleEndian.Uint64(r.Body)&^message.Resent]; a != nil {
				a.interrupted = true
			}
			p.mu.Unlock()
		}
	case message.OpenDir, message.ReleaseDir, message.Access, message.Flush: // the kernel need not ask again
		p.answer(message.Answer(r.Unique, unix.ENOSYS, nil))
	default:
		return false
	}
	return true
}

// ask has a request sent, of which raw is only lent.
func (p *Pump) ask(raw []byte, r message.Request) {
	now := time.Now()
	p.mu.Lock()
	if p.mu.ended || p.down(now) {
		p.mu.Unlock()
		<-p.places
		p.answer(message.Answer(r.Unique, unix.EIO, nil))
		return
	}
	p.mu.seq++
	a := &asked{seq: p.mu.seq, unique: r.Unique, raw: append([]byte(nil), raw...), at: now}
	if p.mu.asked[r.Number()] != nil {
		<-p.places // the kernel sent it again: one place is enough
	}
	if len(p.mu.asked) == 0 && p.mu.up {
		p.mu.heard = now // nobody asked: the silence begins here
	}
	p.mu.asked[r.Number()] = a
	p.mu.queue = append(p.mu.queue, a)
	p.mu.Unlock()
	p.hint()
}

func (p *Pump) hint() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// answer gives the kernel one. That it does not want it any more is no error; to one of a wrong form it says EIO to whoever asked.
func (p *Pump) answer(b []byte) { p.dev.Write(b) }

// refusal is an error that a request gets from here.
type refusal struct {
	unique uint64
	errno  unix.Errno
}

// take takes those out for which why is not 0; the mutex is held.
func (p *Pump) take(why func(*asked) unix.Errno) (gone []refusal) {
	for n, a := range p.mu.asked {
		if errno := why(a); errno != 0 {
			gone = append(gone, refusal{a.unique, errno})
			delete(p.mu.asked, n)
		}
	}
	if len(gone) > 0 {
		p.mu.queue = slices.DeleteFunc(p.mu.queue, func(a *asked) bool { return p.mu.asked[a.unique&^message.Resent] != a })
	}
	return gone
}

func (p *Pump) refuse(gone []refusal) {
	for _, g := range gone {
		<-p.places
		p.answer(message.Answer(g.unique, g.errno, nil))
	}
}

// look ends what takes too long.
func (p *Pump) look(ctx context.Context) {
	run.Every(ctx, p.times.Silence/lookEach, func(context.Context) error {
		now := time.Now()
		p.mu.Lock()
		silent := now.Sub(p.mu.heard) > p.times.Silence
		gone := p.take(func(a *asked) unix.Errno {
			switch age := now.Sub(a.at); {
			case a.interrupted && age > p.times.Interrupt:
				return unix.EINTR
			case silent && age > p.times.Silence, age > p.times.Longest:
				return unix.EIO
			}
			return 0
		})
		p.mu.Unlock()
		p.refuse(gone)
		return nil
	})
}

// connect keeps a connection. One that ended is followed by another at once; a host that can't be reached is tried less and less often.
func (p *Pump) connect(ctx context.Context) {
	told := ""
	for failed := 0; ctx.Err() == nil; failed++ {
		conn, err := p.dial(ctx)
		if err == nil {
			if told != "" {
				p.log.Info("the volume's host answers again")
			}
			told, failed = "", 0
			err = p.talk(ctx, conn)
		}
		if ctx.Err() == nil && err.Error() != told {
			told = err.Error()
			p.mu.Lock()
			p.mu.why = told
			p.mu.Unlock()
			p.log.Warn("the volume's host is out of reach", logging.Err, err)
		}
		run.Wait(ctx, run.Backoff(failed, dialMin, dialMax, rand.Float64()))
	}
}

// talk uses a connection until it ends. What was under way is sent again: the other side knows what it has done.
func (p *Pump) talk(ctx context.Context, conn net.Conn) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	p.mu.Lock()
	p.mu.up, p.mu.heard = true, time.Now()
	p.mu.queue = nil
	for _, a := range p.mu.asked {
		p.mu.queue = append(p.mu.queue, a)
	}
	slices.SortFunc(p.mu.queue, func(a, b *asked) int { return cmp.Compare(a.seq, b.seq) })
	p.mu.Unlock()
	p.hint()
	defer func() {
		p.mu.Lock()
		if p.mu.up = false; len(p.mu.asked) == 0 {
			p.mu.heard = time.Now() // nobody asked: the silence begins here
		}
		p.mu.Unlock()
	}()
	var all sync.WaitGroup
	defer all.Wait()
	defer conn.Close()
	defer stop()
	all.Go(func() {
		defer conn.Close()
		p.send(ctx, conn)
	})
	buf := make([]byte, message.Max)
	for {
		b, err := message.ReadOne(conn, buf, message.AnswerAt)
		if err != nil {
			return fmt.Errorf("the connection ended: %w", err)
		}
		if err := p.heard(b); err != nil {
			return err
		}
	}
}

// heard passes an answer on.
func (p *Pump) heard(b []byte) error {
	unique, _, err := message.ParseAnswer(b)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.mu.heard = time.Now()
	a, known := p.mu.asked[unique&^message.Resent]
	delete(p.mu.asked, unique&^message.Resent)
	p.mu.Unlock()
	if known { // else it is of a ping, or of a request that was answered from here
		binary.LittleEndian.PutUint64(b[8:], a.unique)
		<-p.places
		p.answer(b)
	}
	return nil
}

// send sends what is to be sent, and pings where an answer is waited for. A host that says nothing has its connection ended.
func (p *Pump) send(ctx context.Context, conn net.Conn) {
	ping := time.NewTicker(p.times.Ping)
	defer ping.Stop()
	for {
		asks := false
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-ping.C:
			asks = true
		}
		p.mu.Lock()
		list := p.mu.queue
		p.mu.queue = nil
		waits, silent := len(p.mu.asked) > 0, time.Since(p.mu.heard) > p.times.Silence
		p.mu.Unlock()
		if waits && silent {
			return
		}
		conn.SetWriteDeadline(time.Now().Add(p.times.Silence))
		if asks && waits {
			if _, err := conn.Write(message.Request{Op: message.Ping}.Bytes()); err != nil {
				return
			}
		}
		for _, a := range list {
			if _, err := conn.Write(a.raw); err != nil {
				return
			}
		}
	}
}
