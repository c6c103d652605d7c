package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/run/listen"
	"hardnode.dev/orchestrator/resolver/proxy"
)

// linger is how long after it was told to end a resolver still takes connections: those that were on the way to it when the published
// ports were led to another one. ending is how long requests at work have after that.
var (
	linger = time.Second // a variable for tests
	ending = 8 * time.Second
)

// serve serves HTTP and HTTPS until ctx ends, and linger longer.
func serve(ctx context.Context, front *proxy.Proxy, addr, secure string) error {
	plain, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen on %q: %v", addr, err)
	}
	defer plain.Close()
	tls, err := net.Listen("tcp", secure)
	if err != nil {
		return fmt.Errorf("listen on %q: %v", secure, err)
	}
	defer tls.Close()
	later, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	defer context.AfterFunc(ctx, func() {
		front.Leave()
		run.Wait(later, linger)
		end()
	})()
	return run.Group(later, nil, run.Task{Name: "http", Run: until(front, front.Listen(plain))},
		run.Task{Name: "https", Run: until(front, front.ListenTLS(tls))})
}

// until serves what l takes in until ctx ends, and what is at work then for a while longer.
func until(front *proxy.Proxy, l net.Listener) func(context.Context) error {
	return func(ctx context.Context) error {
		server := front.Server()
		return listen.Until(ctx, server, ending, func() error { return server.Serve(l) })
	}
}
