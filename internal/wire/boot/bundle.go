package boot

import (
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// Bundle is what `hnctl cluster init` makes for an infra host, offline: it is imported once, then lives in the stores it was made for.
// The first Work refers to it: files of the components carry its parts.
type Bundle struct {
	Version int            `json:"version"` // 1
	Cluster wire.ClusterID `json:"cluster"`
	Name    string         `json:"name"` // cluster name, a DNS label
	// Work is the first Assignment: the containers of "jelastic" on this host. An image whose digest is empty is taken by name from
	// the boot medium's index. The orchestrator imports the same Work into its store before it serves.
	Work host.Work `json:"work"`
}

// OrchestratorSeed is the file /run/hardnode/seed.json of the orchestrator's container: all that Day 0 decided.
type OrchestratorSeed struct {
	Version    int            `json:"version"` // 1
	Cluster    wire.ClusterID `json:"cluster"`
	Name       string         `json:"name"`
	Domain     string         `json:"domain"`     // environments live below it, e.g. demo.hardnode.internal
	Names      []string       `json:"names"`      // host names and addresses its certificates must carry
	Range4     string         `json:"range4"`     // container addresses, e.g. 10.96.0.0/12; each host gets a /24 of it or more
	Range6     string         `json:"range6"`     // e.g. fd00:…/48; each host gets a /64 of it
	RootCA     []byte         `json:"rootCA"`     // DER
	IssuingCA  []byte         `json:"issuingCA"`  // DER
	IssuingKey secret.Bytes   `json:"issuingKey"` // PKCS #8 DER
	Gossip     secret.Bytes   `json:"gossip"`
	AdminToken string         `json:"adminToken"` // "sha256:" + hex of the admin token's SHA-256
	// PatcherToken is likewise that of the Patcher's token; absent: the cluster has no Patcher.
	PatcherToken string `json:"patcherToken,omitempty"`

	JoinTokens []JoinToken       `json:"joinTokens"`
	Infra      InfraHost         `json:"infra"`
	License    string            `json:"license"`    // PASETO v4.public
	LicenseKey []byte            `json:"licenseKey"` // licence root public key, Ed25519 (32 bytes)
	JLS        JLSEndpoint       `json:"jls"`
	Registry   string            `json:"registry"`         // host:port hosts pull from
	Work       host.Work         `json:"work"`             // the first Assignment, as in Bundle
	Names4     map[string]string `json:"names4,omitempty"` // component name → internal address
	Releases   *Releases         `json:"releases,omitempty"`
}

// InfraHost is the infra host the bundle is for, known before it has a key.
type InfraHost struct {
	Name     string `json:"name"`
	Underlay string `json:"underlay"`
	Block4   string `json:"block4"`
	Block6   string `json:"block6"`
	External string `json:"external,omitempty"` // address people use
}

// JLSEndpoint is where the licence server is and how it is known.
type JLSEndpoint struct {
	Addr string `json:"addr"` // host:port
	Pin  string `json:"pin"`  // "sha256:" + hex SHA-256 of its key's SubjectPublicKeyInfo
}

// JoinToken is a one-time permission to join, stored hashed. Its text is "hn1." + ID + "." + 32 hex digits of secret.
type JoinToken struct {
	ID      string    `json:"id"`   // 8 hex digits
	Hash    string    `json:"hash"` // hex SHA-256 of the whole text
	Name    string    `json:"name"` // the name the host gets; "" takes the one it asks for
	Role    host.Role `json:"role"`
	Expires int64     `json:"expires"` // Unix seconds
}
