package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/run/listen"
	"hardnode.dev/orchestrator/netboot/answer"
	"hardnode.dev/orchestrator/netboot/tftp"
)

// Limits.
const (
	perSecond = 50               // answers to requests to boot
	burst     = 100              // at once
	tick      = time.Second / 2  // of what is to be sent again
	slowest   = 15 * time.Minute // a file by HTTP
)

// udp opens a port on one card only: other networks of this machine have nothing of it.
func udp(card string, port int) (*net.UDPConn, error) {
	c := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		if err2 := raw.Control(func(fd uintptr) {
			err = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1), unix.BindToDevice(int(fd), card))
		}); err2 != nil {
			return err2
		}
		return err
	}}
	l, err := c.ListenPacket(context.Background(), "udp4", fmt.Sprintf(":%d", port))
	if err != nil {
		return nil, fmt.Errorf("open UDP port %d on %s: %w; it takes root's rights, and no other server may have it", port, card, err)
	}
	return l.(*net.UDPConn), nil
}

// bootTask answers requests to boot that come to a port.
func bootTask(o options, served answer.Served, port int) (run.Task, error) {
	conn, err := udp(o.card, port)
	if err != nil {
		return run.Task{}, err
	}
	log := &said{log: o.log}
	return run.Task{Name: fmt.Sprintf("port %d", port), Run: func(ctx context.Context) error {
		left, last := float64(burst), time.Now()
		return packets(ctx, conn, time.Hour, func(from netip.AddrPort, raw []byte) {
			now := time.Now()
			left, last = min(burst, left+now.Sub(last).Seconds()*perSecond), now
			if left < 1 {
				return
			}
			left--
			reply, why := served.Decide(raw, port)
			log.boot(raw, reply != nil, why)
			if reply == nil {
				return
			}
			// A machine without an address hears broadcasts only.
			to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), 68)
			if port == answer.PortBoot && from.Addr().Is4() && !from.Addr().IsUnspecified() {
				to = from
			}
			if _, err := conn.WriteToUDPAddrPort(reply, to); err != nil {
				o.log.Warn("a reply was not sent", logging.Addr, to.String(), logging.Err, err)
			}
		}, func() {})
	}}, nil
}

// tftpTask hands out files by TFTP, to the card's own network only.
func tftpTask(o options, network netip.Prefix, files map[string][]byte) (run.Task, error) {
	conn, err := udp(o.card, 69)
	if err != nil {
		return run.Task{}, err
	}
	s := &tftp.Server{Files: files}
	send := func(to netip.AddrPort, p []byte) {
		if _, err := conn.WriteToUDPAddrPort(p, to); err != nil {
			o.log.Warn("a packet was not sent", logging.Addr, to.String(), logging.Err, err)
		}
	}
	return run.Task{Name: "tftp", Run: func(ctx context.Context) error {
		return packets(ctx, conn, tick, func(from netip.AddrPort, raw []byte) {
			if !network.Contains(from.Addr()) {
				return
			}
			reply, what := s.Handle(time.Now(), from, raw)
			if what != "" {
				o.log.Info("tftp", "what", what)
			}
			if reply != nil {
				send(from, reply)
			}
		}, func() {
			out, ended := s.Tick(time.Now())
			for _, p := range out {
				send(p.To, p.Data)
			}
			for _, e := range ended {
				o.log.Warn("tftp: is UDP from port 69 blocked on the way?", "what", e)
			}
		})
	}}, nil
}

// packets hands on what comes to conn, and calls every at least that often, until ctx ends.
func packets(ctx context.Context, conn *net.UDPConn, each time.Duration, got func(netip.AddrPort, []byte), every func()) error {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	buf, next := make([]byte, answer.MaxMessage+1), time.Now().Add(each)
	for ctx.Err() == nil {
		conn.SetReadDeadline(next)
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		switch {
		case err == nil:
			got(netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), buf[:n])
		case errors.Is(err, os.ErrDeadlineExceeded), ctx.Err() != nil:
		default:
			return fmt.Errorf("read from port %s: %w", conn.LocalAddr(), err)
		}
		if now := time.Now(); !now.Before(next) {
			every()
			next = now.Add(each)
		}
	}
	return nil
}

// httpTask serves the tree's files, and no lists of them.
func httpTask(o options, addr netip.Addr) (run.Task, error) {
	l, err := net.Listen("tcp4", netip.AddrPortFrom(addr, uint16(o.http)).String())
	if err != nil {
		return run.Task{}, fmt.Errorf("serve HTTP: %w; -http-port chooses another port", err)
	}
	files := http.FileServer(http.Dir(o.tree))
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/") || strings.Contains(r.URL.Path, "/.") {
			http.NotFound(w, r)
			return
		}
		o.log.Info("http", logging.Addr, r.RemoteAddr, "method", r.Method, "path", r.URL.Path)
		files.ServeHTTP(w, r)
	})
	return run.Task{Name: "http", Run: listen.HTTP(l, nil, h, listen.Limits{Connections: 256, PerClient: 8, Answer: slowest}, o.log)}, nil
}
