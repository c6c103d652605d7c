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
	"time"

	"github.com/coder/websocket"

	"hardnode.dev/agent/container"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// Runtime is what sessions need of agent/container.
type Runtime interface {
	Exec(ctx context.Context, id wire.CTID, spec host.ExecSpec, io container.Stdio) (host.Exit, error)
	Logs(ctx context.Context, id wire.CTID, spec host.LogsSpec, line func(stderr bool, text []byte) error) error
}

// JEMProgram is where the in-container tool is bound in every container.
const JEMProgram = "/run/hardnode/jem"

// maxSessions bounds the sessions that may be open at once.
const maxSessions = 64

// sessions long-polls for session requests and carries each out beside the others, until ctx ends.
func (l *Link) sessions(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, maxSessions)
	path := fmt.Sprintf("%s?wait=%s", host.PathSessions, pollWait)
	for n := 0; ctx.Err() == nil; {
		a, err := l.client.call(ctx, l.client.with.Load(), http.MethodGet, path, nil, pollDeadline)
		var req host.SessionRequest
		if err == nil {
			dec := json.NewDecoder(bytes.NewReader(a.body))
			dec.DisallowUnknownFields()
			err = dec.Decode(&req)
		}
		switch {
		case errors.Is(err, errNothing):
			n = 0
			continue
		case err != nil:
			if !l.backoff(ctx, n, err) {
				return nil
			}
			n++
			continue
		}
		n = 0
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := l.session(ctx, a.endpoint, req); err != nil && ctx.Err() == nil {
				l.log.Warn("session ended badly", logging.Container, req.CTID, logging.Err, err)
			}
		})
	}
	return nil
}

// session dials back and carries one request out.
func (l *Link) session(ctx context.Context, endpoint string, req host.SessionRequest) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dialCtx, dialed := context.WithTimeout(ctx, callDeadline)
	ws, _, err := websocket.Dial(dialCtx, "wss://"+endpoint+host.PathSession+req.ID, &websocket.DialOptions{HTTPClient: l.client.with.Load()})
	dialed()
	if err != nil {
		return fmt.Errorf("dial session %s back: %v", req.ID, err)
	}
	defer ws.CloseNow()
	ws.SetReadLimit(host.MaxFrame + 1)
	out := &frames{ctx: ctx, ws: ws}
	in := newInput()
	defer in.close()
	var reader sync.WaitGroup
	reader.Go(func() {
		defer cancel() // the other side is gone: so is the session
		in.read(ctx, ws)
	})
	exit := l.carry(ctx, req, in, out)
	err = out.write(host.ChanExit, host.ExitPayload(exit))
	if cerr := ws.Close(websocket.StatusNormalClosure, ""); err == nil {
		err = cerr
	}
	cancel()
	reader.Wait()
	if websocket.CloseStatus(err) >= 0 || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// carry runs what was asked for.
func (l *Link) carry(ctx context.Context, req host.SessionRequest, in *input, out *frames) host.Exit {
	var exit host.Exit
	var err error
	switch {
	case req.Logs != nil:
		err = l.o.Runtime.Logs(ctx, req.CTID, *req.Logs, func(stderr bool, text []byte) error {
			c := host.ChanStdout
			if stderr {
				c = host.ChanStderr
			}
			return out.write(c, append(bytes.TrimSuffix(text, []byte("\n")), '\n'))
		})
	case req.Exec != nil || req.JEM != nil:
		spec := execOf(req)
		exit, err = l.o.Runtime.Exec(ctx, req.CTID, spec, container.Stdio{In: in.stdin, Out: out.to(host.ChanStdout), Err: out.to(host.ChanStderr), Resize: in.resize})
		l.log.Info("exec", logging.Container, req.CTID, "program", program(spec), "code", exit.Code)
	default:
		err = errors.New("the request names neither exec, logs nor jem; update this host's release")
	}
	if err != nil && ctx.Err() == nil {
		return host.Exit{Code: 125, Error: err.Error()}
	}
	return exit
}

// execOf is the command of an exec or JEM request.
func execOf(req host.SessionRequest) host.ExecSpec {
	if req.Exec != nil {
		return *req.Exec
	}
	return host.ExecSpec{Argv: append([]string{JEMProgram, req.JEM.Module, req.JEM.Action}, req.JEM.Args...)}
}

func program(s host.ExecSpec) string {
	if len(s.Argv) == 0 {
		return ""
	}
	return s.Argv[0]
}

// frames writes frames, one at a time.
type frames struct {
	ctx context.Context
	ws  *websocket.Conn
	mu  sync.Mutex
}

func (f *frames) write(c host.Channel, p []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for first := true; first || len(p) > 0; first = false {
		n := min(len(p), host.MaxFrame)
		ctx, cancel := context.WithTimeout(f.ctx, 30*time.Second)
		err := f.ws.Write(ctx, websocket.MessageBinary, host.Frame(c, p[:n]))
		cancel()
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// to is an io.Writer onto one channel.
func (f *frames) to(c host.Channel) io.Writer { return channel{f, c} }

type channel struct {
	f *frames
	c host.Channel
}

func (w channel) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return len(p), w.f.write(w.c, p)
}

// input takes the other side's frames apart.
type input struct {
	stdin  *io.PipeReader
	feed   *io.PipeWriter
	resize chan [2]uint16
}

func newInput() *input {
	in := &input{resize: make(chan [2]uint16, 1)}
	in.stdin, in.feed = io.Pipe()
	return in
}

func (in *input) close() { in.stdin.Close() }

// read goes on until the connection ends.
func (in *input) read(ctx context.Context, ws *websocket.Conn) {
	defer in.feed.Close()
	for {
		kind, msg, err := ws.Read(ctx)
		if err != nil || kind != websocket.MessageBinary {
			return
		}
		c, payload, err := host.ParseFrame(msg)
		if err != nil {
			return
		}
		switch c {
		case host.ChanStdin:
			if len(payload) == 0 {
				in.feed.Close()
				continue
			}
			if _, err := in.feed.Write(payload); err != nil {
				continue // the process does not read any more; its exit is still to come
			}
		case host.ChanResize:
			rows, cols, err := host.ParseResize(payload)
			if err != nil {
				return
			}
			select {
			case <-in.resize: // only the last size counts
			default:
			}
			in.resize <- [2]uint16{rows, cols}
		}
	}
}
