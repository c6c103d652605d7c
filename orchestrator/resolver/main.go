// Program resolver is the shared load balancer of a cluster: HTTP and HTTPS by host name to the nodes of environments, and the DNS of its
// domain.
//
// Owns: ports 80, 443 and 53, the routes and certificates in force and their last copy in /data/routes, access logs in /data/access.
// In: requests; routes with certificates from the orchestrator; its configuration, and its certificate from the agent's identity socket.
// Out: the nodes' answers; addresses of the domain's names.
// Never: needs the orchestrator to go on serving, takes a request before it has routes, issues a certificate, or asks another DNS server.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"time"

	"hardnode.dev/internal/build"
	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/zone"
	"hardnode.dev/orchestrator/resolver/accesslog"
	"hardnode.dev/orchestrator/resolver/feed"
	"hardnode.dev/orchestrator/resolver/nameserver"
	"hardnode.dev/orchestrator/resolver/probe"
	"hardnode.dev/orchestrator/resolver/proxy"
	"hardnode.dev/orchestrator/resolver/sites"
)

// The heap is a few MiB of short-lived request state: collecting it less often serves a quarter more requests. The soft limit keeps
// many open connections below what the container may use.
const (
	gcPercent = 400
	softLimit = 200 << 20 // bytes
)

func main() {
	config := flag.String("config", boot.ResolverConfigFile, "configuration, JSON")
	data := flag.String("data", "/data", "directory of the last routes")
	addr := flag.String("listen", ":80", "address to serve HTTP on")
	secure := flag.String("listen-tls", ":443", "address to serve HTTPS on")
	names := flag.String("listen-dns", ":53", "address to serve DNS on, UDP and TCP")
	socket := flag.String("identity", identity.ComponentSocket, "the agent's socket that gives certificates")
	read := flag.String("access-log", "", "write this access log to stdout, and do nothing else")
	tail := flag.Int("tail", 0, "of the access log: lines from the end; 0 is all that is kept")
	follow := flag.Bool("follow", false, "of the access log: go on with lines that come, until stdin ends")
	flag.Parse()
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(softLimit)
	log := logging.New(os.Stderr, "resolver", slog.LevelInfo)
	ctx, stop := run.UntilSignal(context.Background())
	defer stop()
	if *read != "" {
		if err := readLog(ctx, os.Stdin, os.Stdout, *data, *read, *tail, *follow); err != nil {
			log.Error("access log not read", logging.Err, err)
			os.Exit(1)
		}
		return
	}
	if err := resolver(ctx, log, *config, *data, listeners{*addr, *secure, *names}, *socket); err != nil {
		log.Error("resolver ended", logging.Err, err)
		os.Exit(1)
	}
}

func resolver(ctx context.Context, log *slog.Logger, configFile, data string, at listeners, socket string) error {
	raw, err := os.ReadFile(configFile)
	if err != nil {
		return fmt.Errorf("read configuration: %v", err)
	}
	config, err := boot.DecodeResolverConfig(raw)
	if err != nil {
		return err
	}
	trust, self, book := identity.Trust{Pin: config.CAPin, Cluster: config.Cluster}, &identity.Holder{}, &sites.Book{}
	routes := &feed.Feed{
		Book: book, Dir: filepath.Join(data, "routes"), Orchestrator: config.Orchestrator, Self: self, Log: log,
		Client: &http.Client{Transport: &http.Transport{TLSClientConfig: identity.ClientTLS(trust, identity.WantComponent("orchestrator"),
			self), TLSHandshakeTimeout: 5 * time.Second, IdleConnTimeout: time.Minute,
			DialContext: (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 10 * time.Second}).DialContext}},
	}
	if err := routes.Restore(); err != nil {
		return err
	}
	listening := &atomic.Bool{}
	routes.Listens = listening.Load
	checks := &probe.Prober{Book: book, Log: log}
	front := proxy.New(book, proxy.Trusted(config.TrustedProxies), log)
	front.Proxied = config.ProxyProtocol
	defer front.Close()
	requests := accesslog.New(filepath.Join(data, accessDir), func(name string) bool { return logged(book, name) }, log)
	front.Requests = requests
	routes.Moved = front.Close // connections to where a node was
	domain := &nameserver.Server{Zone: func() *zone.Zone { return book.Table().Zone }, Log: log}
	return run.Group(ctx, log,
		run.Task{Name: "certificate", Run: func(ctx context.Context) error {
			return identity.KeepComponent(ctx, log, socket, trust, self)
		}},
		run.Task{Name: "routes", Run: routes.Run},
		run.Task{Name: "checks", Run: checks.Run},
		run.Task{Name: "access logs", Run: requests.Run},
		run.Task{Name: "counters", Run: func(ctx context.Context) error { return count(ctx, log, front) }},
		run.Task{Name: "serve", Run: func(ctx context.Context) error {
			if !routed(ctx, book) {
				return nil
			}
			log.Info("resolver serves", "version", build.Version, logging.Addr, at.plain, "tls", at.secure, "dns", at.names, "trusted",
				config.TrustedProxies)
			return serve(ctx, front, domain, at, func() { listening.Store(true) })
		}},
	)
}
