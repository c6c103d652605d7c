package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// names are the proxies; each has two ports, of HTTP and of HTTPS. The last is the resolver.
var names = []string{"nginx", "haproxy", "caddy", "resolver"}

// peer is a running proxy.
type peer struct {
	name          string
	pid           int
	plain, secure int
}

const nginxConfig = `daemon off; master_process on; worker_processes 1; pid %[1]s.pid; error_log %[1]s.log; worker_rlimit_nofile 8192;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 1000000; client_body_temp_path %[1]s.b; proxy_temp_path %[1]s.p; fastcgi_temp_path %[1]s.f; uwsgi_temp_path %[1]s.u; scgi_temp_path %[1]s.s; %[2]s }
`

// begin starts the backend and the proxies.
func (b *site) begin(ctx context.Context, children *sync.WaitGroup, resolver string) (peers []peer, err error) {
	back := b.ports[0]
	for i, n := range names {
		peers = append(peers, peer{name: n, plain: b.ports[1+2*i], secure: b.ports[2+2*i]})
	}
	pem := filepath.Join(b.dir, "both.pem")
	nginx := func(name, server string) (int, error) {
		base := filepath.Join(b.dir, name)
		if err := os.WriteFile(base+".conf", fmt.Appendf(nil, nginxConfig, base, server), 0o600); err != nil {
			return 0, err
		}
		return b.start(ctx, children, b.program("usr/sbin/nginx"), "-c", base+".conf", "-e", base+".log")
	}
	if _, err := nginx("backend", fmt.Sprintf(`server { listen 127.0.0.1:%d; location / { return 200 "%s"; } }`, back,
		strings.Repeat("x", 1000))); err != nil {
		return nil, err
	}
	p := peers[0]
	if peers[0].pid, err = nginx("nginx", fmt.Sprintf(`upstream b { server 127.0.0.1:%[1]d; keepalive 64; keepalive_requests 1000000; }
server { listen 127.0.0.1:%[2]d; listen 127.0.0.1:%[3]d ssl http2; ssl_certificate %[4]s; ssl_certificate_key %[4]s; server_name a.test;
location / { proxy_pass http://b; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Host $http_host; proxy_set_header X-Forwarded-Proto $scheme; } }`,
		back, p.plain, p.secure, pem)); err != nil {
		return nil, err
	}
	p = peers[1]
	haproxy := fmt.Sprintf(`global
	nbthread 1
	maxconn 8192
defaults
	mode http
	timeout client 1m
	timeout server 1m
	timeout connect 5s
	http-reuse always
	option forwardfor
frontend f
	bind 127.0.0.1:%d
	bind 127.0.0.1:%d ssl crt %s alpn h2,http/1.1
	http-request set-header X-Forwarded-Host %%[req.hdr(Host)]
	http-request set-header X-Forwarded-Proto %%[ssl_fc,iif(https,http)]
	default_backend b
backend b
	server s 127.0.0.1:%d
`, p.plain, p.secure, pem, back)
	if peers[1].pid, err = b.withFile(ctx, children, "haproxy.cfg", haproxy, b.program("usr/sbin/haproxy"), "-db", "-f"); err != nil {
		return nil, err
	}
	p = peers[2]
	caddy := fmt.Sprintf(`{
	admin off
	auto_https off
}
http://a.test:%[1]d {
	bind 127.0.0.1
	reverse_proxy 127.0.0.1:%[3]d
}
https://a.test:%[2]d, https://localhost:%[2]d {
	bind 127.0.0.1
	tls %[4]s %[4]s
	reverse_proxy 127.0.0.1:%[3]d
}
`, p.plain, p.secure, back, pem)
	if peers[2].pid, err = b.withFile(ctx, children, "Caddyfile", caddy, b.program("usr/bin/caddy"), "run", "--adapter", "caddyfile",
		"--config"); err != nil {
		return nil, err
	}
	if err := b.resolverData(back); err != nil {
		return nil, err
	}
	p = peers[3]
	peers[3].pid, err = b.start(ctx, children, resolver, "-config", filepath.Join(b.dir, "resolver.json"), "-data", b.dir, "-identity",
		filepath.Join(b.dir, "none"), "-listen", fmt.Sprintf("127.0.0.1:%d", p.plain), "-listen-tls", fmt.Sprintf("127.0.0.1:%d", p.secure),
		"-listen-dns", "127.0.0.1:0")
	return peers, err
}

// withFile starts a program whose last argument is a configuration file.
func (b *site) withFile(ctx context.Context, children *sync.WaitGroup, file, text, program string, args ...string) (int, error) {
	path := filepath.Join(b.dir, file)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return 0, err
	}
	return b.start(ctx, children, program, append(args, path)...)
}
