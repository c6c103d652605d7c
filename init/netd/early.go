package main

import (
	"context"
	"log/slog"
	"sync"

	"hardnode.dev/init/netd/link"
	"hardnode.dev/init/netd/trial"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire/boot"
)

// earlyFile keeps, for this boot, the network that was confirmed at a host without a configuration.
const earlyFile = boot.RunDir + "/network.early.json"

// early is the network before there is a configuration: none, or DHCP on every card where the configuration is fetched, or what somebody
// tries at the host's terminal. It ends when the configuration comes, which has its own.
type early struct {
	log   *slog.Logger
	kept  *keeper
	tried *trial.Keeper

	mu struct {
		sync.Mutex
		ctx     context.Context // of the leases
		fetches bool
		end     func() // nil: there is no network
		over    bool   // the configuration has come
	}
}

// newEarly is the network until ctx ends, or end is called.
func newEarly(ctx context.Context, log *slog.Logger, links *link.Set) *early {
	e := &early{log: log, kept: &keeper{log: log, links: links}}
	e.mu.ctx = ctx
	e.tried = &trial.Keeper{Doc: trial.Document(earlyFile), State: func() bool { return true }, Use: e.use, Log: log}
	if n := e.tried.Start(); len(n.Links) > 0 {
		if err := e.use(n); err != nil {
			log.Error("put the network that was confirmed in force", logging.Err, err)
		}
	}
	return e
}

// fetch makes sure of a network to fetch the configuration by.
func (e *early) fetch() error {
	e.mu.Lock()
	e.mu.fetches = true
	there := e.mu.end != nil
	e.mu.Unlock()
	if there {
		return nil
	}
	return e.use(e.tried.Status().Confirmed)
}

// use puts a network in force. One without links is none, unless the configuration is fetched.
func (e *early) use(n boot.Network) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.mu.over:
		return errEarly
	case len(n.Links) == 0 && !e.mu.fetches:
		e.off()
		return nil
	case e.mu.end != nil:
		return e.kept.use(n)
	}
	ctx, cancel := context.WithCancel(e.mu.ctx)
	if err := e.kept.begin(ctx, n); err != nil {
		cancel()
		return err
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		if err := e.kept.run(ctx); err != nil {
			e.log.Error("early network", logging.Err, err)
		}
	}()
	e.mu.end = func() { cancel(); <-over; e.kept.takeAway() }
	return nil
}

// off ends what there is; the lock is held.
func (e *early) off() {
	if e.mu.end != nil {
		e.mu.end()
		e.mu.end = nil
	}
}

// end takes the network away.
func (e *early) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mu.over = true
	e.off()
}
