// Program registry is the template store of a cluster: OCI images come in, one erofs file a template goes out to the hosts.
//
// Owns: the pushed blobs and the templates made of them (/data), port 7445.
// In: OCI pushes from people with the push token; its configuration, and its certificate from the agent's identity socket.
// Out: erofs files and their list, to hosts and components with a certificate of the cluster.
// Never: runs what it stores, or needs the orchestrator for anything but its certificate.
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
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/orchestrator/registry/blobs"
	"hardnode.dev/orchestrator/registry/catalog"
	"hardnode.dev/orchestrator/registry/flatten"
	"hardnode.dev/orchestrator/registry/importer"
	"hardnode.dev/orchestrator/registry/retire"
	"hardnode.dev/orchestrator/registry/serve"
)

func main() {
	config := flag.String("config", boot.RegistryConfigFile, "configuration, JSON")
	data := flag.String("data", "/data", "directory of all that is stored")
	listen := flag.String("listen", ":7445", "address to serve on")
	socket := flag.String("identity", identity.ComponentSocket, "the agent's socket that gives certificates")
	flag.Parse()
	log := logging.New(os.Stderr, "registry", slog.LevelInfo)
	ctx, stop := run.UntilSignal(context.Background())
	defer stop()
	if err := registry(ctx, log, *config, *data, *listen, *socket); err != nil {
		log.Error("registry ended", logging.Err, err)
		os.Exit(1)
	}
}

func registry(ctx context.Context, log *slog.Logger, configFile, data, listen, socket string) error {
	raw, err := os.ReadFile(configFile)
	if err != nil {
		return fmt.Errorf("read configuration: %v", err)
	}
	config, err := boot.DecodeRegistryConfig(raw)
	if err != nil {
		return err
	}
	store, err := blobs.Open(ctx, filepath.Join(data, "blobs"))
	if err != nil {
		return err
	}
	defer store.Close()
	templates, err := catalog.Open(filepath.Join(data, "images"), log)
	if err != nil {
		return err
	}
	states := importer.OpenStates(filepath.Join(data, "imports.json"), log, time.Now)
	im := &importer.Importer{Source: store, Catalog: templates, States: states, Limits: flatten.DefaultLimits, Log: log, Now: time.Now}
	q := &queue{names: make(chan wire.TemplateName, waiting), log: log, do: im.Import, again: im.Found, pushed: store.Names, states: states}
	keeper := &retire.Keeper{OCI: store, Catalog: templates, States: states, Log: log, Now: time.Now}
	door := &serve.Server{OCI: store, Catalog: templates, Retire: keeper, Imports: states.List, Runs: states.Runs, Import: im.Mend,
		Tag: store.Tag, Tagged: im.Tagged,
		Pushed:    q.add,
		TokenHash: wire.Digest(config.PushToken), Log: log, Now: time.Now}
	trust := identity.Trust{Pin: config.CAPin, Cluster: config.Cluster}
	self := &identity.Holder{}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("listen on %q: %v", listen, err)
	}
	// Uploads come over slow lines: half a minute without a byte ends one. Hosts may pull many images at once.
	limits := listening.Limits{PerClient: 256, HeaderBytes: 64 << 10, BodyWait: 30 * time.Second}
	log.Info("registry serves", "version", build.Version, logging.Addr, l.Addr(), "templates", len(templates.List()))
	return run.Group(ctx, log,
		run.Task{Name: "certificate", Run: func(ctx context.Context) error {
			return identity.KeepComponent(ctx, log, socket, trust, self)
		}},
		run.Task{Name: "imports", Run: q.run},
		run.Task{Name: "collection", Run: keeper.Run},
		run.Task{Name: "serve", Run: listening.HTTP(l, identity.ServerTLS(trust, nil, self), door.Handler(), limits, log)},
	)
}
