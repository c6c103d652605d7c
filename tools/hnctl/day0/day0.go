// Package day0 makes a cluster offline: all keys, tokens and first documents, from a few answers.
//
// Owns: what a cluster consists of before any machine has booted, and how its parts fit together.
// In: Options, the time, a licence that verifies.
// Out: a list of files, and the directory they are written to in one step.
// Never: talks to anything, or replaces a file that is there.
package day0

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/license"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/internal/wire/patch"
	"hardnode.dev/tools/hnctl/config"
)

// Options are the answers.
type Options struct {
	Name     string     // of the cluster: a DNS label
	Domain   string     // environments live below it
	Infra    netip.Addr // the infra host's own (underlay) address
	External string     // host, or host:port of the API, that people use; "" is Infra
	// ExternalJLS and ExternalRegistry are host:port of these services for people, where ports are forwarded; "" is External's host
	// with the usual port.
	ExternalJLS, ExternalRegistry string

	Hosts      int    // user hosts to make configurations for, 1–200
	License    string // token
	LicenseKey ed25519.PublicKey
	JLS        boot.JLSEndpoint
	JLSConfig  []byte // jls.Config as JSON, when the JLS runs on the infra host
	JLSToken   secret.Text
	InfraLinks []boot.Link
	HostLinks  map[int][]boot.Link
	Images     []boot.BundledImage // the boot medium's index; may be empty: images are then found by name
	JoinWithin time.Duration       // how long join tokens are good
	Args       map[string][]string // further arguments of a component's program, by component
	// Releases is how the repositories of releases are known; nil: hosts run what they are booted with, until their configuration says it.
	Releases *boot.Releases
	// TrustedProxies may tell the resolver where a request came from (boot.ResolverConfig).
	TrustedProxies []netip.Prefix
	// ProxyProtocol begin connections to the resolver with a PROXY header (boot.ResolverConfig).
	ProxyProtocol []netip.Prefix
}

// File is one file of the result.
type File struct {
	Path string // below the directory
	Data []byte
	What string // what it is for, one line
}

// Made is the result.
type Made struct {
	Cluster wire.ClusterID
	Pin     string // of the root CA
	License license.License
	Files   []File
	Notes   []string // what the admin should know
}

// Network facts every cluster starts with.
var (
	range4    = netip.MustParsePrefix("10.96.0.0/12")
	apiPort   = "7443"
	hostPort  = "7444"
	pullPort  = "7445"
	jlsPort   = "7446"
	maxHosts  = 200
	tokenText = map[string]string{"admin": "hna1.", "push": "hnp1.", "patcher": "hnt1."}
)

// InputError says that an answer can't be used.
type InputError struct{ Err error }

func (e *InputError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *InputError) Unwrap() error { return e.Err }

// Make makes everything, in memory. An answer that can't be used is an *InputError.
func Make(o Options, now time.Time) (Made, error) {
	if err := o.validate(); err != nil {
		return Made{}, &InputError{err}
	}
	lic, err := license.Verify(o.License, o.LicenseKey, now)
	if err != nil {
		return Made{}, fmt.Errorf("check licence: %w", err)
	}
	if o.JLSConfig != nil {
		cfg, err := jls.DecodeConfig(o.JLSConfig)
		if err != nil {
			return Made{}, &InputError{err}
		}
		if !o.LicenseKey.Equal(ed25519.PublicKey(cfg.Root)) {
			return Made{}, &InputError{errors.New("check JLS: its licence root is not the one given")}
		}
	}
	c, err := newCluster(o, now)
	if err != nil {
		return Made{}, err
	}
	made := Made{Cluster: c.id, Pin: identity.Pin(c.root.Cert), License: lic}
	if o.Hosts > lic.Hosts {
		made.Notes = append(made.Notes,
			fmt.Sprintf("the licence allows %d hosts, %d are prepared: those that join last get nothing placed on them",
				lic.Hosts, o.Hosts))
	}
	if len(o.InfraLinks) == 0 {
		made.Notes = append(made.Notes,
			fmt.Sprintf("infra.yaml names no links: add one with the address %s before you use it, or give --infra-link", o.Infra))
	}
	made.Files, err = c.files(now)
	return made, err
}

func (o Options) validate() error {
	if err := wire.Label("cluster name", o.Name, 40); err != nil {
		return err
	}
	if !isDomain(o.Domain) {
		return fmt.Errorf("domain %q: want lower-case DNS labels joined by dots, such as demo.example.org", o.Domain)
	}
	if !o.Infra.Is4() || o.Infra.IsUnspecified() || o.Infra.IsLoopback() || range4.Contains(o.Infra) {
		return fmt.Errorf("infra address %q: want the infra host's own IPv4 address, outside %s", o.Infra, range4)
	}
	if o.Hosts < 1 || o.Hosts > maxHosts {
		return fmt.Errorf("hosts %d: want 1 to %d", o.Hosts, maxHosts)
	}
	if len(o.LicenseKey) != ed25519.PublicKeySize {
		return fmt.Errorf("licence root key: has %d bytes, want %d", len(o.LicenseKey), ed25519.PublicKeySize)
	}
	if h, p, err := net.SplitHostPort(o.JLS.Addr); err != nil || h == "" || p == "" {
		return fmt.Errorf("JLS address %q: want host:port", o.JLS.Addr)
	}
	if wire.Digest(o.JLS.Pin).Validate() != nil {
		return fmt.Errorf("JLS pin %q: want sha256: and 64 hex digits, as `jls init` prints it", o.JLS.Pin)
	}
	for name := range o.Args {
		if !slices.ContainsFunc(components, func(p component) bool { return p.name == name }) {
			return fmt.Errorf("component argument: there is no component %q", name)
		}
	}
	for n := range o.HostLinks {
		if n < 1 || n > o.Hosts {
			return fmt.Errorf("host link: there is no host %d, hosts are 1 to %d", n, o.Hosts)
		}
	}
	return nil
}

// cluster is all that was made, before it is spread over files.
type cluster struct {
	Options
	id          wire.ClusterID
	root        identity.CA
	issuing     identity.CA
	gossip      secret.Bytes
	admin, push secret.Text
	patcher     secret.Text
	tokens      []secret.Text // infra first, then host 1…
	records     []boot.JoinToken
	apiHost     string // where people reach the API
	apiAddr     string
}

func newCluster(o Options, now time.Time) (c cluster, err error) {
	var id [8]byte
	rand.Read(id[:])
	c = cluster{Options: o, id: wire.ClusterID("cl-" + hex.EncodeToString(id[:])), gossip: make(secret.Bytes, 32)}
	rand.Read(c.gossip)
	c.admin = secret.Text(tokenText["admin"] + rand.Text())
	c.push = secret.Text(tokenText["push"] + rand.Text())
	c.patcher = secret.Text(tokenText["patcher"] + rand.Text())
	if c.root, err = identity.NewRoot(c.id, now); err != nil {
		return c, err
	}
	if c.issuing, err = c.root.Issue(c.id, now); err != nil {
		return c, err
	}
	for n := range o.Hosts + 1 {
		name, role := c.hostName(n)
		text, rec, err := identity.NewJoinToken(name, role, now.Add(o.JoinWithin))
		if err != nil {
			return c, err
		}
		c.tokens, c.records = append(c.tokens, text), append(c.records, rec)
	}
	c.apiHost, c.apiAddr = o.Infra.String(), net.JoinHostPort(o.Infra.String(), apiPort)
	if o.External != "" {
		c.apiHost, c.apiAddr = o.External, net.JoinHostPort(o.External, apiPort)
		if h, p, err := net.SplitHostPort(o.External); err == nil {
			c.apiHost, c.apiAddr = h, net.JoinHostPort(h, p)
		}
	}
	return c, nil
}

// hostName is the name and role of host number n; 0 is the infra host.
func (c cluster) hostName(n int) (string, host.Role) {
	if n == 0 {
		return "infra-1", host.RoleInfra
	}
	return fmt.Sprintf("host-%d", n), host.RoleUser
}

func (c cluster) files(now time.Time) ([]File, error) {
	work, err := c.work()
	if err != nil {
		return nil, err
	}
	issuingKey, err := x509.MarshalPKCS8PrivateKey(c.issuing.Key)
	if err != nil {
		return nil, fmt.Errorf("encode issuing key: %v", err)
	}
	seed := boot.OrchestratorSeed{
		Version: 1, Cluster: c.id, Name: c.Name, Domain: c.Domain, Names: c.names(), Range4: range4.String(),
		Range6: c.prefix6(48, 0).String(),
		RootCA: c.root.Cert.Raw, IssuingCA: c.issuing.Cert.Raw, IssuingKey: issuingKey, Gossip: c.gossip,
		AdminToken: "sha256:" + identity.HashToken(c.admin), JoinTokens: c.records,
		Infra: boot.InfraHost{Name: "infra-1", Underlay: c.Infra.String(), Block4: block4(0).String(), Block6: c.prefix6(64, 0).String(),
			External: c.apiHost},
		License: c.License, LicenseKey: c.LicenseKey, JLS: c.JLS, Registry: net.JoinHostPort(c.Infra.String(), pullPort), Work: work,
		Names4: c.names4(), Releases: c.Releases,
	}
	if slices.ContainsFunc(work.Containers, func(x host.Container) bool { return x.Component == patch.Component }) {
		seed.PatcherToken = "sha256:" + identity.HashToken(c.patcher)
	}
	rawSeed, err := json.Marshal(seed)
	if err != nil {
		return nil, fmt.Errorf("encode seed: %v", err)
	}
	bundle := boot.Bundle{Version: 1, Cluster: c.id, Name: c.Name, Work: seed.FirstWork(rawSeed)}
	rawBundle, err := json.Marshal(bundle)
	if err != nil {
		return nil, fmt.Errorf("encode bundle: %v", err)
	}
	rootKey, err := x509.MarshalPKCS8PrivateKey(c.root.Key)
	if err != nil {
		return nil, fmt.Errorf("encode root key: %v", err)
	}
	cfg, err := config.Encode(c.config())
	if err != nil {
		return nil, err
	}
	out := []File{
		{"admin/root-ca.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: rootKey}),
			"root CA's key: take it away and keep it safe; it makes the next issuing CA in a year"},
		{"admin/root-ca.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.root.Cert.Raw}),
			"root CA's certificate: import it into browsers that open the panel"},
		{"hnctl/" + config.FileName, cfg, "configuration of hnctl: hnctl --config DIR/hnctl, or HNCTL_CONFIG"},
		{"hnctl/token", text(c.admin), "admin token hnctl uses"},
		{"hnctl/push-token", text(c.push), "token that may push templates to the registry"},
		{"infra-bundle.json", rawBundle, "first work of the infra host, with its keys: fw_cfg " + boot.FwCfgBundle + ", used once"},
	}
	if c.JLSToken != "" {
		out = append(out, File{"hnctl/jls-token", text(c.JLSToken), "admin token of the JLS, for hnctl jls"})
	}
	for n := range c.Hosts + 1 {
		f, err := c.hostConfig(n, now)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	f, err := c.waitingConfig()
	return append(out, f), err
}

func (c cluster) config() config.Config {
	cfg := config.Config{Version: 1, Cluster: c.id, Name: c.Name, Servers: []string{"https://" + c.apiAddr},
		CAPin: identity.Pin(c.root.Cert), TokenFile: "token"}
	cfg.Registry = &config.Registry{Server: "https://" + cmp.Or(c.ExternalRegistry, net.JoinHostPort(c.apiHost, pullPort)),
		TokenFile: "push-token"}
	if c.JLSToken != "" {
		cfg.JLS = &config.JLS{Server: "https://" + cmp.Or(c.ExternalJLS, net.JoinHostPort(c.apiHost, jlsPort)), Pin: c.JLS.Pin,
			TokenFile: "jls-token"}
	}
	return cfg
}

func text(t secret.Text) []byte { return []byte(t.Reveal() + "\n") }
