// Package session carries one session (exec, logs, jem) over one WebSocket, so that no side is ever ended for being slow.
//
// Owns: the windows of both directions, bounded buffers for what came, signs of life, the order of output and exit.
// In: an open WebSocket, which end of it this is, bytes to send.
// Out: what the other end sent, as readers; ErrBroken when it ended without an exit or before its stdin's end.
// Never: stops reading the WebSocket because nobody takes what came (the window holds the sender), or takes a broken link for an end.
package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/host"
)

// End tells which end of a session a Link is.
type End int

// The ends. A bridge between them is a HostEnd to the person and a PersonEnd to the host.
const (
	PersonEnd End = iota // sends stdin and the terminal's size; takes output and the exit
	HostEnd              // sends output and the exit; takes stdin and the terminal's size
)

// ErrBroken is the end of a link that did not come as it should.
var ErrBroken = errors.New("the session broke")

// errOver is why a link that this end closed gives nothing more.
var errOver = errors.New("the session is closed")

// Options of a link; zero values are the usual ones.
type Options struct {
	Window int           // bytes that may wait here on each channel; 0 is 128 KiB
	Alive  time.Duration // how often a sign of life is sent; 0 is 15 s
	Gone   time.Duration // a peer of which nothing came for so long is gone; 0 is four times Alive
	Ping   bool          // ask peers without SessionProtocol for signs of life (they answer only while they read)
}

// Link is one end. Its readers and writers may be used at once, each by one goroutine.
type Link struct {
	ws     *websocket.Conn
	end    End
	flow   bool // the peer speaks host.SessionProtocol
	o      Options
	ctx    context.Context // of the link's own goroutines and writes
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	over   chan struct{} // closed when nothing more can come
	resize chan [2]uint16
	heard  atomic.Int64 // when something last came, in ns since began
	began  time.Time

	mu struct {
		sync.Mutex
		in      [3]inbox
		credit  [3]int64 // what the peer allows; without flow it is not looked at
		exit    *host.Exit
		err     error // why it is over
		ended   bool  // no more is to come in order: an exit came, or the peer closed
		waiting bool  // without flow: nothing is read until somebody takes what came
		change  *sync.Cond
	}
}

// Open takes ws over. Whoever opens a link closes it.
func Open(ctx context.Context, ws *websocket.Conn, end End, o Options) *Link {
	if o.Window == 0 {
		o.Window = 128 << 10
	}
	if o.Alive == 0 {
		o.Alive = 15 * time.Second
	}
	if o.Gone == 0 {
		o.Gone = 4 * o.Alive
	}
	ws.SetReadLimit(host.MaxFrame + 1)
	l := &Link{ws: ws, end: end, flow: ws.Subprotocol() == host.SessionProtocol, o: o, over: make(chan struct{}),
		resize: make(chan [2]uint16, 1), began: time.Now()}
	l.mu.change = sync.NewCond(&l.mu)
	l.ctx, l.cancel = context.WithCancel(ctx)
	l.tasks.Go(l.receive)
	if l.flow || o.Ping {
		l.tasks.Go(l.signs)
		l.tasks.Go(l.watch)
	}
	return l
}

// Done is closed when the link is over: nothing more comes and nothing more can be sent. What came before can still be read.
func (l *Link) Done() <-chan struct{} { return l.over }

// Err is why the link is over.
func (l *Link) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.err
}

// Break ends the link at once, with the reason if there is one; the peer sees it broken.
func (l *Link) Break(why error) { l.finish(why) }

// Close ends the link in order and waits for everything it started.
func (l *Link) Close() {
	l.ws.Close(websocket.StatusNormalClosure, "")
	l.finish(errOver)
	l.tasks.Wait()
}

func (l *Link) finish(why error) {
	if why == nil {
		why = errOver
	}
	l.mu.Lock()
	first := l.mu.err == nil
	if first {
		l.mu.err = why
		close(l.over)
	}
	l.mu.change.Broadcast()
	l.mu.Unlock()
	if first {
		l.cancel()
		l.ws.CloseNow()
	}
}

// Exited waits for the exit frame. ErrBroken when the link ended without one.
func (l *Link) Exited() (host.Exit, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.mu.exit == nil && l.mu.err == nil {
		l.mu.change.Wait()
	}
	if l.mu.exit == nil {
		return host.Exit{}, broken(l.mu.err)
	}
	return *l.mu.exit, nil
}

func broken(err error) error {
	if errors.Is(err, ErrBroken) || errors.Is(err, errOver) {
		return err
	}
	return fmt.Errorf("%w: %v", ErrBroken, err)
}

// Exit sends the last frame.
func (l *Link) Exit(e host.Exit) error { return l.write(host.ChanExit, host.ExitPayload(e)) }

// Resize sends the terminal's size.
func (l *Link) Resize(rows, cols uint16) error {
	return l.write(host.ChanResize, host.ResizePayload(rows, cols))
}

// Resizes delivers the terminal's newest size.
func (l *Link) Resizes() <-chan [2]uint16 { return l.resize }

func (l *Link) write(c host.Channel, p []byte) error {
	if err := l.ws.Write(l.ctx, websocket.MessageBinary, host.Frame(c, p)); err != nil {
		l.finish(fmt.Errorf("send: %v", err))
		return broken(l.Err())
	}
	return nil
}

// Writer sends bytes of one channel, as fast as the other end takes them. Close tells their end: of stdin only, output ends with the exit.
func (l *Link) Writer(c host.Channel) io.WriteCloser { return writer{l, c} }

type writer struct {
	l *Link
	c host.Channel
}

func (w writer) Write(p []byte) (done int, err error) {
	for len(p) > 0 {
		n, err := w.l.take(w.c, min(len(p), host.MaxFrame))
		if err != nil {
			return done, err
		}
		if err := w.l.write(w.c, p[:n]); err != nil {
			return done, err
		}
		done += n
		p = p[n:]
	}
	return done, nil
}

func (w writer) Close() error { return w.l.write(w.c, nil) }

// receive reads the WebSocket until it ends; it never waits for a peer that keeps to its windows.
func (l *Link) receive() {
	for {
		kind, msg, err := l.ws.Read(l.ctx)
		if err != nil {
			l.finish(err)
			return
		}
		l.heard.Store(int64(time.Since(l.began)))
		if kind != websocket.MessageBinary {
			err = errors.New("is no binary message")
		} else if ch, p, perr := host.ParseFrame(msg); perr != nil {
			err = perr
		} else {
			err = l.frame(ch, p)
		}
		if err != nil {
			l.ws.Close(websocket.StatusPolicyViolation, "frame: "+err.Error())
			l.finish(fmt.Errorf("frame: %v", err))
			return
		}
	}
}

// errFrame is a frame this end must not get.
var errFrame = errors.New("not allowed")

func (l *Link) frame(ch host.Channel, p []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	fromHost := l.end == PersonEnd
	switch {
	case l.mu.ended:
		return errFrame
	case ch == host.ChanStdin && !fromHost, (ch == host.ChanStdout || ch == host.ChanStderr) && fromHost:
		return l.data(&l.mu.in[ch], p, ch == host.ChanStdin)
	case ch == host.ChanResize && !fromHost:
		rows, cols, err := host.ParseResize(p)
		if err != nil {
			return err
		}
		select {
		case <-l.resize: // only the last size counts
		default:
		}
		l.resize <- [2]uint16{rows, cols}
	case ch == host.ChanExit && fromHost:
		var e host.Exit
		if err := json.Unmarshal(p, &e); err != nil {
			return fmt.Errorf("exit: %v", err)
		}
		l.mu.exit, l.mu.ended = &e, true
	case ch == host.ChanWindow && l.flow:
		c, more, err := host.ParseWindow(p)
		if err != nil {
			return err
		}
		if (c == host.ChanStdin) != fromHost || l.mu.credit[c]+int64(more) > host.MaxWindow {
			return errFrame
		}
		l.mu.credit[c] += int64(more)
	case ch == host.ChanAlive && l.flow:
		return nil
	default:
		return errFrame
	}
	l.mu.change.Broadcast()
	return nil
}

// data keeps what came; the lock is held. A peer without windows is held by not reading on.
func (l *Link) data(b *inbox, p []byte, ends bool) error {
	switch {
	case b.eof:
		return errors.New("comes after the end of its channel")
	case len(p) == 0 && ends:
		b.eof = true
	case l.flow && len(p) > b.allowed:
		return fmt.Errorf("has %d bytes, %d are allowed", len(p), b.allowed)
	}
	if l.flow {
		b.allowed -= len(p)
	}
	for !l.flow && b.buf.Len() >= l.o.Window && !b.closed && l.mu.err == nil {
		l.mu.waiting = true
		l.mu.change.Wait()
	}
	l.mu.waiting = false
	if !b.closed {
		b.buf.Write(p)
	}
	l.mu.change.Broadcast()
	return nil
}

// signs sends signs of life, or asks for them.
func (l *Link) signs() {
	for run.Wait(l.ctx, l.o.Alive) {
		if l.flow {
			if l.write(host.ChanAlive, nil) != nil {
				return
			}
		} else if l.ws.Ping(l.ctx) == nil {
			l.heard.Store(int64(time.Since(l.began)))
		}
	}
}

// watch ends a link whose other end shows no sign of life.
func (l *Link) watch() {
	for late := 0; run.Wait(l.ctx, l.o.Gone/4); {
		l.mu.Lock()
		waiting := l.mu.waiting // then it is this end that does not read
		l.mu.Unlock()
		now := time.Since(l.began)
		if waiting {
			l.heard.Store(int64(now))
		}
		if now-time.Duration(l.heard.Load()) <= l.o.Gone {
			late = 0
		} else if late++; late > 1 { // when all of this machine stood still, what came meanwhile is read first
			l.finish(fmt.Errorf("nothing came from the other side for %s", l.o.Gone))
			return
		}
	}
}
