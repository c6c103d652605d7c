// Package consoleapi is what the agent gives to the program at the host's terminals, which runs without rights and may be an attacker.
//
// Owns: HTTP/JSON on console.Socket; whether a change is allowed; that each is logged.
// In: requests of boot.ConsoleUser; the console's password, as it is kept in the configuration.
// Out: what the host is, its logs, its support bundle; changes, by the agent's other parts.
// Never: listens on anything but that socket, runs a command in a container, gives out a secret, or believes the program that asks.
package consoleapi

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
	"time"

	"hardnode.dev/agent/container"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run/listen"
	"hardnode.dev/internal/run/socket"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/console"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/install"
	"hardnode.dev/internal/wire/slots"
	"hardnode.dev/internal/wire/storage"
	"hardnode.dev/internal/wire/upkeep"
)

// Options are what the API tells and does.
type Options struct {
	Status     func(context.Context) boot.AgentStatus
	Host       func() console.Host
	Network    func(context.Context) (console.Network, error)
	Containers func(context.Context) []console.Container
	Install    func() install.Status
	Slots      func() slots.Status
	Storage    func() storage.Status // nil: the host lies on no disk
	Logs       func(context.Context, wire.CTID, host.LogsSpec, func(stderr bool, text []byte) error) error
	HostLogs   func(context.Context, host.HostLogsSpec, func(line []byte) error) error
	Show       func(context.Context, upkeep.Show, io.Writer) error
	// Guard decides about changes, and about what a container wrote, which is its owner's.
	Guard        *Guard
	Restart      func(context.Context, wire.CTID) error // of a container: it is stopped, and started again as any that ended
	ChangeSlots  func(context.Context, slots.Request) (slots.Status, error)
	StartInstall func(context.Context, install.Spec) (install.Status, error)
	Replace      func(context.Context, storage.Replace) (storage.Status, error) // nil likewise
	Leave        func(context.Context, upkeep.Leave) error
	// Stick puts the support bundle onto a volume that somebody plugged in.
	Stick func(context.Context) (console.Stick, error)
	// Reset has the next boot make DATA and STATE empty, and reboots.
	Reset func(ctx context.Context, by string) error
	// Activate gives a host that waits for its configuration one.
	Activate func(context.Context, []byte) (console.Activated, error)
	// Unlock opens STATE by its recovery key, and reboots; nil: it is not locked.
	Unlock func(ctx context.Context, key secret.Text, by string) error
	// ChangeNetwork has netd try a network, or confirm or revert what it tries.
	ChangeNetwork func(ctx context.Context, how string, t *boot.NetworkTrial) (boot.NetworkStatus, error)

	Socket string       // path; "" is console.Socket
	User   int          // may connect besides root; 0: nobody
	Log    *slog.Logger // nil discards
}

// Handler is the API.
func Handler(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, r *http.Request) {
		s := o.Status(r.Context())
		if r.URL.Query().Has(boot.StatusBrief) {
			s.Counts, s.Containers = boot.CountStates(s.Containers), nil
		}
		answer(w, s)
	})
	mux.HandleFunc("GET /v1/host", func(w http.ResponseWriter, _ *http.Request) { answer(w, o.Host()) })
	mux.HandleFunc("GET /v1/containers", func(w http.ResponseWriter, r *http.Request) { answer(w, o.Containers(r.Context())) })
	mux.HandleFunc("GET /v1/install", func(w http.ResponseWriter, _ *http.Request) { answer(w, o.Install()) })
	mux.HandleFunc("GET /v1/storage", func(w http.ResponseWriter, _ *http.Request) {
		if o.Storage == nil {
			answer(w, storage.Status{State: storage.None})
			return
		}
		answer(w, o.Storage())
	})
	mux.HandleFunc("GET /v1/slots", func(w http.ResponseWriter, _ *http.Request) { answer(w, o.Slots()) })
	mux.HandleFunc("GET /v1/network", func(w http.ResponseWriter, r *http.Request) {
		n, err := o.Network(r.Context())
		if err != nil {
			refuse(w, http.StatusServiceUnavailable, err)
			return
		}
		answer(w, n)
	})
	mux.HandleFunc("GET /v1/log/{unit}", func(w http.ResponseWriter, r *http.Request) { hostLog(o, w, r) })
	mux.HandleFunc("GET /v1/containers/{ctid}/log", func(w http.ResponseWriter, r *http.Request) { containerLog(o, w, r) })
	mux.HandleFunc("GET /v1/support", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/gzip")
		out := &begun{w: w}
		if err := o.Show(r.Context(), upkeep.ShowSupport, out); err != nil {
			out.end(err)
		}
	})
	register(mux, o)
	return mux
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v) // the only error is a caller that has gone
}

func refuse(w http.ResponseWriter, status int, err error) { http.Error(w, err.Error(), status) }

// begun knows whether any of an answer was written: one that breaks off then breaks the connection off, so that nobody takes it for whole.
type begun struct {
	w   http.ResponseWriter
	any bool
}

func (b *begun) Write(p []byte) (int, error) { b.any = true; return b.w.Write(p) }

func (b *begun) end(err error) {
	if b.any {
		panic(http.ErrAbortHandler)
	}
	refuse(b.w, status(err), err)
}

func status(err error) int {
	if errors.Is(err, container.ErrNotFound) {
		return http.StatusNotFound
	}
	return http.StatusServiceUnavailable
}

// tail is how many lines are asked for; 0 is all.
func tail(r *http.Request) (int, error) {
	text := r.URL.Query().Get("tail")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("tail: %q: want a number of lines", text)
	}
	return n, nil
}

func hostLog(o Options, w http.ResponseWriter, r *http.Request) {
	n, err := tail(r)
	spec := host.HostLogsSpec{Unit: host.Unit(r.PathValue("unit")), Tail: n}
	if err := errors.Join(err, spec.Validate()); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	out := &begun{w: w}
	if err := o.HostLogs(r.Context(), spec, func(line []byte) error { return writeLine(out, line) }); err != nil {
		out.end(err)
	}
}

func containerLog(o Options, w http.ResponseWriter, r *http.Request) {
	id, bad := wire.ParseCTID(r.PathValue("ctid"))
	n, err := tail(r)
	if err := errors.Join(bad, err); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if _, err := o.Guard.Allow(r.Header.Get(console.SessionHeader), false); err != nil {
		refuse(w, statusOf(err), err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	out := &begun{w: w}
	if err := o.Logs(r.Context(), id, host.LogsSpec{Tail: n}, func(_ bool, text []byte) error { return writeLine(out, text) }); err != nil {
		out.end(err)
	}
}

func writeLine(w io.Writer, text []byte) error {
	_, err := w.Write(append(bytes.TrimSuffix(text, []byte("\n")), '\n'))
	return err
}

// Open listens. What it returns serves until ctx ends.
func Open(o Options) (serve func(context.Context) error, err error) {
	if o.Socket == "" {
		o.Socket = console.Socket
	}
	l, err := socket.Listen(o.Socket, o.User)
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
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("console socket", logging.Err, err)
		}
		<-ctx.Done()
		return nil
	})
}
