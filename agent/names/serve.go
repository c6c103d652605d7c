package names

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"

	"hardnode.dev/internal/limit"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
)

// Limits of connections (RFC 7766 6.2): a container that holds its connections open takes none of the others'.
const (
	tcpAll      = 512
	tcpEach     = 16
	tcpPipeline = 16               // queries of one connection at work; more wait unread
	tcpLongest  = 8192             // bytes of a query: a name and a few options
	tcpFirst    = 5 * time.Second  // for the first query, and for what is left of one that began
	tcpIdle     = 10 * time.Second // between queries
	tcpWrite    = 5 * time.Second
)

// udp answers datagrams until ctx ends. What needs no other server is answered at once; the rest in goroutines that the limits count.
func (s *Server) udp(ctx context.Context, pc *net.UDPConn) error {
	var work sync.WaitGroup
	defer work.Wait()
	buf := make([]byte, largestUDP)
	for {
		n, from, err := pc.ReadFromUDPAddrPort(buf)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("read a query: %v", err)
		}
		caller := from.Addr().Unmap()
		if now := time.Now(); !s.limits.ask(caller, now) {
			s.tell(caller, s.limits.drop(caller, now))
			continue // dropped: an answer would cost as much as what is refused
		}
		raw, later := s.begin(ctx, buf[:n], caller, false)
		if later != nil {
			work.Go(func() { s.send(pc, from, later()) })
			continue
		}
		s.send(pc, from, raw)
	}
}

// send drops what can't be sent: the client asks again.
func (s *Server) send(pc *net.UDPConn, to netip.AddrPort, raw []byte) {
	if raw != nil {
		pc.WriteToUDPAddrPort(raw, to)
	}
}

// tcp serves connections until ctx ends.
func (s *Server) tcp(ctx context.Context, l net.Listener) error {
	var work sync.WaitGroup
	defer work.Wait()
	l = limit.Listener(l, &limit.Gate{All: tcpAll, Each: tcpEach})
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("take a connection: %v", err)
		}
		work.Go(func() { s.conn(ctx, c) })
	}
}

// conn answers the queries of one connection, each as soon as it can (RFC 7766 6.2.1.1): a slow one does not hold up those behind it.
func (s *Server) conn(ctx context.Context, c net.Conn) {
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	caller := limit.Addr(c.RemoteAddr().String())
	places := make(chan struct{}, tcpPipeline)
	var writing sync.Mutex
	var work sync.WaitGroup
	defer work.Wait()
	write := func(raw []byte) {
		if raw == nil {
			return
		}
		writing.Lock()
		defer writing.Unlock()
		c.SetWriteDeadline(time.Now().Add(tcpWrite))
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(raw))), raw...)); err != nil {
			c.Close() // half an answer may be out: nothing behind it can be read
		}
	}
	for wait := tcpFirst; ; wait = tcpIdle {
		m, err := readTCP(c, wait)
		if err != nil {
			return
		}
		for !s.limits.ask(caller, time.Now()) { // whoever asks too fast is read more slowly
			if !run.Wait(ctx, time.Second/perSecond) {
				return
			}
		}
		raw, later := s.begin(ctx, m, caller, true)
		if later == nil {
			write(raw)
			continue
		}
		places <- struct{}{}
		work.Go(func() {
			defer func() { <-places }()
			write(later())
		})
	}
}

// readTCP is the next message (RFC 1035 4.2.2), which must begin within wait and then come without a pause.
func readTCP(c net.Conn, wait time.Duration) ([]byte, error) {
	var head [2]byte
	c.SetReadDeadline(time.Now().Add(wait))
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint16(head[:])
	if n > tcpLongest {
		return nil, fmt.Errorf("a query of %d bytes", n)
	}
	m := make([]byte, n)
	c.SetReadDeadline(time.Now().Add(tcpFirst))
	_, err := io.ReadFull(c, m)
	return m, err
}

// begin answers a message at once (nil: not at all), or says how it is answered later. It keeps nothing of raw.
func (s *Server) begin(ctx context.Context, raw []byte, caller netip.Addr, tcp bool) (answer []byte, later func() []byte) {
	defer func() {
		if why := recover(); why != nil { // whatever a container sends, the host's agent does not end by it
			s.wrong(caller, why)
		}
	}()
	q, refusal := read(raw, tcp)
	if q == nil {
		return refusal, nil
	}
	t := s.now()
	if l, ok := t.local(q.question(), caller); ok {
		return q.pack(q.local(l)), nil
	}
	leave, ok := s.limits.enter(caller)
	if !ok {
		r := q.failed(dns.RcodeRefused)
		note(r, dns.ExtendedErrorCodeProhibited, "this container waits for too many answers already")
		return q.pack(r), nil
	}
	return nil, func() (out []byte) {
		defer leave()
		defer func() {
			if why := recover(); why != nil {
				s.wrong(caller, why)
			}
		}()
		return q.pack(s.forward(ctx, q, t))
	}
}

func (s *Server) tell(caller netip.Addr, refused int) {
	if refused > 0 {
		logging.Or(s.Log).Warn("DNS queries of a container dropped", logging.Addr, caller, "dropped", refused,
			logging.Reason, fmt.Sprintf("more than %d in a second", perSecond))
	}
}

func (s *Server) wrong(caller netip.Addr, why any) {
	logging.Or(s.Log).Error("DNS query not answered", logging.Addr, caller, logging.Err, fmt.Sprint("BUG: ", why))
}
