package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/run/listen"
	"hardnode.dev/orchestrator/resolver/nameserver"
	"hardnode.dev/orchestrator/resolver/proxy"
	"hardnode.dev/orchestrator/resolver/sites"
)

// linger is how long after it was told to end a resolver still takes connections: those that were on the way to it when the published
// ports were led to another one. ending is how long requests at work have after that.
var (
	linger = time.Second // a variable for tests
	ending = 8 * time.Second
)

// routed waits for the first routes: another resolver may serve beside this one, until this one can. False: ctx has ended.
func routed(ctx context.Context, book *sites.Book) bool {
	for book.Table() == nil {
		if !run.Wait(ctx, 50*time.Millisecond) {
			return false
		}
	}
	return true
}

// listeners are the addresses that are listened on.
type listeners struct{ plain, secure, names string }

// serve serves HTTP, HTTPS and DNS until ctx ends, and linger longer. listens is called once it listens everywhere.
func serve(ctx context.Context, front *proxy.Proxy, domain *nameserver.Server, at listeners, listens func()) error {
	plain, err := net.Listen("tcp", at.plain)
	if err != nil {
		return fmt.Errorf("listen on %q: %v", at.plain, err)
	}
	defer plain.Close()
	tls, err := net.Listen("tcp", at.secure)
	if err != nil {
		return fmt.Errorf("listen on %q: %v", at.secure, err)
	}
	defer tls.Close()
	names, err := nameserver.Listen(at.names)
	if err != nil {
		return err
	}
	defer names.Close()
	listens()
	later, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	defer context.AfterFunc(ctx, func() {
		front.Leave()
		run.Wait(later, linger)
		end()
	})()
	return run.Group(later, nil, run.Task{Name: "http", Run: until(front, front.Listen(plain))},
		run.Task{Name: "https", Run: until(front, front.ListenTLS(tls))},
		run.Task{Name: "dns", Run: func(ctx context.Context) error { return domain.Serve(ctx, names) }})
}

// until serves what l takes in until ctx ends, and what is at work then for a while longer.
func until(front *proxy.Proxy, l net.Listener) func(context.Context) error {
	return func(ctx context.Context) error {
		server := front.Server()
		return listen.Until(ctx, server, ending, func() error { return server.Serve(l) })
	}
}
