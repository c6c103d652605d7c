package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
)

// resolverData gives the resolver a configuration and its last routes, as if the orchestrator were away.
func resolverData(dir string, backend int) error {
	pin := "sha256:" + strings.Repeat("0", 64)
	raw, err := json.Marshal(boot.ResolverConfig{Version: 1, Cluster: "cl-0000000000000000", CAPin: pin,
		Orchestrator: []string{"127.0.0.1:9"}})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "resolver.json"), raw, 0o600); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "routes"), 0o700); err != nil {
		return err
	}
	addr := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(backend))
	return keep.Doc[host.Routes]{Path: filepath.Join(dir, "routes/routes.json"), Version: 1}.Save(
		host.Routes{Version: 1, Revision: 1, Sites: []host.Site{
			{Env: "a", Domain: "a.test", Running: true, Backends: []host.Backend{{CTID: 101, Addr: addr}}}}})
}

func unpackNginx(ctx context.Context, packages, dir string) (string, error) {
	debs, _ := filepath.Glob(filepath.Join(packages, "nginx_*.deb"))
	if len(debs) != 1 {
		return "", fmt.Errorf("find nginx: %d packages in %s; run `make templates` first", len(debs), packages)
	}
	if out, err := exec.CommandContext(ctx, "dpkg", "-x", debs[0], filepath.Join(dir, "x")).CombinedOutput(); err != nil {
		return "", fmt.Errorf("unpack nginx: %v: %s", err, out)
	}
	return filepath.Join(dir, "x/usr/sbin/nginx"), nil
}

// start runs a program that ends, orderly, with ctx.
func start(ctx context.Context, children *sync.WaitGroup, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 2 * time.Second
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %v", program, err)
	}
	children.Go(func() { cmd.Wait() })
	return nil
}

func answers(ctx context.Context, port int) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return c.Close()
		}
		if !run.Wait(ctx, 20*time.Millisecond) {
			return fmt.Errorf("wait for port %d: %v", port, err)
		}
	}
}

func freePorts(n int) ([]int, error) {
	var out []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		out = append(out, l.Addr().(*net.TCPAddr).Port)
	}
	return out, nil
}
