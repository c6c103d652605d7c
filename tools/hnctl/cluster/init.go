package cluster

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/license"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/document"
	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/tools/hnctl/app"
	"hardnode.dev/tools/hnctl/day0"
)

// initFlags are the flags of `hnctl cluster init` as given.
type initFlags struct {
	dir, name, domain, infra, external    string
	hosts                                 int
	licence, rootKey, jls, jlsPin, jlsDir string
	images                                string
	jlsExternal, registryExternal         string
	infraLinks, hostLinks, args, trusted  []string
	proxied                               []string
	joinWithin                            time.Duration
	imagePin, directorPin                 string
}

func clusterInit(a *app.App) *cobra.Command {
	var f initFlags
	c := &cobra.Command{
		Use:   "init --dir DIR --name NAME --domain DOMAIN --infra-address IP --hosts N --licence FILE",
		Short: "Make a new cluster's keys, tokens and machine configurations, offline",
		Long: `Makes everything a cluster needs before its first machine boots, and talks to nothing: root and issuing CA, gossip key, admin token,
one join token per machine, the infra host's first work, and one configuration file per machine. Nothing that exists is replaced.`,
		Example: `  jls init --dir jls && jls licence issue --dir jls --customer Demo --hosts 2 --days 365 -o demo.licence
  hnctl cluster init --dir demo --name demo --domain demo.hardnode.internal --infra-address 10.77.0.2 --hosts 2 \
    --licence demo.licence --jls-dir jls \
    --infra-link name=underlay,mac=52:54:00:00:00:02,address=10.77.0.2/24 --infra-link name=outside,mac=52:54:00:00:00:03,dhcp \
    --host-link 1:name=underlay,mac=52:54:00:00:00:11,address=10.77.0.11/24`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runClusterInit(cmd.Context(), a, f) },
	}
	fl := c.Flags()
	fl.StringVar(&f.dir, "dir", "", "directory to make; must be absent or empty")
	fl.StringVar(&f.name, "name", "", "name of the cluster, a DNS label")
	fl.StringVar(&f.domain, "domain", "", "environments get names below it")
	fl.StringVar(&f.infra, "infra-address", "", "IPv4 address of the infra host that other hosts use")
	fl.StringVar(&f.external, "external", "", "host, or host:port of the API, that people use (default: the infra address)")
	fl.StringVar(&f.jlsExternal, "jls-external", "",
		"host:port people use for the licence server on the infra host (default: --external's host, port 7446)")
	fl.StringVar(&f.registryExternal, "registry-external", "",
		"host:port people use for the registry (default: --external's host, port 7445)")
	fl.IntVar(&f.hosts, "hosts", 0, "user hosts to make configurations for")
	fl.StringVar(&f.licence, "licence", "", "file with the licence token")
	fl.StringVar(&f.rootKey, "licence-root-key", "", "file with the licence root's public key in hex (default: from --jls-dir)")
	fl.StringVar(&f.jls, "jls", "", "host:port of the licence server (default with --jls-dir: on the infra host)")
	fl.StringVar(&f.jlsPin, "jls-pin", "", "pin of the licence server's key (default: from --jls-dir)")
	fl.StringVar(&f.jlsDir, "jls-dir", "", "key directory of `jls init`: the licence server then runs on the infra host")
	fl.StringVar(&f.images, "images", "", "index of the boot medium's images, from the image build")
	fl.StringArrayVar(&f.infraLinks, "infra-link", nil,
		"a link of the infra host: name=,mac=|pci=,dhcp|address=,gateway=,dns=,mtu=; the first is the underlay")
	fl.StringArrayVar(&f.hostLinks, "host-link", nil, "a link of user host N, as N:name=…")
	fl.StringArrayVar(&f.args, "component-arg", nil,
		"a further argument of a component's program, as NAME=ARG, e.g. orchestrator=--slow-clocks")
	fl.StringArrayVar(&f.trusted, "trusted-proxy", nil,
		"address or network of a proxy in front of the resolver whose X-Forwarded-* and Forwarded headers are believed, e.g. 192.0.2.10")
	fl.StringArrayVar(&f.proxied, "proxy-protocol", nil,
		"address or network of a load balancer that begins each connection to the resolver with a PROXY header, version 1 or 2")
	fl.DurationVar(&f.joinWithin, "join-within", 7*24*time.Hour, "how long the join tokens are good")
	fl.StringVar(&f.imagePin, "image-pin", "", "pin of the image repository, as `image release init` prints it: without it hosts take no "+
		"other release than they are booted with")
	fl.StringVar(&f.directorPin, "director-pin", "", "pin of the director's repository (default: from --jls-dir)")
	for _, n := range []string{"dir", "name", "domain", "infra-address", "hosts", "licence"} {
		c.MarkFlagRequired(n)
	}
	return c
}

func runClusterInit(ctx context.Context, a *app.App, f initFlags) error {
	o, err := initOptions(ctx, a, f)
	if err != nil {
		return app.WithCode(app.ExitUsage, err)
	}
	made, err := day0.Make(o, time.Now())
	if err != nil {
		return fmt.Errorf("make cluster: %w", err)
	}
	if err := day0.Write(f.dir, made.Files); err != nil {
		return app.WithCode(app.ExitConflict, err)
	}
	a.Say("made cluster %s (%s) in %s, licence %s for %d hosts until %s:", o.Name, made.Cluster, f.dir, made.License.ID, made.License.Hosts,
		made.License.Expires.Format(time.DateOnly))
	for _, file := range made.Files {
		a.Say("  %-24s %s", file.Path, file.What)
	}
	for _, n := range made.Notes {
		a.Say("note: %s", n)
	}
	a.Say("next: boot the infra host with infra.yaml and infra-bundle.json, then the user hosts; then: hnctl --config %s cluster status",
		filepath.Join(f.dir, "hnctl"))
	out := map[string]string{"cluster": string(made.Cluster), "caPin": made.Pin, "dir": f.dir}
	return a.Show(out, string(made.Cluster), func(t *app.Table) {
		t.Head("CLUSTER", "CA PIN")
		t.Row(made.Cluster, made.Pin)
	})
}

func initOptions(ctx context.Context, a *app.App, f initFlags) (o day0.Options, err error) {
	o = day0.Options{
		Name:             f.name,
		Domain:           f.domain,
		External:         f.external,
		Hosts:            f.hosts,
		JoinWithin:       f.joinWithin,
		JLS:              boot.JLSEndpoint{Addr: f.jls, Pin: f.jlsPin},
		ExternalJLS:      f.jlsExternal,
		ExternalRegistry: f.registryExternal,
		Args:             map[string][]string{},
	}
	for _, s := range f.args {
		name, arg, ok := strings.Cut(s, "=")
		if !ok || arg == "" {
			return o, fmt.Errorf("--component-arg %q: want NAME=ARG", s)
		}
		o.Args[name] = append(o.Args[name], arg)
	}
	if o.TrustedProxies, err = proxies("--trusted-proxy", f.trusted); err != nil {
		return o, err
	}
	if o.ProxyProtocol, err = proxies("--proxy-protocol", f.proxied); err != nil {
		return o, err
	}
	for flag, addr := range map[string]string{"--jls-external": f.jlsExternal, "--registry-external": f.registryExternal} {
		if h, p, err := net.SplitHostPort(addr); addr != "" && (err != nil || h == "" || p == "") {
			return o, fmt.Errorf("%s %q: want host:port", flag, addr)
		}
	}
	if o.Infra, err = netip.ParseAddr(f.infra); err != nil {
		return o, fmt.Errorf("--infra-address: %v", err)
	}
	if f.joinWithin < time.Hour {
		return o, fmt.Errorf("--join-within %s: want at least an hour", f.joinWithin)
	}
	raw, err := a.ReadFile(ctx, f.licence, license.MaxToken)
	if err != nil {
		return o, fmt.Errorf("--licence: %v", err)
	}
	o.License = app.OneLine(raw)
	if err := jlsOptions(ctx, a, f, &o); err != nil {
		return o, err
	}
	if err := releaseOptions(f, &o); err != nil {
		return o, err
	}
	if f.images != "" {
		raw, err := a.ReadFile(ctx, f.images, document.MaxBytes)
		if err != nil {
			return o, fmt.Errorf("--images: %v", err)
		}
		if err := json.Unmarshal(raw, &o.Images); err != nil {
			return o, fmt.Errorf("--images %s: %v", f.images, err)
		}
	}
	for _, s := range f.infraLinks {
		l, err := day0.ParseLink(s)
		if err != nil {
			return o, fmt.Errorf("--infra-link: %v", err)
		}
		o.InfraLinks = append(o.InfraLinks, l)
	}
	o.HostLinks = map[int][]boot.Link{}
	for _, s := range f.hostLinks {
		number, rest, ok := strings.Cut(s, ":")
		n, err := strconv.Atoi(number)
		if !ok || err != nil {
			return o, fmt.Errorf("--host-link %q: want N:name=…", s)
		}
		l, err := day0.ParseLink(rest)
		if err != nil {
			return o, fmt.Errorf("--host-link: %v", err)
		}
		o.HostLinks[n] = append(o.HostLinks[n], l)
	}
	return o, nil
}

// releaseOptions are the pins of both repositories of releases, or none.
func releaseOptions(f initFlags, o *day0.Options) error {
	director := wire.Digest(f.directorPin)
	if director == "" && o.JLSConfig != nil {
		if c, err := jls.DecodeConfig(o.JLSConfig); err == nil && c.Director != nil {
			director = wire.DigestOf(sha256.Sum256(c.Director.Roots[0]))
		}
	}
	switch {
	case f.imagePin == "" && f.directorPin == "":
		return nil
	case f.imagePin == "":
		return errors.New("--image-pin: is missing: two repositories must agree; `image release init` prints it")
	case director == "":
		return errors.New("--director-pin: is missing: two repositories must agree; `jls director init` prints it")
	}
	for flag, pin := range map[string]wire.Digest{"--image-pin": wire.Digest(f.imagePin), "--director-pin": director} {
		if err := pin.Validate(); err != nil {
			return fmt.Errorf("%s: %v", flag, err)
		}
	}
	o.Releases = &boot.Releases{Image: wire.Digest(f.imagePin), Director: director}
	return nil
}

// jlsOptions takes what --jls-dir offers where no flag says otherwise. The directory's offline/ is not looked at.
func jlsOptions(ctx context.Context, a *app.App, f initFlags, o *day0.Options) error {
	read := func(flag, inDir string) (string, error) {
		path := flag
		if path == "" && f.jlsDir != "" {
			path = filepath.Join(f.jlsDir, inDir)
		}
		if path == "" {
			return "", errors.New("is missing: give it, or --jls-dir")
		}
		raw, err := a.ReadFile(ctx, path, document.MaxBytes)
		return app.OneLine(raw), err
	}
	key, err := read(f.rootKey, "licence-root.pub")
	if err != nil {
		return fmt.Errorf("--licence-root-key: %v", err)
	}
	raw, err := hex.DecodeString(key)
	if err != nil || len(raw) != ed25519.PublicKeySize {
		return errors.New("--licence-root-key: want 64 hex digits, as in licence-root.pub of `jls init`")
	}
	o.LicenseKey = raw
	if f.jlsDir == "" {
		if f.jls == "" || f.jlsPin == "" {
			return errors.New("--jls and --jls-pin: give both, or --jls-dir")
		}
		return nil
	}
	if o.JLSConfig, err = a.ReadFile(ctx, filepath.Join(f.jlsDir, "jls.json"), document.MaxBytes); err != nil {
		return fmt.Errorf("--jls-dir: %v", err)
	}
	if o.JLS.Addr == "" {
		o.JLS.Addr = day0.InternalJLS()
	}
	if o.JLS.Pin == "" {
		if o.JLS.Pin, err = read("", "pin"); err != nil {
			return fmt.Errorf("--jls-dir: %v", err)
		}
	}
	token, err := read("", "admin-token")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("--jls-dir: %v", err)
	}
	o.JLSToken = secret.Text(token)
	return nil
}

// proxies reads addresses and networks of a flag.
func proxies(flag string, given []string) (out []netip.Prefix, err error) {
	for _, s := range given {
		p, err := netip.ParsePrefix(s)
		if a, e := netip.ParseAddr(s); e == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err == nil {
			err = boot.CheckTrustedProxy(p)
		}
		if err != nil {
			return nil, fmt.Errorf("%s %q: %v", flag, s, err)
		}
		out = append(out, p)
	}
	return out, nil
}
