package link

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/coder/websocket"

	"hardnode.dev/agent/container/command"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/jem"
	"hardnode.dev/internal/wire/neighbour"
	"hardnode.dev/internal/wire/session"
	"hardnode.dev/internal/wire/snapshot"
)

// Runtime is what sessions need of agent/container.
type Runtime interface {
	Exec(ctx context.Context, id wire.CTID, spec host.ExecSpec, io command.Stdio) (host.Exit, error)
	Logs(ctx context.Context, id wire.CTID, spec host.LogsSpec, line func(stderr bool, text []byte) error) error
	Told(ctx context.Context, id wire.CTID) jem.Told // what JEM is to know of its container
}

// maxSessions bounds the sessions that may be open at once.
const maxSessions = 64

// sessions long-polls for session requests, where they do not come with the Assignment, until ctx ends.
func (l *Link) sessions(ctx context.Context) error {
	path := fmt.Sprintf("%s?wait=%s", host.PathSessions, pollWait)
	for again := (retry{}); ctx.Err() == nil; {
		if protocol, changed := l.client.protocol.get(); protocol == 0 || protocol >= host.ProtocolSessions {
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		a, err := l.poll(ctx, "sessions", path)
		var req host.SessionRequest
		if err == nil {
			err = neighbour.Decode(a.body, &req)
		}
		switch {
		case errors.Is(err, errNothing):
			again.ok()
			continue
		case err != nil:
			if !again.wait(ctx, err) {
				return nil
			}
			continue
		}
		again.ok()
		l.begin(ctx, a.endpoint, req)
	}
	return nil
}

// begin carries a session out beside the others; more than maxSessions wait for one to end.
func (l *Link) begin(ctx context.Context, endpoint string, req host.SessionRequest) {
	l.open.Go(func() {
		select {
		case l.places <- struct{}{}:
		case <-ctx.Done():
			return
		}
		defer func() { <-l.places }()
		if err := l.session(ctx, endpoint, req); err != nil && ctx.Err() == nil {
			l.log.Warn("session ended badly", logging.Container, req.CTID, logging.Err, err)
		}
	})
}

// session dials back and carries one request out.
func (l *Link) session(ctx context.Context, endpoint string, req host.SessionRequest) error {
	dialCtx, dialed := context.WithTimeout(ctx, callDeadline)
	ws, _, err := websocket.Dial(dialCtx, "wss://"+endpoint+host.PathSession+req.ID,
		&websocket.DialOptions{HTTPClient: l.client.with.Load(), Subprotocols: []string{host.SessionProtocol},
			HTTPHeader: http.Header{host.ProtocolHeader: {l.client.spoken.String()}}})
	dialed()
	if err != nil {
		return fmt.Errorf("dial session %s back: %v", req.ID, err)
	}
	line := session.Open(ctx, ws, session.HostEnd, session.Options{})
	defer line.Close()
	whole := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var watch sync.WaitGroup
	defer watch.Wait()
	watch.Go(func() { // the other side is gone: so is what it asked for
		defer cancel()
		select {
		case <-line.Done():
		case <-ctx.Done():
		}
	})
	exit := l.carry(ctx, whole, req, line)
	if ctx.Err() != nil {
		return nil
	}
	err = line.Exit(exit)
	cancel()
	return err
}

// carry runs what was asked for, until ctx ends: with the session. whole ends with the agent.
func (l *Link) carry(ctx, whole context.Context, req host.SessionRequest, line *session.Link) host.Exit {
	stdout, stderr := line.Writer(host.ChanStdout), line.Writer(host.ChanStderr)
	var exit host.Exit
	var err error
	switch {
	case req.Logs != nil:
		err = l.o.Runtime.Logs(ctx, req.CTID, *req.Logs, func(isErr bool, text []byte) error {
			to := stdout
			if isErr {
				to = stderr
			}
			_, err := to.Write(append(bytes.TrimSuffix(text, []byte("\n")), '\n'))
			return err
		})
	case req.HostLogs != nil && l.o.HostLogs != nil:
		err = l.o.HostLogs(ctx, *req.HostLogs, func(text []byte) error {
			_, err := stdout.Write(append(bytes.Clone(text), '\n'))
			return err
		})
	case req.Leave != nil && l.o.Leave != nil:
		l.log.Info("ordered to leave the machine", "what", req.Leave.What(), "by", req.Leave.By, logging.Reason, req.Leave.Reason)
		err = l.o.Leave(ctx, *req.Leave)
	case req.Show != "" && l.o.Show != nil:
		l.log.Info("shown", "what", req.Show)
		err = l.o.Show(ctx, req.Show, stdout)
	case req.Install != nil && l.o.Install != nil:
		err = answered(ctx, stdout, *req.Install, l.o.Install)
	case req.Slots != nil && l.o.Slots != nil:
		err = answered(ctx, stdout, *req.Slots, l.o.Slots)
	case req.Storage != nil && l.o.Storage != nil:
		err = answered(ctx, stdout, *req.Storage, l.o.Storage)
	case req.Usage != nil && l.o.Usage != nil:
		err = answered(ctx, stdout, *req.Usage, l.o.Usage)
	case req.Node != nil && l.o.Node != nil:
		err = l.o.Node(ctx, req.CTID, *req.Node,
			command.Stdio{In: line.Reader(host.ChanStdin), Out: stdout, Err: stderr, Resize: line.Resizes()})
	case req.Snapshots != nil && l.o.Snapshots != nil:
		err = answered(ctx, stdout, *req.Snapshots, func(ctx context.Context, q snapshot.Ask) (snapshot.Answer, error) {
			return l.o.Snapshots(ctx, req.CTID, q)
		})
	case req.Backups != nil && l.o.Backups != nil:
		err = l.o.Backups(ctx, *req.Backups, line.Reader(host.ChanStdin), stdout)
	case req.Exec != nil:
		exit, err = l.o.Runtime.Exec(ctx, req.CTID, *req.Exec,
			command.Stdio{In: line.Reader(host.ChanStdin), Out: stdout, Err: stderr, Resize: line.Resizes()})
		l.log.Info("exec", logging.Container, req.CTID, "program", program(*req.Exec), "code", exit.Code)
	case req.JEM != nil:
		exit, err = l.jem.Carry(whole, req.CTID, *req.JEM, l.o.Runtime.Told(ctx, req.CTID), line.Reader(host.ChanStdin), stdout,
			l.o.Runtime.Exec)
		l.log.Info("jem", logging.Container, req.CTID, "module", req.JEM.Module, "action", req.JEM.Action, "code", exit.Code)
	default:
		err = errors.New("the request names nothing that this host knows; update this host's release")
	}
	if err != nil && ctx.Err() == nil {
		return host.Exit{Code: 125, Error: err.Error()}
	}
	return exit
}

// answered writes an answer as JSON.
func answered[Q, A any](ctx context.Context, w io.Writer, q Q, ask func(context.Context, Q) (A, error)) error {
	a, err := ask(ctx, q)
	if err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(a)
}

func program(s host.ExecSpec) string {
	if len(s.Argv) == 0 {
		return ""
	}
	return s.Argv[0]
}
