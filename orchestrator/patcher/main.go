// Program patcher patches the platform: it takes a release over the cluster's hosts, one after the other, and stops itself.
//
// Owns: the rollouts in /data/rollouts, port 7447.
// In: what the orchestrator asks on people's behalf; the platform by its public API; its configuration, and its certificate from the
// agent's identity socket.
// Out: orders to hosts by that API; what each rollout did and cost.
// Never: knows another way to a host than people have, or is needed for anything that runs to go on running.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"hardnode.dev/internal/build"
	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	listening "hardnode.dev/internal/run/listen"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/patch"
	"hardnode.dev/orchestrator/patcher/drive"
	"hardnode.dev/orchestrator/patcher/platform"
	"hardnode.dev/orchestrator/patcher/rollout"
	"hardnode.dev/orchestrator/patcher/serve"
	"hardnode.dev/orchestrator/patcher/shelf"
)

// options are the flags.
type options struct {
	config, data, listen, socket string
	scale                        int
	clocks                       drive.Clocks
}

func main() {
	o := options{clocks: drive.Usual}
	version := flag.Bool("version", false, "print the version and end")
	flag.StringVar(&o.config, "config", boot.PatcherConfigFile, "configuration, JSON")
	flag.StringVar(&o.data, "data", "/data", "directory of the rollouts")
	flag.StringVar(&o.listen, "listen", ":"+patch.Port, "address to serve on")
	flag.StringVar(&o.socket, "identity", identity.ComponentSocket, "the agent's socket that gives certificates")
	flag.IntVar(&o.scale, "clock-scale", 0, "scale of all clocks: 1, or 3 under software emulation; 0 looks at the CPU's name")
	flag.Parse()
	if *version {
		fmt.Println(build.Version)
		return
	}
	if o.scale == 0 {
		o.scale = clockScale("/proc/cpuinfo")
	}
	log := logging.New(os.Stderr, "patcher", slog.LevelInfo)
	ctx, stop := run.UntilSignal(context.Background())
	defer stop()
	if err := patcher(ctx, log, o); err != nil {
		log.Error("patcher ended", logging.Err, err)
		os.Exit(1)
	}
}

// patcher builds the Patcher and runs it until ctx ends.
func patcher(ctx context.Context, log *slog.Logger, o options) error {
	raw, err := os.ReadFile(o.config)
	if err != nil {
		return fmt.Errorf("read configuration: %v", err)
	}
	config, err := boot.DecodePatcherConfig(raw)
	if err != nil {
		return err
	}
	rollouts, err := shelf.Open(filepath.Join(o.data, "rollouts"), log)
	if err != nil {
		return err
	}
	trust, self := identity.Trust{Pin: config.CAPin, Cluster: config.Cluster}, &identity.Holder{}
	driver := drive.New(rollouts, platform.New(config.API, trust, config.Token), rollout.Rules{Scale: o.scale}, o.clocks, log)
	door := &serve.Server{Rollouts: driver, Kept: rollouts, Log: log}
	l, err := net.Listen("tcp", o.listen)
	if err != nil {
		return fmt.Errorf("listen on %q: %v", o.listen, err)
	}
	log.Info("patcher serves", "version", build.Version, logging.Addr, l.Addr(), "rollouts", len(rollouts.List()), "scale", o.scale)
	limits := listening.Limits{Connections: 64, PerClient: 16}
	return run.Group(ctx, log,
		run.Task{Name: "certificate", Run: func(ctx context.Context) error {
			return identity.KeepComponent(ctx, log, o.socket, trust, self)
		}},
		run.Task{Name: "rollouts", Run: driver.Run},
		run.Task{Name: "serve", Run: listening.HTTP(l, identity.ServerTLS(trust, nil, self), door.Handler(), limits, log)},
	)
}

// clockScale is 3 on a CPU that QEMU emulates in software, which calls itself "QEMU TCG CPU"; else 1.
func clockScale(cpuinfo string) int {
	raw, err := os.ReadFile(cpuinfo)
	if err == nil && bytes.Contains(raw, []byte("TCG")) {
		return 3
	}
	return 1
}
