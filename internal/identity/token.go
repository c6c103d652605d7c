package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/form"
	"hardnode.dev/internal/wire/host"
)

var joinToken = form.New(`^hn1\.([0-9a-f]{8})\.[0-9a-f]{32}$`)

// NewJoinToken makes a one-time permission to join and the record of it: the record holds a hash only.
func NewJoinToken(name string, role host.Role, expires time.Time) (secret.Text, boot.JoinToken, error) {
	raw := make([]byte, 20)
	if _, err := rand.Read(raw); err != nil {
		return "", boot.JoinToken{}, fmt.Errorf("make join token: %v", err)
	}
	id := hex.EncodeToString(raw[:4])
	text := secret.Text("hn1." + id + "." + hex.EncodeToString(raw[4:]))
	return text, boot.JoinToken{ID: id, Hash: HashToken(text), Name: name, Role: role, Expires: expires.Unix()}, nil
}

// JoinTokenID is the public part of a join token's text; an error when the text is no join token.
func JoinTokenID(text secret.Text) (string, error) {
	m := joinToken.FindStringSubmatch(text.Reveal())
	if m == nil {
		return "", fmt.Errorf("join token: want hn1., 8 hex digits, a dot, 32 hex digits")
	}
	return m[1], nil
}

// HashToken is the hex SHA-256 of a token's text: what is stored instead of the token. Tokens carry 128 random bits or more, so no salt is
// needed.
func HashToken(text secret.Text) string {
	sum := sha256.Sum256([]byte(text.Reveal()))
	return hex.EncodeToString(sum[:])
}
