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
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/run/listen"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/netboot/address"
	"hardnode.dev/orchestrator/netboot/answer"
	"hardnode.dev/orchestrator/netboot/tftp"
	"hardnode.dev/orchestrator/netboot/trouble"
)

// Limits.
const (
	perSecond = 50               // answers to requests to boot
	burst     = 100              // at once
	tick      = time.Second / 2  // of what is to be sent again
	slowest   = 15 * time.Minute // a file by HTTP
)

// content is what is served.
type content struct {
	boots    func(card string) (folder, why string)
	firmware map[string][]byte // by TFTP
	files    http.Handler
	giver    *address.Giver
	gives    func() host.Given // what of, now
	troubles *trouble.Book
}

// tasks are all that serves: requests to boot are answered as boots says, with an address where those are given, firmware is handed out by
// TFTP, all other files by HTTP.
func (s sockets) tasks(log *slog.Logger, c content) []run.Task {
	return []run.Task{s.dhcpTask(log, c), s.bootTask(log, c), tftpTask(log, s.tftp, c),
		{Name: "http", Run: listen.HTTP(s.http, nil, files(log, c), listen.Limits{Connections: 256, PerClient: 8, Answer: slowest}, log)}}
}

// rate bounds how many answers are given.
type rate struct {
	left float64
	last time.Time
}

func (r *rate) take(now time.Time) bool {
	r.left, r.last = min(burst, r.left+now.Sub(r.last).Seconds()*perSecond), now
	if r.left < 1 {
		return false
	}
	r.left--
	return true
}

// everybody hears what is sent there from a socket that is bound to a card.
var everybody = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// dhcpTask answers what comes to the port of DHCP servers: requests to boot, and for addresses where those are given.
func (s sockets) dhcpTask(logger *slog.Logger, c content) run.Task {
	log, may := &said{log: logger}, rate{burst, time.Now()}
	send := func(p []byte, to netip.AddrPort) {
		if _, err := s.dhcp.WriteToUDPAddrPort(p, to); err != nil {
			logger.Warn("a packet was not sent", logging.Addr, to.String(), logging.Err, err)
		}
	}
	var self netip.Addr
	var ask time.Time // when other DHCP servers are asked for next
	got := func(_ netip.AddrPort, at netip.Addr, raw []byte) {
		now := time.Now()
		if self = at; !at.IsValid() || !may.take(now) {
			return
		}
		c.giver.Set(c.gives(), at)
		served := answer.Served{Addr: at, HTTP: s.url(at), Boots: c.boots}
		boot, why := served.Decide(raw, answer.PortDHCP)
		given, to, reason := c.giver.Decide(raw, served.Name(raw), now)
		switch {
		case given != nil:
			log.boot(raw, true, reason)
			send(given, to)
		case boot != nil:
			log.boot(raw, true, why)
			send(boot, netip.AddrPortFrom(everybody, 68)) // a machine without an address hears broadcasts only
		default:
			log.boot(raw, false, why)
		}
	}
	return run.Task{Name: "port 67", Run: func(ctx context.Context) error {
		return packets(ctx, s.dhcp, tick, got, func() {
			now, to := time.Now(), netip.AddrPortFrom(everybody, answer.PortDHCP)
			if c.gives().Count() > 0 && !now.Before(ask) {
				question, next := []byte{0}, address.First
				if self.IsValid() { // before, it is no question yet: it comes back to this socket, with this machine's address
					c.giver.Set(c.gives(), self)
					question, next = c.giver.Question()
				}
				if ask = now.Add(next); question != nil {
					send(question, to)
				}
			}
			if text, is := c.giver.State(now); is {
				c.troubles.Is("dhcp", text)
			} else {
				c.troubles.Over("dhcp")
			}
		})
	}}
}

// bootTask answers what comes to the port of boot servers.
func (s sockets) bootTask(logger *slog.Logger, c content) run.Task {
	log, may := &said{log: logger}, rate{burst, time.Now()}
	return run.Task{Name: "port 4011", Run: func(ctx context.Context) error {
		return packets(ctx, s.boot, time.Hour, func(from netip.AddrPort, at netip.Addr, raw []byte) {
			if !at.IsValid() || !may.take(time.Now()) {
				return
			}
			reply, why := answer.Served{Addr: at, HTTP: s.url(at), Boots: c.boots}.Decide(raw, answer.PortBoot)
			log.boot(raw, reply != nil, why)
			if reply == nil {
				return
			}
			to := netip.AddrPortFrom(everybody, 68)
			if from.Addr().Is4() && !from.Addr().IsUnspecified() {
				to = from
			}
			if _, err := s.boot.WriteToUDPAddrPort(reply, to); err != nil {
				logger.Warn("a reply was not sent", logging.Addr, to.String(), logging.Err, err)
			}
		}, func() {})
	}}
}

// tftpTask hands out files by TFTP; the socket sees to it that answers stay on the card's own network.
func tftpTask(log *slog.Logger, conn *net.UDPConn, c content) run.Task {
	s := &tftp.Server{Files: c.firmware}
	send := func(to netip.AddrPort, p []byte) {
		if _, err := conn.WriteToUDPAddrPort(p, to); err != nil {
			log.Warn("a packet was not sent", logging.Addr, to.String(), logging.Err, err)
		}
	}
	return run.Task{Name: "tftp", Run: func(ctx context.Context) error {
		return packets(ctx, conn, tick, func(from netip.AddrPort, _ netip.Addr, raw []byte) {
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
				c.troubles.Is("tftp of "+e.From.Addr().String(), e.Text+": is UDP from port 69 blocked on the way?")
			}
		})
	}}
}

// packets hands on what comes to conn, with this machine's own address where the socket tells it, and calls every at once and at least that
// often, until ctx ends.
func packets(ctx context.Context, conn *net.UDPConn, each time.Duration, got func(from netip.AddrPort, at netip.Addr, raw []byte),
	every func()) error {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	buf, control, next := make([]byte, answer.MaxMessage+1), make([]byte, 256), time.Now()
	for ctx.Err() == nil {
		conn.SetReadDeadline(next)
		n, told, _, from, err := conn.ReadMsgUDPAddrPort(buf, control)
		switch {
		case err == nil:
			got(netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), ownAddress(control[:told]), buf[:n])
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
