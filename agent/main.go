// Command agent makes this host what its Assignment says, and tells the orchestrator how it is.
//
// Owns: the order in which its parts come up; each part is a package below this folder.
// In: RUN/host.json (netd's), STATE, DATA, the sockets of spawner, netd and init.
// Out: containers, images and the network of this host; RUN/agent.sock; sd_notify to init.
// Never: stops a container because it ends itself, unless the machine is being left: the next agent adopts what runs.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"

	"hardnode.dev/agent/apply"
	"hardnode.dev/agent/desired"
	"hardnode.dev/agent/facts"
	"hardnode.dev/agent/fetch"
	"hardnode.dev/agent/gossip"
	"hardnode.dev/agent/identityd"
	"hardnode.dev/agent/link"
	"hardnode.dev/agent/names"
	"hardnode.dev/agent/network"
	"hardnode.dev/internal/build"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/run/calm"
	"hardnode.dev/internal/run/slim"
	"hardnode.dev/internal/wire/boot"
)

func main() {
	state := flag.String("state", boot.StateDir, "folder of durable state")
	data := flag.String("data", boot.DataDir, "folder of containers, volumes and images")
	verbose := flag.Bool("verbose", false, "log details")
	work := serve // or less than that, by a flag
	instead(&work)
	flag.Parse()
	log := logging.New(os.Stderr, "agent", map[bool]slog.Level{true: slog.LevelDebug}[*verbose])
	debug.SetGCPercent(50) // an agent lives on every host: give memory back early rather than save CPU
	debug.SetMemoryLimit(64 << 20)
	ctx, stop := run.UntilSignal(context.Background())
	defer stop()
	if err := work(ctx, log, *state, *data); err != nil {
		log.Error("agent ends", logging.Err, err)
		os.Exit(1)
	}
}

// serve constructs every part and runs them until ctx ends and, when the machine is being left, the containers have.
func serve(ctx context.Context, log *slog.Logger, state, data string) error {
	a := &agent{log: log, config: boot.ConfigFile, facts: facts.Source{Data: data}, links: &facts.Links{}, hints: make(chan struct{}, 1)}
	var err error
	if a.boot, err = a.facts.BootID(); err != nil {
		return err
	}
	if want, config := a.toInstall(); want != nil {
		return a.serveInstalling(ctx, *want, config)
	}
	if a.store, err = desired.Open(filepath.Join(state, "desired"), boot.ImageDir, log); err != nil {
		return err
	}
	defer a.store.Settle()
	a.firstWork()
	notify := newNotify(log)
	if a.runtime, err = a.newRuntime(data, notify); err != nil {
		return err
	}
	if a.read(); a.figures.Load().err != nil {
		return a.figures.Load().err
	}
	a.network = network.New(modulesLoaded, log)
	dns := &names.Server{Addr: netip.AddrPortFrom(network.Gateway, 53).String(), Self: network.Gateway,
		Upstream: func() []string { return names.Resolvers(filepath.Join(boot.RunDir, "resolv.conf"), network.Gateway) }, Log: log}
	clock := &link.SystemClock{Path: filepath.Join(state, "clock"), Floor: build.When(), Log: log}
	a.onDisk(state, data)
	a.export, a.errors = a.logExport(), a.errorSpool(state)
	if a.link, err = link.New(a.linkOptions(filepath.Join(state, "identity"), clock)); err != nil {
		return err
	}
	a.images = &fetch.Store{Dir: filepath.Join(data, "images"), BootDir: boot.ImageDir, Client: a.registryClient(),
		Registries: a.registries, Release: a.component, Log: log}
	identities := identityd.New(filepath.Join(boot.RunDir, "ct"), a.link.Component, notify, notify.kept, log)
	a.gossip = gossip.New(gossip.Options{Self: a.self, Key: a.link.Key(), Peers: a.store.Peers, Current: a.newest, Card: a.card, Log: log})
	a.system, a.started = a.newSystem(state, data), a.facts.Started()
	a.apply = apply.New(apply.Options{Store: a.store, Runtime: a.runtime, Images: a.images, Network: a.network, Names: dns.Set,
		Identity: identities.Socket, Forget: identities.Forget, Self: a.selfAndRole, Addrs: a.addrs, Pressure: a.facts.Pressure,
		Servers: a.retune, Moves: a.moves, Closed: a.scrub.Closed, MHz: a.figures.Load().capacity.MHz, Root: rootDevice, Log: log})
	listening, err := sockets(a.localAPI(), a.terminal())
	if err != nil {
		return err
	}
	log.Info("agent starts", "version", build.Version, "boot", a.boot, "code", a.link.Status().Code)
	work, end := context.WithCancel(context.WithoutCancel(ctx))
	err = run.Group(work, log, append(listening,
		run.Task{Name: "leave", Run: a.leave(ctx, end, notify.say)},
		run.Task{Name: "links", Run: a.links.Keep},
		run.Task{Name: "BMC", Run: a.askBMC},
		run.Task{Name: "figures", Run: a.readOn},
		run.Task{Name: "runtime", Run: a.keepContainers},
		run.Task{Name: "apply", Run: a.apply.Run},
		run.Task{Name: "link", Run: a.looked(a.link.Run)},
		run.Task{Name: "gossip", Run: a.looked(a.gossip.Run)},
		run.Task{Name: "identity", Run: identities.Run}, run.Task{Name: "dns", Run: dns.Run},
		run.Task{Name: "clock", Run: clock.Keep},
		run.Task{Name: "disks", Run: a.keepDisks},
		run.Task{Name: "system", Run: a.system.Run},
		run.Task{Name: "hints", Run: a.forwardHints}, slim.Task(log), calm.Task(log),
		run.Task{Name: "outward", Run: a.outward},
		run.Task{Name: "notify", Run: notify.running(a.apply.Alive, a.apply.First(), a.apply.Adopted)},
	)...)
	if err != nil {
		return a.fell(fmt.Errorf("run: %w", err))
	}
	return nil
}
