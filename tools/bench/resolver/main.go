// Command resolver compares the resolver with nginx, HAProxy and Caddy as proxies: the same backend and load, one core each, in turns.
//
// Owns: the set-up of backend and proxies on loopback, and the table it prints.
// In: Debian's nginx (from the packages `make templates` fetched), HAProxy, Caddy and h2load (those `make bench-resolver` fetched) and wrk;
// the resolver's source.
// Out: requests a second, requests a CPU-second of the proxy, and latency, over HTTP/1.1, HTTPS and HTTP/2; their ratios.
// Never: uses another address than loopback, or leaves a process behind.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"hardnode.dev/internal/run"
)

func main() {
	packages := flag.String("packages", "out/templates/packages", "where nginx_*.deb lies (make templates)")
	more := flag.String("more", "out/bench/packages", "where haproxy, caddy, h2load and their libraries lie (make bench-resolver)")
	rounds := flag.Int("rounds", 3, "measurements of each; the median counts")
	seconds := flag.Int("seconds", 5, "length of one measurement")
	flag.Parse()
	ctx, stop := run.UntilSignal(context.Background())
	defer stop()
	if err := bench(ctx, *packages, *more, *rounds, *seconds); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, packages, more string, rounds, seconds int) error {
	dir, err := os.MkdirTemp("", "bench-resolver-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &site{dir: dir, env: append(os.Environ(), "GOMAXPROCS=1", "LD_LIBRARY_PATH="+filepath.Join(dir, "x/usr/lib/x86_64-linux-gnu"),
		"HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)}
	if err := b.unpack(ctx, packages, more); err != nil {
		return err
	}
	resolver := filepath.Join(dir, "resolver")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", resolver, "./orchestrator/resolver")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the resolver: %v: %s", err, out)
	}
	if b.ports, err = freePorts(1 + 2*len(names)); err != nil {
		return err
	}
	if b.cert, err = b.certificate(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var children sync.WaitGroup
	defer children.Wait()
	defer cancel()
	peers, err := b.begin(ctx, &children, resolver)
	if err != nil {
		return err
	}
	for _, p := range b.ports {
		if err := answers(ctx, p); err != nil {
			return err
		}
	}
	return compare(ctx, b, peers, rounds, seconds)
}
