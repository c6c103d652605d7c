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

// serve serves until ctx ends, and linger longer.
func serve(ctx context.Context, front *proxy.Proxy, addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen on %q: %v", addr, err)
	}
	server := front.Server()
	later, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	defer context.AfterFunc(ctx, func() {
		front.Leave()
		run.Wait(later, linger)
		end()
	})()
	return listen.Until(later, server, ending, func() error { return server.Serve(front.Listen(l)) })
}
