package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"hardnode.dev/init/netd/link"
	"hardnode.dev/init/netd/settle"
	"hardnode.dev/init/netd/source"
	"hardnode.dev/init/netd/trial"
	"hardnode.dev/internal/run/listen"
	"hardnode.dev/internal/run/socket"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/neighbour"
)

// errEarly is what is said between two networks.
var errEarly = errors.New("the configuration has just come, and its network is being set up; ask again")

// maxBody is the most that is read of a request, in bytes.
const maxBody = 64 << 10

// errLate is what is said to a configuration that comes when there is one.
var errLate = errors.New("this host has a configuration already; another one counts from the next boot on")

// api is what the host's own programs are given.
type api struct {
	links  *link.Set
	typed  chan source.Document         // configurations for a host that waits for one
	keeper atomic.Pointer[trial.Keeper] // of the network in force, also before there is a configuration; nil between the two
	// settled: there is a configuration
	settled atomic.Bool
}

// open opens the socket.
func (a *api) open(path string) (serve func(context.Context) error, err error) {
	l, err := socket.Listen(path, 0)
	if err != nil {
		return nil, err
	}
	s := &http.Server{Handler: a.handler(), ReadTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 8 << 10}
	return func(ctx context.Context) error {
		if err := listen.Until(ctx, s, 0, func() error { return s.Serve(l) }); err != nil {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	}, nil
}

// configured takes a configuration that somebody typed: it is checked, and unless that is all that is asked for, used.
func (a *api) configured(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	doc := source.Document{Name: "terminal", YAML: raw}
	if err == nil && a.settled.Load() {
		err = errLate
	}
	var c boot.HostConfig
	if err == nil {
		c, err = settle.Check(doc)
	}
	if err == nil && r.URL.Query().Get("check") == "" {
		select {
		case a.typed <- doc:
		default:
			err = errLate
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	answer(w, map[string]string{"name": c.Name})
}

func (a *api) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/links", func(w http.ResponseWriter, _ *http.Request) { answer(w, a.links.Status()) })
	network := func(do func(*trial.Keeper, *http.Request) error) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			k, err := a.keeper.Load(), errEarly
			if k != nil {
				err = do(k, r)
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusConflict)
				return
			}
			answer(w, k.Status())
		}
	}
	mux.HandleFunc("POST /v1/config", a.configured)
	mux.HandleFunc("GET /v1/network", network(func(*trial.Keeper, *http.Request) error { return nil }))
	mux.HandleFunc("POST /v1/network/confirm", network(func(k *trial.Keeper, _ *http.Request) error { return k.Confirm() }))
	mux.HandleFunc("POST /v1/network/revert", network(func(k *trial.Keeper, _ *http.Request) error { return k.Revert() }))
	mux.HandleFunc("POST /v1/network/try", network(func(k *trial.Keeper, r *http.Request) error {
		var t boot.NetworkTrial
		if err := neighbour.Read(r.Body, maxBody, &t); err != nil {
			return fmt.Errorf("read the network to try: %v", err)
		}
		return k.Try(t.Network, t.Seconds)
	}))
	return mux
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v) // the only error is a caller that has gone
}
