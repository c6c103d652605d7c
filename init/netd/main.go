// Command netd finds a host's configuration and keeps its network cards, its resolvers and its clock.
//
// Owns: the order: configuration, links, then "ready".
// In: see packages source (where a configuration may be), link and lease.
// Out: /run/hardnode/host.json, bundle.json, resolv.conf; boot.NetdSocket; sd_notify to init.
// Never: joins a cluster (the agent does), or is PID 1: it may be restarted at any moment.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/coreos/go-systemd/v22/daemon"

	"hardnode.dev/init/netd/link"
	"hardnode.dev/init/netd/settle"
	"hardnode.dev/init/netd/sntp"
	"hardnode.dev/init/netd/source"
	"hardnode.dev/init/netd/trial"
	"hardnode.dev/init/sys"
	"hardnode.dev/internal/build"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/run/slim"
	"hardnode.dev/internal/wallclock"
	"hardnode.dev/internal/wire/boot"
)

func main() {
	debug.SetGCPercent(25) // a small heap that hardly changes: memory matters more than the collector's time
	log := logging.New(os.Stderr, "netd", slog.LevelInfo)
	ctx, stop := run.UntilSignal(context.Background())
	defer stop()
	if err := netd(ctx, log); err != nil && ctx.Err() == nil {
		log.Error("ended", logging.Err, err)
		os.Exit(1)
	}
}

func netd(ctx context.Context, log *slog.Logger) error {
	links := &link.Set{Log: log, ResolvConf: resolvConf, Module: module}
	a := &api{links: links, typed: make(chan source.Document, 1)}
	serve, err := a.open(boot.NetdSocket)
	if err != nil {
		return err
	}
	return run.Group(ctx, log,
		run.Task{Name: "api", Run: serve}, // from the start: a host without a configuration is given one by it
		run.Task{Name: "host", Run: func(ctx context.Context) error { return host(ctx, log, links, a) }},
	)
}

// host finds the configuration and keeps what it says.
func host(ctx context.Context, log *slog.Logger, links *link.Set, a *api) error {
	config, err := configure(ctx, log, links, a)
	if err != nil {
		return err
	}
	kept := &keeper{log: log, links: links}
	tried := &trial.Keeper{Config: config.Network, Doc: trial.Document(boot.NetworkFile), State: stateMounted, Use: kept.use, Log: log}
	if err := kept.begin(ctx, tried.Start()); err != nil {
		return err
	}
	a.keeper.Store(tried)
	a.settled.Store(true)
	if _, err := daemon.SdNotify(false, "READY=1\nSTATUS=host "+config.Name+", role "+string(config.Role)); err != nil {
		return fmt.Errorf("tell init: %w", err)
	}
	return run.Group(ctx, log,
		run.Task{Name: "links", Run: kept.run},
		run.Task{Name: "trial", Run: tried.Run},
		slim.Task(log),
		run.Task{Name: "time", Run: func(ctx context.Context) error {
			return sntp.Keep(ctx, log, servers(tried), build.When(), sys.SetClock, wallclock.Confirm)
		}},
	)
}

// servers are the time servers of the network that is confirmed, and when they may be others.
func servers(k *trial.Keeper) sntp.Servers {
	return func() ([]string, <-chan struct{}) {
		n, changed := k.Confirmed()
		return n.NTP, changed
	}
}

// configure returns the configuration this boot settled on, or settles on one and writes it down.
func configure(ctx context.Context, log *slog.Logger, links *link.Set, a *api) (boot.HostConfig, error) {
	config, found, err := settle.Earlier(boot.RunDir)
	if err != nil || found {
		return config, err
	}
	before := newEarly(ctx, log, links)
	finder := finder(log, before)
	finder.Typed = a.typed
	a.keeper.Store(before.tried) // who stands at the host may try a network meanwhile
	waiting, over := context.WithCancel(ctx)
	trials := make(chan error, 1)
	go func() { trials <- before.tried.Run(waiting) }()
	config, doc, err := finder.Find(ctx)
	over()
	a.keeper.Store(nil)
	if err := errors.Join(err, <-trials); err != nil {
		return config, err
	}
	before.end()
	log.Info("configuration", "source", doc.Name, logging.Host, config.Name)
	return config, settle.Write(boot.RunDir, config, doc)
}
