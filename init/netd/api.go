package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"hardnode.dev/init/netd/link"
	"hardnode.dev/init/netd/trial"
	"hardnode.dev/internal/run/listen"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/neighbour"
)

// errEarly is what is said before there is a configuration.
var errEarly = errors.New("there is no configuration yet, so there is no network to change")

// maxBody is the most that is read of a request, in bytes.
const maxBody = 64 << 10

// serve opens the socket for the host's own programs. ready says who keeps the network in force, once there is a configuration.
func serve(links *link.Set) (api func(context.Context) error, ready func(*trial.Keeper), err error) {
	if err := os.Remove(boot.NetdSocket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("listen: %w", err)
	}
	l, err := net.Listen("unix", boot.NetdSocket)
	if err != nil {
		return nil, nil, fmt.Errorf("listen: %w", err)
	}
	if err := os.Chmod(boot.NetdSocket, 0o600); err != nil {
		l.Close()
		return nil, nil, fmt.Errorf("listen: %w", err)
	}
	var keeper atomic.Pointer[trial.Keeper]
	s := &http.Server{Handler: handler(links, keeper.Load), ReadTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 8 << 10}
	return func(ctx context.Context) error {
		if err := listen.Until(ctx, s, 0, func() error { return s.Serve(l) }); err != nil {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	}, keeper.Store, nil
}

func handler(links *link.Set, keeper func() *trial.Keeper) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/links", func(w http.ResponseWriter, _ *http.Request) { answer(w, links.Status()) })
	network := func(do func(*trial.Keeper, *http.Request) error) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			k, err := keeper(), errEarly
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
