// Package nameserver serves the cluster's domain to the world: DNS on UDP and TCP 53, authoritative.
//
// Owns: the two sockets; what one network and all together may ask; what an answer looks like.
// In: packets of anybody; the zone in force.
// Out: answers by RFC 1034, 1035, 6891, 7766 and 9619, none longer than 1232 bytes over UDP.
// Never: asks another server, answers for another zone, hands a zone out, or needs the orchestrator.
package nameserver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"hardnode.dev/internal/limit"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	wire "hardnode.dev/internal/wire/zone"
	"hardnode.dev/orchestrator/resolver/zone"
)

// Limits of connections (RFC 7766, section 6.2); SECURITY.md has them as a table.
const (
	MaxConnections = 256
	MaxEach        = 8
	mostOfOne      = 100 // queries of one connection
	firstTime      = 5 * time.Second
	idleTime       = 10 * time.Second
	longest        = time.Minute // of a connection
	writeTime      = 5 * time.Second
)

// Server is the server. Zone gives the one in force, the same value until there is another; nil: none is served.
type Server struct {
	Zone func() *wire.Zone
	Log  *slog.Logger

	rates rates
	made  atomic.Pointer[made]
	wrong atomic.Int64 // the second in which a packet was last complained of
}

// made is a zone that was made ready.
type made struct {
	of   *wire.Zone
	zone *zone.Zone
}

// now is the zone in force.
func (s *Server) now() *zone.Zone {
	w := s.Zone()
	if m := s.made.Load(); m != nil && m.of == w {
		return m.zone
	}
	m := &made{w, zone.New(w)}
	s.made.Store(m)
	return m.zone
}

// Sockets are those of port 53.
type Sockets struct {
	UDP net.PacketConn
	TCP net.Listener
}

// Listen opens both on an address.
func Listen(addr string) (*Sockets, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %v", addr, err)
	}
	p, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("listen on %q (UDP): %v", addr, err)
	}
	return &Sockets{p, l}, nil
}

// Close closes both.
func (s *Sockets) Close() {
	s.UDP.Close()
	s.TCP.Close()
}

// Serve answers what comes to both until ctx ends, and closes them.
func (s *Server) Serve(ctx context.Context, at *Sockets) error {
	defer at.Close()
	defer context.AfterFunc(ctx, at.Close)()
	return run.Group(ctx, nil, run.Task{Name: "dns over udp", Run: func(ctx context.Context) error { return s.udp(ctx, at.UDP) }},
		run.Task{Name: "dns over tcp", Run: func(ctx context.Context) error { return s.tcp(ctx, at.TCP) }})
}

// udp answers datagrams until ctx ends, one after the other: an answer needs nothing but time to compute it.
func (s *Server) udp(ctx context.Context, pc net.PacketConn) error {
	buf := make([]byte, mostQuery+1)
	for {
		n, from, err := pc.ReadFrom(buf)
		switch {
		case ctx.Err() != nil, errors.Is(err, net.ErrClosed):
			return nil
		case err != nil: // an error of one client, such as a port that nobody listens on any more
			if !run.Wait(ctx, time.Millisecond) {
				return nil
			}
			continue
		}
		var out []byte
		switch s.rates.judge(limit.Addr(from.String()), time.Now()) {
		case answered:
			out = s.answer(buf[:n], false)
		case shortened:
			out = cut(buf[:n])
		}
		if out != nil {
			pc.WriteTo(out, from) // what can't be sent is asked for again
		}
	}
}

// tcp serves connections until ctx ends.
func (s *Server) tcp(ctx context.Context, l net.Listener) error {
	var work sync.WaitGroup
	defer work.Wait()
	l = limit.Listener(l, &limit.Gate{All: MaxConnections, Each: MaxEach})
	for {
		c, err := l.Accept()
		switch {
		case ctx.Err() != nil, errors.Is(err, net.ErrClosed):
			return nil
		case err != nil: // no descriptor is free, and the like
			if !run.Wait(ctx, 50*time.Millisecond) {
				return nil
			}
			continue
		}
		work.Go(func() { s.conn(ctx, c) })
	}
}

// conn answers the queries of one connection in their order.
func (s *Server) conn(ctx context.Context, c net.Conn) {
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	end := time.Now().Add(longest)
	for wait, n := firstTime, 0; n < mostOfOne; wait, n = idleTime, n+1 {
		raw, err := readTCP(c, wait, end)
		if err != nil {
			return
		}
		out := s.answer(raw, true)
		if out == nil {
			return
		}
		c.SetWriteDeadline(time.Now().Add(writeTime))
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...)); err != nil {
			return
		}
	}
}

// readTCP is the next message (RFC 1035, section 4.2.2), which must be here within wait, and before end.
func readTCP(c net.Conn, wait time.Duration, end time.Time) ([]byte, error) {
	at := time.Now().Add(wait)
	if at.After(end) {
		at = end
	}
	c.SetReadDeadline(at)
	var head [2]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint16(head[:])
	if n > mostQuery {
		return nil, fmt.Errorf("a query of %d bytes", n)
	}
	m := make([]byte, n)
	_, err := io.ReadFull(c, m)
	return m, err
}

// answer is what a packet is answered. Whatever comes, the resolver does not end by it.
func (s *Server) answer(raw []byte, tcp bool) (out []byte) {
	defer func() {
		if why := recover(); why != nil {
			out = nil
			if now := time.Now().Unix(); s.wrong.Swap(now) != now {
				logging.Or(s.Log).Error("a DNS query was not answered", logging.Err, fmt.Sprint("BUG: ", why))
			}
		}
	}()
	return respond(s.now(), raw, tcp)
}
