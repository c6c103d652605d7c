// Package syslog sends the host's own logs to log servers: RFC 5424 over TLS (RFC 5425).
//
// Owns: the form of the messages, what waits for a server that is away, and how far each log was sent.
// In: the lines of the host's logs; the servers of the host's configuration.
// Out: messages; what keeps them back, as problems of the host.
// Never: sends to a server that does not prove who it is, holds up who writes a log, or keeps more than its bounds: what does not fit is
// dropped, oldest first, counted, and said to the server and in the host's problems.
package syslog

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"hardnode.dev/agent/hostlog"
	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
)

// The bounds of what waits for one server, and of the time it may take.
const (
	buffer    = 1 << 20 // bytes
	dialLimit = 10 * time.Second
	sendLimit = 15 * time.Second
)

// Options are what an Export needs.
type Options struct {
	Config func(context.Context) (boot.HostConfig, error) // waits for it
	Name   func() string                                  // of this host; "" while it has none
	Logs   hostlog.Logs
	Place  string       // a file of this boot: how far each log was sent
	Log    *slog.Logger // nil discards
}

// Export sends the logs. Its methods may be called at once.
type Export struct {
	o  Options
	mu struct {
		sync.Mutex
		servers []*server
	}
}

// server is one log server and what waits for it.
type server struct {
	boot.Syslog
	*queue
	mu struct {
		sync.Mutex
		why string // it gets nothing; "": it does
	}
}

// New makes one; it does nothing on a host whose configuration names no server.
func New(o Options) *Export { return &Export{o: o} }

// Run sends until ctx ends.
func (e *Export) Run(ctx context.Context) error {
	c, err := e.o.Config(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	if c.Log == nil || len(c.Log.Syslog) == 0 {
		return nil
	}
	var servers []*server
	for _, s := range c.Log.Syslog {
		servers = append(servers, &server{Syslog: s, queue: newQueue(buffer)})
	}
	e.mu.Lock()
	e.mu.servers = servers
	e.mu.Unlock()
	begun := e.begun()
	var tasks []run.Task
	for _, unit := range host.Units {
		tasks = append(tasks, run.Task{Name: "log " + string(unit), Run: func(ctx context.Context) error {
			return e.follow(ctx, unit, begun[unit], servers)
		}})
	}
	for _, s := range servers {
		tasks = append(tasks, run.Task{Name: "syslog " + s.Address, Run: func(ctx context.Context) error { return e.serve(ctx, s) }})
	}
	tasks = append(tasks, run.Task{Name: "place", Run: func(ctx context.Context) error { return e.remember(ctx, begun, servers) }})
	return run.Group(ctx, e.o.Log, tasks...)
}

// follow puts a log's lines into the queues. A log that can't be read is tried again.
func (e *Export) follow(ctx context.Context, unit host.Unit, from time.Time, servers []*server) error {
	run.Keep(ctx, time.Second, time.Minute, func(ctx context.Context) {
		err := e.o.Logs.Lines(ctx, host.HostLogsSpec{Unit: unit, Follow: true, Since: from}, func(l hostlog.Line) error {
			f := frame(e.o.Name(), unit, l.At, l.Text)
			for _, s := range servers {
				s.put(line{unit, l.At, f})
			}
			if l.At.After(from) {
				from = l.At
			}
			return nil
		})
		if err != nil && ctx.Err() == nil {
			logging.Or(e.o.Log).Debug("a log can't be sent on", "unit", string(unit), logging.Err, err)
		}
	})
	return nil
}

// serve keeps a connection to a server, and sends it what waits.
func (e *Export) serve(ctx context.Context, s *server) error {
	run.Keep(ctx, time.Second, 30*time.Second, func(ctx context.Context) {
		err := e.send(ctx, s)
		if ctx.Err() == nil {
			e.say(s, err)
		}
	})
	return nil
}

// say notes how a server is, and logs it where it changes.
func (e *Export) say(s *server, err error) {
	why := ""
	if err != nil {
		why = err.Error()
	}
	s.mu.Lock()
	was := s.mu.why
	s.mu.why = why
	s.mu.Unlock()
	switch {
	case (was == "") == (why == ""):
	case why != "":
		logging.Or(e.o.Log).Warn("the log server gets nothing", logging.Addr, s.Address, logging.Err, err)
	default:
		logging.Or(e.o.Log).Info("the log server gets the logs again", logging.Addr, s.Address)
	}
}

// send connects and sends until the connection ends; the error says why.
func (e *Export) send(ctx context.Context, s *server) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: dialLimit, KeepAlive: 15 * time.Second}, Config: s.tls()}
	conn, err := dialer.DialContext(ctx, "tcp", s.Address)
	if err != nil {
		return err
	}
	defer conn.Close()
	gone := make(chan struct{})
	go func() { // a server says nothing; that it ends the connection is only seen by reading
		defer close(gone)
		_, err := io.Copy(io.Discard, conn)
		cancel(cmp.Or(err, errors.New("it ended the connection")))
	}()
	defer func() { conn.Close(); <-gone }()
	e.say(s, nil)
	for {
		l, dropped, ok := s.first()
		if !ok {
			select {
			case <-s.more:
				continue
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		out := l.frame
		if dropped > 0 {
			note := fmt.Sprintf("level=WARN msg=%q lines=%d", " lines were dropped before this: this server was away, or slow", dropped)
			out = append(frame(e.o.Name(), host.UnitAgent, time.Now(), []byte(" "+note)), l.frame...)
		}
		conn.SetWriteDeadline(time.Now().Add(sendLimit))
		if _, err := conn.Write(out); err != nil {
			return cmp.Or(context.Cause(ctx), err)
		}
		s.sent(l, dropped)
	}
}

// tls asks the server for what the configuration wants of it.
func (s *server) tls() *tls.Config {
	if s.Pin != "" {
		return identity.PinnedTLS(s.Pin)
	}
	name, _, _ := net.SplitHostPort(s.Address)
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: s.Pool(), ServerName: name}
}

// Problems are those of servers that get nothing, or did not get all.
func (e *Export) Problems() (ps []host.Problem) {
	e.mu.Lock()
	servers := e.mu.servers
	e.mu.Unlock()
	for _, s := range servers {
		s.mu.Lock()
		why := s.mu.why
		s.mu.Unlock()
		lines, lost := s.waiting()
		if why == "" {
			continue
		}
		reason := fmt.Sprintf("it gets no logs: %s; %d lines wait", why, lines)
		if lost > 0 {
			reason += fmt.Sprintf(", %d were dropped", lost)
		}
		ps = append(ps, host.Problem{Code: "unavailable", Object: "log server " + s.Address, Reason: reason,
			Next: "check the server, the way to it, and log.syslog of the host's configuration"})
	}
	return ps
}

// begun is how far each log was sent by an earlier agent of this boot.
func (e *Export) begun() map[host.Unit]time.Time {
	out := map[host.Unit]time.Time{}
	if raw, err := os.ReadFile(e.o.Place); err == nil && json.Unmarshal(raw, &out) != nil {
		return map[host.Unit]time.Time{}
	}
	return out
}

// remember keeps how far each log was sent to all servers, for the next agent of this boot: what waited when this one ended is sent then.
func (e *Export) remember(ctx context.Context, begun map[host.Unit]time.Time, servers []*server) error {
	last := ""
	return run.Every(ctx, 2*time.Second, func(context.Context) error {
		now := map[host.Unit]time.Time{}
		for _, unit := range host.Units {
			at := servers[0].place(unit)
			for _, s := range servers[1:] {
				if t := s.place(unit); t.Before(at) {
					at = t
				}
			}
			if b := begun[unit]; at.Before(b) {
				at = b
			}
			if !at.IsZero() {
				now[unit] = at.Add(time.Microsecond)
			}
		}
		raw, err := json.Marshal(now)
		if err != nil || string(raw) == last {
			return nil
		}
		if err := keep.WriteFile(e.o.Place, raw, 0o600); err == nil {
			last = string(raw)
		}
		return nil
	})
}
