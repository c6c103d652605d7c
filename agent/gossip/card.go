// Package gossip tells which hosts are alive, by rumour.
//
// Owns: memberlist on port 7442, this host's signed card, the view of the others.
// In: Peers (keys, identities, addresses) and what this host says of itself.
// Out: host.GossipView, of who is dead: hints for the orchestrator; others' cards that verify.
// Never: believes a card that its host's enrolled key did not sign, keeps or decides anything: the store is the authority.
package gossip

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"net/netip"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/neighbour"
)

// Card is what a host says of itself, as memberlist's node metadata.
type Card struct {
	Host     wire.HostID `json:"h"`
	Role     host.Role   `json:"r"`
	Version  string      `json:"v"`
	Boot     string      `json:"b"`
	Started  int64       `json:"t"` // Unix seconds of the boot: orders boots
	Seq      int64       `json:"s"` // orders cards of one boot; begins with the milliseconds since boot, since the agent may restart
	MeshKey  string      `json:"k,omitempty"`
	Endpoint netip.Addr  `json:"e"`           // underlay address, also of the mesh
	Class    string      `json:"c,omitempty"` // capacity class, e.g. "4c16g"
	Leader   string      `json:"l,omitempty"` // orchestrator endpoint this host last reached
}

// MaxCard is the size of an encoded card, in bytes (memberlist's limit on metadata).
const MaxCard = 512

const (
	cardVersion = 1
	cardHeader  = 1 + ed25519.SignatureSize
	signedText  = "hardnode card v1\n"
)

// newer tells whether c replaces old. Of two boots the one that the peers document names (boot) wins, else the one that started later;
// cards of one boot are ordered by Seq alone, since a clock that is set moves Started.
func (c Card) newer(old Card, boot string) bool {
	if c.Boot == old.Boot {
		return c.Seq >= old.Seq
	}
	return c.Boot == boot || old.Boot != boot && c.Started > old.Started
}

func toSign(cluster wire.ClusterID, body []byte) []byte {
	return bytes.Join([][]byte{[]byte(signedText), []byte(cluster), []byte("\n"), body}, nil)
}

// Encode signs the card: one byte of version, the Ed25519 signature, the body as JSON.
func (c Card) Encode(cluster wire.ClusterID, key ed25519.PrivateKey) ([]byte, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode gossip card: %v", err)
	}
	if n := cardHeader + len(body); n > MaxCard {
		return nil, fmt.Errorf("encode gossip card: it has %d bytes, at most %d are allowed", n, MaxCard)
	}
	out := append([]byte{cardVersion}, ed25519.Sign(key, toSign(cluster, body))...)
	return append(out, body...), nil
}

// Decode reads a card, of this version or a neighbouring one, and checks that it was signed by the key that keyOf knows for the host it
// names.
func Decode(raw []byte, cluster wire.ClusterID, keyOf func(wire.HostID) ed25519.PublicKey) (Card, error) {
	if len(raw) > MaxCard || len(raw) <= cardHeader || raw[0] != cardVersion {
		return Card{}, fmt.Errorf("gossip card: %d bytes are no card of version %d", len(raw), cardVersion)
	}
	sig, body := raw[1:cardHeader], raw[cardHeader:]
	var c Card
	if err := neighbour.Decode(body, &c); err != nil {
		return Card{}, fmt.Errorf("gossip card: %v", err)
	}
	if err := c.Host.Validate(); err != nil {
		return Card{}, fmt.Errorf("gossip card: %v", err)
	}
	key := keyOf(c.Host)
	if len(key) != ed25519.PublicKeySize {
		return Card{}, fmt.Errorf("gossip card of %s: this host is not among the peers", c.Host)
	}
	if !ed25519.Verify(key, toSign(cluster, body), sig) {
		return Card{}, fmt.Errorf("gossip card of %s: its signature does not verify", c.Host)
	}
	return c, nil
}
