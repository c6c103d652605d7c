// Package listen is how the platform's daemons serve HTTP to callers that may be many, slow or hostile.
//
// Owns: how many connections there are, in all and of one client; deadlines of handshakes, headers and bodies; the orderly end.
// In: a listener, a handler, the limits.
// Out: requests whose body comes on time or breaks off; answers that arrive even when the body was not read.
// Never: knows who a caller is: a handler authenticates before it takes anything that is scarce.
package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"hardnode.dev/internal/limit"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
)

// Limits are what one listener grants. The zero value of a field is the default in its comment; SECURITY.md has the table of all listeners.
type Limits struct {
	Connections int           // open at once; 1000
	PerClient   int           // of them, of one client: an IPv4 address or an IPv6 /64; 128
	Header      time.Duration // from the connection's start to the end of its handshake, and of a request's header; 10 s
	HeaderBytes int           // of one request; 32 KiB
	Streams     int           // requests at once of one HTTP/2 connection; 100
	Idle        time.Duration // between two requests of a connection; 2 min
	BodyWait    time.Duration // longest time without a byte of a body; 10 s
	BodyRate    int64         // bytes a second that a body must come with, once BodyWait is over; 1024
	Answer      time.Duration // from a request's header to the end of its answer; 0: the handler sets it
	End         time.Duration // how long requests at work have when the daemon ends; 5 s
	Polls       bool          // requests may wait for long, so their contexts end as soon as the daemon does
}

func (l Limits) filled() Limits {
	set(&l.Connections, 1000)
	set(&l.PerClient, 128)
	set(&l.Header, 10*time.Second)
	set(&l.HeaderBytes, 32<<10)
	set(&l.Streams, 100)
	set(&l.Idle, 2*time.Minute)
	set(&l.BodyWait, 10*time.Second)
	set(&l.BodyRate, 1024)
	set(&l.End, 5*time.Second)
	return l
}

func set[T comparable](field *T, v T) {
	var zero T
	if *field == zero {
		*field = v
	}
}

// HTTP serves h on l until ctx ends; conf nil is plain HTTP. Requests at work then get Limits.End. The result is a run.Task's Run; it
// errors only when serving fails.
func HTTP(l net.Listener, conf *tls.Config, h http.Handler, limits Limits, log *slog.Logger) func(context.Context) error {
	limits = limits.filled()
	log = logging.Or(log)
	return func(ctx context.Context) error {
		s := &http.Server{
			Handler: Bodies(h, limits), ReadHeaderTimeout: limits.Header, WriteTimeout: limits.Answer,
			IdleTimeout: limits.Idle, MaxHeaderBytes: limits.HeaderBytes, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
			HTTP2: &http.HTTP2Config{MaxConcurrentStreams: limits.Streams},
		}
		if limits.Polls {
			s.BaseContext = func(net.Listener) context.Context { return ctx }
		}
		turns := newTurns()
		if conf != nil {
			s.TLSConfig = turns.config(conf)
		}
		gate := &limit.Gate{All: limits.Connections, Each: limits.PerClient}
		counted := limit.Listener(l, gate)
		telling, end := context.WithCancel(ctx)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer end()
		wg.Go(func() {
			for told := int64(0); run.Wait(telling, time.Minute); {
				told = tell(log, gate, told)
			}
		})
		return Until(ctx, s, limits.End, func() error {
			if conf == nil {
				return s.Serve(counted)
			}
			return s.ServeTLS(turns.listener(counted), "", "")
		})
	}
}

// Until lets serve serve s until ctx ends. Requests at work then have the time last; what is left of them, and connections that left HTTP
// (WebSockets), are broken off. It returns once serve has; that s was closed is no error, and neither is a serve that returns nil before.
func Until(ctx context.Context, s *http.Server, last time.Duration, serve func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- serve() }()
	select {
	case err := <-ended:
		return orderly(err)
	case <-ctx.Done():
	}
	left, cancel := context.WithTimeout(context.WithoutCancel(ctx), last)
	defer cancel()
	if s.Shutdown(left) != nil {
		s.Close()
	}
	return orderly(<-ended)
}

// orderly is err, but that a server was closed.
func orderly(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// tell logs the connections that the gate closed at once since told of them were logged, and is how many there are now.
func tell(log *slog.Logger, gate *limit.Gate, told int64) int64 {
	n := gate.Refused()
	if n > told {
		log.Warn("connections closed at once", logging.Reason, "too many are open, in all or of one client", "count", n-told)
	}
	return n
}
