package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

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

// tasks are all that serves: requests to boot are answered as boots says, firmware is handed out by TFTP, all other files by HTTP.
func (s sockets) tasks(log *slog.Logger, boots func(string) (string, string), firmware map[string][]byte, files http.Handler) []run.Task {
	served := answer.Served{Addr: s.addr, HTTP: s.url(), Boots: boots}
	logged := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		log.Info("http", logging.Addr, r.RemoteAddr, "method", r.Method, "path", r.URL.Path)
		files.ServeHTTP(w, r)
	})
	return []run.Task{bootTask(log, served, s.dhcp, answer.PortDHCP), bootTask(log, served, s.boot, answer.PortBoot),
		tftpTask(log, s.tftp, s.network, firmware),
		{Name: "http", Run: listen.HTTP(s.http, nil, logged, listen.Limits{Connections: 256, PerClient: 8, Answer: slowest}, log)}}
}

// bootTask answers requests to boot that come to a port.
func bootTask(logger *slog.Logger, served answer.Served, conn *net.UDPConn, port int) run.Task {
	log := &said{log: logger}
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
				logger.Warn("a reply was not sent", logging.Addr, to.String(), logging.Err, err)
			}
		}, func() {})
	}}
}

// tftpTask hands out files by TFTP, to the card's own network only.
func tftpTask(log *slog.Logger, conn *net.UDPConn, network netip.Prefix, files map[string][]byte) run.Task {
	s := &tftp.Server{Files: files}
	send := func(to netip.AddrPort, p []byte) {
		if _, err := conn.WriteToUDPAddrPort(p, to); err != nil {
			log.Warn("a packet was not sent", logging.Addr, to.String(), logging.Err, err)
		}
	}
	return run.Task{Name: "tftp", Run: func(ctx context.Context) error {
		return packets(ctx, conn, tick, func(from netip.AddrPort, raw []byte) {
			if network.IsValid() && !network.Contains(from.Addr()) {
				return
			}
			reply, what := s.Handle(time.Now(), from, raw)
			if what != "" {
				log.Info("tftp", "what", what)
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
				log.Warn("tftp: is UDP from port 69 blocked on the way?", "what", e)
			}
		})
	}}
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

// tree serves a folder's files, and no lists of them.
func tree(folder string) http.Handler {
	files := http.FileServer(http.Dir(folder))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/") || strings.Contains(r.URL.Path, "/.") {
			http.NotFound(w, r)
			return
		}
		files.ServeHTTP(w, r)
	})
}
