package boot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"hardnode.dev/internal/wire"
)

// Names of the configuration files in the components' containers. `hnctl cluster init` writes them into the first Work; each program
// reads its own strictly.
const (
	RegistryConfigFile = RunDir + "/registry.json"
	ResolverConfigFile = RunDir + "/resolver.json"
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
}

// DecodeRegistryConfig reads a RegistryConfig strictly.
func DecodeRegistryConfig(raw []byte) (RegistryConfig, error) {
	var c RegistryConfig
	if err := decodeStrict(raw, &c); err != nil {
		return RegistryConfig{}, fmt.Errorf("registry configuration: %v", err)
	}
	if err := errors.Join(checkHead(c.Version, c.Cluster, c.CAPin), checkHash("pushToken", c.PushToken)); err != nil {
		return RegistryConfig{}, fmt.Errorf("registry configuration: %v", err)
	}
	return c, nil
}

// DecodeResolverConfig reads a ResolverConfig strictly.
func DecodeResolverConfig(raw []byte) (ResolverConfig, error) {
	var c ResolverConfig
	if err := decodeStrict(raw, &c); err != nil {
		return ResolverConfig{}, fmt.Errorf("resolver configuration: %v", err)
	}
	err := checkHead(c.Version, c.Cluster, c.CAPin)
	if len(c.Orchestrator) == 0 {
		err = errors.Join(err, errors.New("orchestrator: name at least one host:port"))
	}
	for _, a := range c.Orchestrator {
		if h, p, e := net.SplitHostPort(a); e != nil || h == "" || p == "" {
			err = errors.Join(err, fmt.Errorf("orchestrator: %q: want host:port", a))
		}
	}
	if err != nil {
		return ResolverConfig{}, fmt.Errorf("resolver configuration: %v", err)
	}
	return c, nil
}

func checkHead(version int, cluster wire.ClusterID, pin string) error {
	if version != 1 {
		return fmt.Errorf("version: %d is not known, want 1", version)
	}
	return errors.Join(cluster.Validate(), checkHash("caPin", pin))
}

func checkHash(field, s string) error {
	if wire.Digest(s).Validate() != nil {
		return fmt.Errorf("%s: want sha256: and 64 hex digits", field)
	}
	return nil
}

// decodeStrict reads one JSON document: unknown fields and trailing data are errors.
func decodeStrict(raw []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("there is more behind the document")
	}
	return nil
}
