// Program metering keeps for a year what each node has used, hour by hour, and whose it was.
//
// Owns: the database /data/usage.db, port 7450.
// In: the records of use that hosts keep, which the orchestrator brings on request; questions of the orchestrator on people's behalf; its
// configuration, and its certificate from the agent's identity socket.
// Out: sums of what was used.
// Never: is needed for anything that runs, counts a record twice, or loses one while a host has it.
//
// Records come by the orchestrator's host API, where metering is known by its certificate: hosts listen for nobody, and the orchestrator
// holds a stream to each anyway, by which people read the same records (GET /api/v1/nodes/{ctid}/usage). Hosts keep them, minutes for a day
// and hours for 35 days, so that nobody has to be there while something is counted: it is read later, by revisions. A record says itself
// which environment and account had the container then, so that what is deleted or transferred meanwhile is counted where it belongs.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"hardnode.dev/internal/build"
	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	listening "hardnode.dev/internal/run/listen"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/metering"
	"hardnode.dev/orchestrator/metering/ledger"
	"hardnode.dev/orchestrator/metering/pull"
	"hardnode.dev/orchestrator/metering/serve"
)

// options are the flags.
type options struct {
	config, data, listen, socket string
	every                        time.Duration
}

func main() {
	var o options
	version := flag.Bool("version", false, "print the version and end")
	flag.StringVar(&o.config, "config", boot.MeteringConfigFile, "configuration, JSON")
	flag.StringVar(&o.data, "data", "/data", "directory of the database")
	flag.StringVar(&o.listen, "listen", ":"+metering.Port, "address to serve on")
	flag.StringVar(&o.socket, "identity", identity.ComponentSocket, "the agent's socket that gives certificates")
	flag.DurationVar(&o.every, "every", pull.Every, "how often hosts are read")
	flag.Parse()
	if *version {
		fmt.Println(build.Version)
		return
	}
	log := logging.New(os.Stderr, "metering", slog.LevelInfo)
	ctx, stop := run.UntilSignal(context.Background())
	defer stop()
	if err := serving(ctx, log, o); err != nil {
		log.Error("metering ended", logging.Err, err)
		os.Exit(1)
	}
}

// serving reads hosts and answers until ctx ends.
func serving(ctx context.Context, log *slog.Logger, o options) error {
	raw, err := os.ReadFile(o.config)
	if err != nil {
		return fmt.Errorf("read configuration: %v", err)
	}
	config, err := boot.DecodeMeteringConfig(raw)
	if err != nil {
		return err
	}
	kept, err := ledger.Open(ctx, filepath.Join(o.data, "usage.db"))
	if err != nil {
		return err
	}
	defer kept.Close()
	trust, self := identity.Trust{Pin: config.CAPin, Cluster: config.Cluster}, &identity.Holder{}
	puller := &pull.Puller{Source: pull.From(config.Orchestrator, trust, self), Ledger: kept, Every: o.every, Now: time.Now, Log: log}
	door := &serve.Server{Use: kept.Use, Log: log}
	l, err := net.Listen("tcp", o.listen)
	if err != nil {
		return fmt.Errorf("listen on %q: %v", o.listen, err)
	}
	log.Info("metering serves", "version", build.Version, logging.Addr, l.Addr(), "every", o.every)
	limits := listening.Limits{Connections: 64, PerClient: 16}
	return run.Group(ctx, log,
		run.Task{Name: "certificate", Run: func(ctx context.Context) error {
			return identity.KeepComponent(ctx, log, o.socket, trust, self)
		}},
		run.Task{Name: "hosts", Run: func(ctx context.Context) error {
			for self.Get() == nil && run.Wait(ctx, 100*time.Millisecond) {
			}
			return puller.Run(ctx)
		}},
		run.Task{Name: "serve", Run: listening.HTTP(l, identity.ServerTLS(trust, nil, self), door.Handler(), limits, log)},
	)
}
