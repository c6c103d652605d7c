package limit

import (
	"bufio"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// Hijack gives the connection to a tunnel (RFC 9110, section 7.8): it ends when nothing has gone either way for Pace.Idle.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := a.control.Hijack()
	if err != nil {
		return nil, nil, err
	}
	a.hijacked.Store(true)
	return Tunnel(c, a.pace.Idle), rw, nil
}

// ErrIdle: nothing went through a tunnel for too long.
var ErrIdle = errors.New("nothing went either way for too long")

// Tunnel ends c's reads and writes when nothing has gone either way for idle.
func Tunnel(c net.Conn, idle time.Duration) net.Conn {
	t := &tunnel{Conn: c, idle: idle}
	t.moved()
	return t
}

type tunnel struct {
	net.Conn
	idle time.Duration
	last atomic.Int64 // when something went, monotonic nanoseconds since start
}

var start = time.Now()

func (t *tunnel) moved() { t.last.Store(int64(time.Since(start))) }

// left is how long the tunnel may still be silent.
func (t *tunnel) left() time.Duration {
	return t.idle - (time.Since(start) - time.Duration(t.last.Load()))
}

func (t *tunnel) Read(b []byte) (int, error) {
	for {
		t.Conn.SetReadDeadline(time.Now().Add(t.left()))
		n, err := t.Conn.Read(b)
		if n > 0 {
			t.moved()
		}
		switch {
		case n > 0 || !errors.Is(err, os.ErrDeadlineExceeded):
			return n, err
		case t.left() <= 0:
			return 0, ErrIdle
		}
	}
}

func (t *tunnel) Write(b []byte) (int, error) {
	t.Conn.SetWriteDeadline(time.Now().Add(t.idle))
	n, err := t.Conn.Write(b)
	if n > 0 {
		t.moved()
	}
	return n, err
}

// CloseWrite ends one direction, where the connection can.
func (t *tunnel) CloseWrite() error { return closeWrite(t.Conn) }
