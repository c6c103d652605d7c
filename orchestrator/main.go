// The orchestrator decides what runs where, and tells hosts and people.
//
// Owns: the list of its parts: store, licence, liveness, converging, operations, host API, API.
// In: the seed of Day 0, flags, signals.
// Out: two listeners: the API (7443) and the host API (7444).
// Never: runs a container, or is needed for one to go on running.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"hardnode.dev/internal/build"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/orchestrator/seed"
)

func main() {
	c := config{}
	version := flag.Bool("version", false, "print the version and end")
	flag.StringVar(&c.seed, "seed", filepath.Join(boot.RunDir, "seed.json"), "the seed made by hnctl cluster init")
	flag.StringVar(&c.data, "data", "/data", "directory of the store and the audit record")
	flag.StringVar(&c.api, "listen-api", ":7443", "address of the API and the panel")
	flag.StringVar(&c.hosts, "listen-hosts", ":7444", "address of the host API")
	flag.IntVar(&c.scale, "clock-scale", 0, "scale of all clocks: 1, or 3 under software emulation; 0 looks at the CPU's name")
	slow := flag.Bool("slow-clocks", false, "the same as --clock-scale 3")
	quiet := flag.Bool("quiet", false, "log warnings and errors only")
	flag.Parse()
	if *version {
		fmt.Println(build.Version)
		return
	}
	level := slog.LevelInfo
	if *quiet {
		level = slog.LevelWarn
	}
	c.log = logging.New(os.Stderr, "orchestrator", level)
	if *slow {
		c.scale = 3
	}
	if c.started = time.Now(); c.scale == 0 {
		c.scale = clockScale("/proc/cpuinfo")
	}
	debug.SetGCPercent(30) // memory is dearer than time: of 2,000 hosts it takes a tenth of a core to keep it
	ctx, cancel := run.UntilSignal(context.Background())
	defer cancel()
	if err := serve(ctx, c); err != nil {
		c.log.Error("orchestrator ends", logging.Err, err)
		os.Exit(1)
	}
}

// serve builds the orchestrator and runs it until ctx ends.
func serve(ctx context.Context, c config) error {
	s, err := seed.Read(c.seed)
	if err != nil {
		return err
	}
	o, err := construct(ctx, c, s)
	if err != nil {
		return err
	}
	defer o.close()
	api, err := net.Listen("tcp", c.api)
	if err != nil {
		return fmt.Errorf("listen for the API: %v", err)
	}
	hosts, err := net.Listen("tcp", c.hosts)
	if err != nil {
		api.Close()
		return fmt.Errorf("listen for hosts: %v", err)
	}
	c.log.Info("serving", "api", api.Addr().String(), "hosts", hosts.Addr().String(), logging.Took, time.Since(c.started))
	return o.fell(o.run(ctx, api, hosts))
}

// run runs all parts until ctx ends or one of them fails.
func (o *orchestrator) run(ctx context.Context, api, hosts net.Listener) error {
	return run.Group(ctx, o.log,
		run.Task{Name: "certificates", Run: o.certs.Run},
		run.Task{Name: "liveness", Run: o.liveness},
		run.Task{Name: "leader", Run: o.lead},
		run.Task{Name: "routes", Run: o.routes.Run},
		run.Task{Name: "api", Run: o.serveAPI(api)},
		run.Task{Name: "host api", Run: o.serveHosts(hosts)},
		run.Task{Name: "held calls", Run: o.hosts.Run},
	)
}
