package boot

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/neighbour"
)

// Names of the configuration files in the components' containers. `hnctl cluster init` writes them into the first Work; each program
// reads its own.
const (
	RegistryConfigFile = RunDir + "/registry.json"
	ResolverConfigFile = RunDir + "/resolver.json"
	NetbootConfigFile  = RunDir + "/netboot.json" // written by the orchestrator, when netboot is switched on
	PatcherConfigFile  = RunDir + "/patcher.json"
	MeteringConfigFile = RunDir + "/metering.json" // written by the orchestrator, when metering is enabled
)

// RegistryConfig is the file RegistryConfigFile of the registry's container.
type RegistryConfig struct {
	Version int            `json:"version"` // 1
	Cluster wire.ClusterID `json:"cluster"`
	CAPin   string         `json:"caPin"` // identity.Pin of the root CA
	// PushToken is "sha256:" and the hex SHA-256 of the token that may push images and start imports; its text stays with the admin.
	PushToken string `json:"pushToken"`
}

// ResolverConfig is the file ResolverConfigFile of the resolver's container.
type ResolverConfig struct {
	Version      int            `json:"version"` // 1
	Cluster      wire.ClusterID `json:"cluster"`
	CAPin        string         `json:"caPin"`        // identity.Pin of the root CA
	Orchestrator []string       `json:"orchestrator"` // host:port of the host API (7444), tried in order
	// TrustedProxies are the addresses of proxies in front of the resolver (TLS terminators, load balancers): their X-Forwarded-* and
	// Forwarded headers are kept and added to; those of anybody else are dropped.
	TrustedProxies []netip.Prefix `json:"trustedProxies,omitempty"`
	// ProxyProtocol are the addresses of load balancers that begin each connection with a PROXY header, version 1 or 2, and of nobody else.
	// Resolvers before 2026-11-28 don't know it.
	ProxyProtocol []netip.Prefix `json:"proxyProtocol,omitempty"`
}

// NetbootConfig is the file NetbootConfigFile of netboot's container. What it serves, and whom, the orchestrator says.
type NetbootConfig struct {
	Version      int            `json:"version"` // 1
	Cluster      wire.ClusterID `json:"cluster"`
	CAPin        string         `json:"caPin"`        // identity.Pin of the root CA
	Orchestrator []string       `json:"orchestrator"` // host:port of the host API (7444), tried in order
}

// DecodeNetbootConfig reads a NetbootConfig.
func DecodeNetbootConfig(raw []byte) (NetbootConfig, error) {
	var c NetbootConfig
	err := neighbour.Decode(raw, &c)
	if err == nil {
		err = errors.Join(checkHead(c.Version, c.Cluster, c.CAPin), checkAddresses("orchestrator", c.Orchestrator))
	}
	if err != nil {
		return NetbootConfig{}, fmt.Errorf("netboot configuration: %v", err)
	}
	return c, nil
}

// MeteringConfig is the file MeteringConfigFile of metering's container.
type MeteringConfig struct {
	Version      int            `json:"version"` // 1
	Cluster      wire.ClusterID `json:"cluster"`
	CAPin        string         `json:"caPin"`        // identity.Pin of the root CA
	Orchestrator []string       `json:"orchestrator"` // host:port of the host API (7444), tried in order
}

// DecodeMeteringConfig reads a MeteringConfig.
func DecodeMeteringConfig(raw []byte) (MeteringConfig, error) {
	var c MeteringConfig
	err := neighbour.Decode(raw, &c)
	if err == nil {
		err = errors.Join(checkHead(c.Version, c.Cluster, c.CAPin), checkAddresses("orchestrator", c.Orchestrator))
	}
	if err != nil {
		return MeteringConfig{}, fmt.Errorf("metering configuration: %v", err)
	}
	return c, nil
}

// PatcherConfig is the file PatcherConfigFile of the Patcher's container.
type PatcherConfig struct {
	Version int            `json:"version"` // 1
	Cluster wire.ClusterID `json:"cluster"`
	CAPin   string         `json:"caPin"` // identity.Pin of the root CA
	API     []string       `json:"api"`   // host:port of the API (7443), tried in order
	Token   secret.Text    `json:"token"` // of the API, with scope patch; its hash is in the orchestrator's seed
}

// DecodePatcherConfig reads a PatcherConfig.
func DecodePatcherConfig(raw []byte) (PatcherConfig, error) {
	var c PatcherConfig
	if err := neighbour.Decode(raw, &c); err != nil {
		return PatcherConfig{}, fmt.Errorf("patcher configuration: %v", err)
	}
	err := errors.Join(checkHead(c.Version, c.Cluster, c.CAPin), checkAddresses("api", c.API))
	if c.Token == "" {
		err = errors.Join(err, errors.New("token: is empty"))
	}
	if err != nil {
		return PatcherConfig{}, fmt.Errorf("patcher configuration: %v", err)
	}
	return c, nil
}

// DecodeRegistryConfig reads a RegistryConfig.
func DecodeRegistryConfig(raw []byte) (RegistryConfig, error) {
	var c RegistryConfig
	if err := neighbour.Decode(raw, &c); err != nil {
		return RegistryConfig{}, fmt.Errorf("registry configuration: %v", err)
	}
	if err := errors.Join(checkHead(c.Version, c.Cluster, c.CAPin), checkHash("pushToken", c.PushToken)); err != nil {
		return RegistryConfig{}, fmt.Errorf("registry configuration: %v", err)
	}
	return c, nil
}

// DecodeResolverConfig reads a ResolverConfig.
func DecodeResolverConfig(raw []byte) (ResolverConfig, error) {
	var c ResolverConfig
	if err := neighbour.Decode(raw, &c); err != nil {
		return ResolverConfig{}, fmt.Errorf("resolver configuration: %v", err)
	}
	err := errors.Join(checkHead(c.Version, c.Cluster, c.CAPin), checkAddresses("orchestrator", c.Orchestrator))
	for _, p := range slices.Concat(c.TrustedProxies, c.ProxyProtocol) {
		err = errors.Join(err, CheckTrustedProxy(p))
	}
	if err != nil {
		return ResolverConfig{}, fmt.Errorf("resolver configuration: %v", err)
	}
	return c, nil
}

// CheckTrustedProxy refuses a prefix that must be a mistake: one that is not written as a network, or that holds so much of the world that
// anybody would be believed.
func CheckTrustedProxy(p netip.Prefix) error {
	switch {
	case !p.IsValid() || p != p.Masked():
		return fmt.Errorf("trusted proxy %q: want an address or a network such as 192.0.2.10/32", p)
	case p.Addr().Is4In6() || p.Bits() < 8 || p.Addr().Is6() && p.Bits() < 32:
		return fmt.Errorf("trusted proxy %s: that is too much of the world: whoever is inside may claim to be anybody", p)
	}
	return nil
}

func checkHead(version int, cluster wire.ClusterID, pin string) error {
	if version != 1 {
		return fmt.Errorf("version: %d is not known, want 1", version)
	}
	return errors.Join(cluster.Validate(), checkHash("caPin", pin))
}

func checkAddresses(field string, list []string) (err error) {
	if len(list) == 0 {
		err = fmt.Errorf("%s: name at least one host:port", field)
	}
	for _, a := range list {
		if h, p, e := net.SplitHostPort(a); e != nil || h == "" || p == "" {
			err = errors.Join(err, fmt.Errorf("%s: %q: want host:port", field, a))
		}
	}
	return err
}

func checkHash(field, s string) error {
	if wire.Digest(s).Validate() != nil {
		return fmt.Errorf("%s: want sha256: and 64 hex digits", field)
	}
	return nil
}
