// Package names is the DNS server that containers ask.
//
// Owns: the answers for this cluster's own names and addresses, what of other servers' answers is passed on, what one container may ask.
// In: Peers (names, groups, ranges, hosts); queries of containers; the host's own name servers.
// Out: answers by RFC 1034, 1035, 2308, 6891 and 7766.
// Never: keeps an answer (no cache), resolves by itself, or lets an answer from outside name an address of this cluster.
package names

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/host"
)

// Server is the server on the address that containers find their host at. Its methods may be called at once.
type Server struct {
	Addr     string          // host:port to listen on, UDP and TCP
	Self     netip.Addr      // its address as containers see it: no answer from outside may name it, and it is never asked itself
	Upstream func() []string // host:port of the servers that other names are asked of, in order; nil: none
	Log      *slog.Logger    // nil discards

	table  atomic.Pointer[table]
	limits limits
	health health
}

// Set makes p what the server knows of the cluster.
func (s *Server) Set(p *host.Peers) { s.table.Store(newTable(p, s.Self)) }

// now is what is known of the cluster; never nil.
func (s *Server) now() *table {
	if t := s.table.Load(); t != nil {
		return t
	}
	return newTable(nil, s.Self)
}

// Run serves until ctx ends. It may listen before any link carries the address (IP_FREEBIND), and listens again whenever that breaks.
func (s *Server) Run(ctx context.Context) error {
	run.Keep(ctx, time.Second, 30*time.Second, func(ctx context.Context) {
		if err := s.serve(ctx); err != nil && ctx.Err() == nil {
			logging.Or(s.Log).Warn("DNS does not listen", logging.Err, err)
		}
	})
	return nil
}

// receive is the size of the socket's buffer in bytes: the kernel keeps a burst of one container there while those of others are read.
const receive = 1 << 20

func (s *Server) serve(ctx context.Context) error {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var serr error
		err := c.Control(func(fd uintptr) { serr = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_FREEBIND, 1) })
		return errors.Join(err, serr)
	}}
	p, err := lc.ListenPacket(ctx, "udp", s.Addr)
	if err != nil {
		return err
	}
	pc := p.(*net.UDPConn)
	pc.SetReadBuffer(receive) // as much as the kernel allows: less is no fault
	l, err := lc.Listen(ctx, "tcp", pc.LocalAddr().String())
	if err != nil {
		pc.Close()
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.udp(gctx, pc) })
	g.Go(func() error { return s.tcp(gctx, l) })
	g.Go(func() error {
		<-gctx.Done()
		pc.Close()
		l.Close()
		return nil
	})
	return g.Wait()
}

// Resolvers reads the name servers of a resolv.conf, as host:port, but for self. A file that is not there names none.
func Resolvers(path string, self netip.Addr) []string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	var out []string
	for sc := bufio.NewScanner(f); sc.Scan(); {
		fields := strings.Fields(sc.Text())
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(fields[1]); err == nil && a != self {
			out = append(out, netip.AddrPortFrom(a, 53).String())
		}
	}
	return out
}
