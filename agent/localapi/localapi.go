// Package localapi is the agent's own API, for the console, the owner of the hypervisor, and rescue.
//
// Owns: HTTP/JSON on RUN/agent.sock and on vsock port 7440.
// In: requests from root on this host, or from the machine this one runs on (who owns its memory anyway).
// Out: the host's status, its support bundle, its configuration without secrets; a container's command and its output; unused images
// deleted; the host installed to a disk; its slots.
// Never: listens on IP, changes what shall run, or gives out keys.
package localapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"hardnode.dev/agent/container"
	"hardnode.dev/agent/container/command"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run/listen"
	"hardnode.dev/internal/run/socket"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/install"
	"hardnode.dev/internal/wire/slots"
	"hardnode.dev/internal/wire/storage"
	"hardnode.dev/internal/wire/upkeep"
)

// Options are what the API tells and does.
type Options struct {
	Status  func(context.Context) boot.AgentStatus
	Exec    func(context.Context, wire.CTID, host.ExecSpec, command.Stdio) (host.Exit, error)
	Logs    func(context.Context, wire.CTID, host.LogsSpec, func(stderr bool, text []byte) error) error
	Collect func(context.Context) ([]wire.Digest, error)
	Install Installer
	Slots   Slots
	Storage Storage                                             // nil: the host lies on no disk
	Show    func(context.Context, upkeep.Show, io.Writer) error // a document of the host
	Socket  string                                              // path; "" is boot.AgentSocket
	Log     *slog.Logger                                        // nil discards

	fromLoopback bool // tests in a guest without a hypervisor's vsock: serve this machine itself instead
}

// Installer puts this host onto a disk.
type Installer interface {
	Status() install.Status
	Start(context.Context, install.Spec) (install.Status, error)
}

// Slots are the systems of an installed host.
type Slots interface {
	Status() slots.Status
	Do(context.Context, slots.Request) (slots.Status, error)
}

// Storage is the disks of an installed host.
type Storage interface {
	Status() storage.Status
	Replace(context.Context, storage.Replace) (storage.Status, error)
}

// ExecRequest runs one command in a container: POST /v1/exec. It has no stdin and ends with its caller.
type ExecRequest struct {
	CTID wire.CTID `json:"ctid"`
	Argv []string  `json:"argv"`
}

// ExecReply is its outcome; each output is cut at MaxOutput bytes.
type ExecReply struct {
	host.Exit
	Stdout string `json:"stdout"`
	Stderr string `json:"stderr"`
}

// MaxOutput is the most that is kept of each output of an exec, in bytes.
const MaxOutput = 1 << 20

// Handler is the API.
func Handler(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, r *http.Request) { answer(w, o.Status(r.Context())) })
	mux.HandleFunc("GET /v1/containers", func(w http.ResponseWriter, r *http.Request) { answer(w, o.Status(r.Context()).Containers) })
	mux.HandleFunc("GET /v1/logs/{ctid}", func(w http.ResponseWriter, r *http.Request) { logs(o, w, r) })
	mux.HandleFunc("GET /v1/support", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/gzip")
		show(o, w, r, upkeep.ShowSupport)
	})
	mux.HandleFunc("GET /v1/config", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		show(o, w, r, upkeep.ShowConfig)
	})
	mux.HandleFunc("POST /v1/exec", func(w http.ResponseWriter, r *http.Request) { execute(o, w, r) })
	mux.HandleFunc("POST /v1/images/collect", func(w http.ResponseWriter, r *http.Request) {
		gone, err := o.Collect(r.Context())
		if err != nil {
			refuse(w, http.StatusServiceUnavailable, err)
			return
		}
		answer(w, gone)
	})
	mux.HandleFunc("GET /v1/install", func(w http.ResponseWriter, _ *http.Request) { answer(w, o.Install.Status()) })
	mux.HandleFunc("POST /v1/install", func(w http.ResponseWriter, r *http.Request) { start(o, w, r) })
	mux.HandleFunc("GET /v1/slots", func(w http.ResponseWriter, _ *http.Request) { answer(w, o.Slots.Status()) })
	mux.HandleFunc("POST /v1/slots", func(w http.ResponseWriter, r *http.Request) { change(o, w, r) })
	if o.Storage != nil {
		mux.HandleFunc("GET /v1/storage", func(w http.ResponseWriter, _ *http.Request) { answer(w, o.Storage.Status()) })
		mux.HandleFunc("POST /v1/storage", func(w http.ResponseWriter, r *http.Request) { replace(o, w, r) })
	}
	return mux
}

// replace begins to fill a disk in the place of one that is gone, or plans it.
func replace(o Options, w http.ResponseWriter, r *http.Request) {
	var want storage.Replace
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&want); err != nil {
		refuse(w, http.StatusBadRequest, fmt.Errorf(`read the wish: %v; want {"disk": {"path": "/dev/…"}, "dryRun": true}`, err))
		return
	}
	status, err := o.Storage.Replace(r.Context(), want)
	if err != nil {
		refuse(w, http.StatusConflict, err)
		return
	}
	answer(w, status)
}

// change does something to the slots.
func change(o Options, w http.ResponseWriter, r *http.Request) {
	var want slots.Request
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&want); err != nil {
		refuse(w, http.StatusBadRequest, fmt.Errorf(`read what is asked: %v; want {"action": "try"}`, err))
		return
	}
	status, err := o.Slots.Do(r.Context(), want)
	if err != nil {
		refuse(w, http.StatusConflict, err)
		return
	}
	answer(w, status)
}

// start begins an installation, or plans one.
func start(o Options, w http.ResponseWriter, r *http.Request) {
	var want install.Spec
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&want); err != nil {
		refuse(w, http.StatusBadRequest, fmt.Errorf(`read the wish: %v; want {"disk": {"path": "/dev/…"}, "dryRun": true}`, err))
		return
	}
	status, err := o.Install.Start(r.Context(), want)
	if err != nil {
		refuse(w, http.StatusConflict, err)
		return
	}
	answer(w, status)
}

// show writes a document. One that breaks off breaks the connection off: nobody takes it for a whole one.
func show(o Options, w http.ResponseWriter, r *http.Request, what upkeep.Show) {
	out := &begun{w: w}
	if err := o.Show(r.Context(), what, out); err != nil {
		if out.any {
			panic(http.ErrAbortHandler)
		}
		refuse(w, http.StatusServiceUnavailable, err)
	}
}

// begun knows whether anything was written.
type begun struct {
	w   io.Writer
	any bool
}

func (b *begun) Write(p []byte) (int, error) { b.any = true; return b.w.Write(p) }

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, status int, err error) { http.Error(w, err.Error(), status) }

func execute(o Options, w http.ResponseWriter, r *http.Request) {
	var req ExecRequest
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&req); err != nil || len(req.Argv) == 0 {
		refuse(w, http.StatusBadRequest, errors.New(`want {"ctid": N, "argv": ["/program", …]}`))
		return
	}
	var out, errOut limited
	exit, err := o.Exec(r.Context(), req.CTID, host.ExecSpec{Argv: req.Argv}, command.Stdio{Out: &out, Err: &errOut})
	switch {
	case errors.Is(err, container.ErrNotFound):
		refuse(w, http.StatusNotFound, err)
	case errors.Is(err, container.ErrNotRunning):
		refuse(w, http.StatusConflict, err)
	case err != nil:
		refuse(w, http.StatusInternalServerError, err)
	default:
		answer(w, ExecReply{Exit: exit, Stdout: out.b.String(), Stderr: errOut.b.String()})
	}
}

func logs(o Options, w http.ResponseWriter, r *http.Request) {
	id, err := wire.ParseCTID(r.PathValue("ctid"))
	tail := 100
	if t := r.URL.Query().Get("tail"); err == nil && t != "" {
		tail, err = strconv.Atoi(t)
	}
	if err != nil || tail < 0 {
		refuse(w, http.StatusBadRequest, errors.New("want /v1/logs/<container>?tail=<lines>"))
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	err = o.Logs(r.Context(), id, host.LogsSpec{Tail: tail}, func(_ bool, text []byte) error {
		_, err := w.Write(append(bytes.TrimSuffix(text, []byte("\n")), '\n'))
		return err
	})
	if errors.Is(err, container.ErrNotFound) {
		refuse(w, http.StatusNotFound, err)
	}
}

// limited keeps the first MaxOutput bytes.
type limited struct{ b bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	l.b.Write(p[:min(len(p), MaxOutput-l.b.Len())])
	return len(p), nil
}

// Open listens on the socket. What it returns serves that, and vsock, until ctx ends; a kernel without vsock is no error.
func Open(o Options) (serve func(context.Context) error, err error) {
	if o.Socket == "" {
		o.Socket = boot.AgentSocket
	}
	l, err := socket.Listen(o.Socket, 0)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error { return serveOn(ctx, l, o) }, nil
}

func serveOn(ctx context.Context, l net.Listener, o Options) error {
	log := logging.Or(o.Log)
	srv := &http.Server{Handler: Handler(o), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 30 * time.Second, MaxHeaderBytes: 8 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx }}
	return listen.Until(ctx, srv, 0, func() error {
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				log.Error("agent socket", logging.Err, err)
			}
		})
		wg.Go(func() { serveVsock(ctx, srv, log, o.fromLoopback) })
		wg.Wait()
		<-ctx.Done()
		return nil
	})
}
