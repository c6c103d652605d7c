package main

import (
	"log/slog"
	"net"
	"time"

	"hardnode.dev/internal/logging"
)

// quiet is how long the same is not said again of a card; most is how many cards are remembered.
const (
	quiet = 10 * time.Second
	most  = 1024
)

// said keeps a log readable while machines ask again and again. Its methods are called by one goroutine.
type said struct {
	log  *slog.Logger
	last map[string]saying
}

type saying struct {
	why string
	at  time.Time
}

// boot says what a request to boot got. What does not ask to boot is not worth a line.
func (s *said) boot(raw []byte, answered bool, why string) {
	if !answered && why == "it does not ask to boot" || len(raw) < 34 {
		return
	}
	card := net.HardwareAddr(raw[28:34]).String() // RFC 2131: chaddr
	now := time.Now()
	if was := s.last[card]; was.why == why && now.Sub(was.at) < quiet {
		return
	}
	if s.last == nil || len(s.last) >= most {
		s.last = map[string]saying{}
	}
	s.last[card] = saying{why, now}
	if answered {
		s.log.Info("a machine boots", "card", card, "file", why)
	} else {
		s.log.Info("a machine is not answered", "card", card, logging.Reason, why)
	}
}
