package identity

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

// ShortCode is eight characters of a key's SHA-256, for a person to compare on two screens: "K7QX-3MPA". It is no secret and no proof.
// Hosts that joined with version 0.1 show it, and those that know no pin yet.
func ShortCode(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return grouped(base32.StdEncoding.EncodeToString(sum[:5]))
}

// Code is twelve characters (60 bits) of the SHA-256 of a host's key and of the CA pin that the host was given, for a person to compare
// on two screens: "K7QX-3MPA-W2ZD". A host that somebody else's pin was given to shows another one than the orchestrator has for its key,
// and to find a key that makes them the same takes 2^60 tries.
func Code(key ed25519.PublicKey, pin string) string {
	h := sha256.New()
	h.Write([]byte("hardnode host code v2\n" + pin + "\n"))
	h.Write(key)
	return grouped(base32.StdEncoding.EncodeToString(h.Sum(nil))[:12])
}

// ReadCode makes a code as Code writes it of what a person typed: letters in either case, with or without hyphens and spaces.
func ReadCode(typed string) string {
	return grouped(strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(typed)))
}

// grouped puts a hyphen after each four characters.
func grouped(s string) string {
	var b strings.Builder
	for i, c := range s {
		if i > 0 && i%4 == 0 {
			b.WriteByte('-')
		}
		b.WriteRune(c)
	}
	return b.String()
}
