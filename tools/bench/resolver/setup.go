package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
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

// site is what is set up for the comparison.
type site struct {
	dir   string
	env   []string // of the programs
	ports []int    // the backend's, then two of each proxy
	cert  *host.Certificate
}

func (b *site) program(path string) string { return filepath.Join(b.dir, "x", path) }

// certificate makes one for all proxies, of the kind that most sites have, and writes it with its key to both.pem. wrk asks by TLS for the
// name it connects to.
func (b *site) certificate() (*host.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"a.test", "localhost"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		return nil, err
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})...)
	return &host.Certificate{Chain: [][]byte{der}, Key: raw}, os.WriteFile(filepath.Join(b.dir, "both.pem"), text, 0o600)
}

// resolverData gives the resolver a configuration and its last routes, as if the orchestrator were away.
func (b *site) resolverData(backend int) error {
	pin := "sha256:" + strings.Repeat("0", 64)
	raw, err := json.Marshal(boot.ResolverConfig{Version: 1, Cluster: "cl-0000000000000000", CAPin: pin,
		Orchestrator: []string{"127.0.0.1:9"}})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(b.dir, "resolver.json"), raw, 0o600); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(b.dir, "routes"), 0o700); err != nil {
		return err
	}
	addr := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(backend))
	return keep.Doc[host.Routes]{Path: filepath.Join(b.dir, "routes/routes.json"), Version: 1}.Save(
		host.Routes{Version: 1, Revision: 1, Default: b.cert, Sites: []host.Site{
			{Env: "a", Domain: "a.test", Running: true, Backends: []host.Backend{{CTID: 101, Addr: addr}}}}})
}

// unpack takes the programs out of their packages, which are not installed.
func (b *site) unpack(ctx context.Context, packages, more string) error {
	debs, _ := filepath.Glob(filepath.Join(packages, "nginx_*.deb"))
	if len(debs) != 1 {
		return fmt.Errorf("find nginx: %d packages in %s; run `make templates` first", len(debs), packages)
	}
	others, _ := filepath.Glob(filepath.Join(more, "*.deb"))
	for _, deb := range append(debs, others...) {
		if out, err := exec.CommandContext(ctx, "dpkg", "-x", deb, filepath.Join(b.dir, "x")).CombinedOutput(); err != nil {
			return fmt.Errorf("unpack %s: %v: %s", deb, err, out)
		}
	}
	for _, p := range []string{"usr/sbin/nginx", "usr/sbin/haproxy", "usr/bin/caddy", "usr/bin/h2load"} {
		if _, err := os.Stat(b.program(p)); err != nil {
			return fmt.Errorf("find %s: %v; `make bench-resolver` fetches its package into %s", p, err, more)
		}
	}
	return nil
}

// start runs a program that ends, orderly, with ctx.
func (b *site) start(ctx context.Context, children *sync.WaitGroup, program string, args ...string) (pid int, err error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = b.env
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 2 * time.Second
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start %s: %v", program, err)
	}
	children.Go(func() { cmd.Wait() })
	return cmd.Process.Pid, nil
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
