// Command resolver compares the resolver with nginx as a proxy: the same backend, the same load, the same machine, in turns.
//
// Owns: the set-up of backend and proxies on loopback, and the table it prints.
// In: Debian's nginx (from the packages `make templates` fetched) and wrk; the resolver's source.
// Out: requests a second and latency of each, and their ratio.
// Never: uses another address than loopback, or leaves a process behind.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"hardnode.dev/internal/run"
)

func main() {
	packages := flag.String("packages", "out/templates/packages", "where nginx_*.deb lies (make templates)")
	rounds := flag.Int("rounds", 3, "measurements of each; the median counts")
	seconds := flag.Int("seconds", 5, "length of one measurement")
	flag.Parse()
	ctx, stop := run.UntilSignal(context.Background())
	defer stop()
	if err := bench(ctx, *packages, *rounds, *seconds); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

const nginxConfig = `daemon off; master_process on; worker_processes 1; pid %[1]s.pid; error_log %[1]s.log; worker_rlimit_nofile 8192;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 1000000; client_body_temp_path %[1]s.b; proxy_temp_path %[1]s.p; fastcgi_temp_path %[1]s.f; uwsgi_temp_path %[1]s.u; scgi_temp_path %[1]s.s; %[2]s }
`

func bench(ctx context.Context, packages string, rounds, seconds int) error {
	dir, err := os.MkdirTemp("", "bench-resolver-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	nginx, err := unpackNginx(ctx, packages, dir)
	if err != nil {
		return err
	}
	resolver := filepath.Join(dir, "resolver")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", resolver, "./orchestrator/resolver")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the resolver: %v: %s", err, out)
	}
	ports, err := freePorts(4)
	if err != nil {
		return err
	}
	body := strings.Repeat("x", 1000)
	servers := map[string]string{
		"backend": fmt.Sprintf(`server { listen 127.0.0.1:%d; location / { return 200 "%s"; } }`, ports[0], body),
		"nginx": fmt.Sprintf(
			`upstream b { server 127.0.0.1:%d; keepalive 64; keepalive_requests 1000000; } server { listen 127.0.0.1:%d; server_name a.test; location / { proxy_pass http://b; proxy_http_version 1.1;
proxy_set_header Connection ""; proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Host $http_host; proxy_set_header X-Forwarded-Proto http; } }`, ports[0], ports[1]),
	}
	ctx, cancel := context.WithCancel(ctx)
	var children sync.WaitGroup
	defer children.Wait()
	defer cancel()
	for name, s := range servers {
		base := filepath.Join(dir, name)
		if err := os.WriteFile(base+".conf", fmt.Appendf(nil, nginxConfig, base, s), 0o600); err != nil {
			return err
		}
		if err := start(ctx, &children, nginx, "-c", base+".conf", "-e", base+".log"); err != nil {
			return err
		}
	}
	if err := resolverData(dir, ports[0]); err != nil {
		return err
	}
	if err := start(ctx, &children, resolver, "-config", filepath.Join(dir, "resolver.json"), "-data", dir, "-identity",
		filepath.Join(dir, "none"), "-listen", fmt.Sprintf("127.0.0.1:%d", ports[2]), "-listen-tls",
		fmt.Sprintf("127.0.0.1:%d", ports[3])); err != nil {
		return err
	}
	for _, p := range ports {
		if err := answers(ctx, p); err != nil {
			return err
		}
	}
	return compare(ctx, ports, rounds, seconds)
}
