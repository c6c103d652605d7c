// Package password keeps what a person knows as what can only be compared.
//
// Owns: the form of a kept password: Argon2id (RFC 9106) as a PHC string, and the cost of one.
// In: a password; a kept one and what somebody typed.
// Out: the kept form; whether they are the same.
// Never: keeps a password, or spends more on a comparison than its bounds allow.
package password

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// The cost of one that is made here: what OWASP's password storage guide asks for, small enough for the agent of a small host.
const (
	memory  = 19 << 10 // KiB
	passes  = 2
	threads = 1
	length  = 32 // bytes of salt, and of the result
)

// The bounds of one that is kept: a configuration must not make a host spend gibibytes on a guess.
const (
	minMemory, maxMemory = 8 << 10, 64 << 10 // KiB
	maxPasses            = 10
	maxThreads           = 4
	minBytes, maxBytes   = 8, 64
)

// MinLength and MaxLength are how long a password may be, in bytes.
const (
	MinLength = 8
	MaxLength = 256
)

// ErrForm: it is no kept password, or one outside the bounds.
var ErrForm = errors.New("want an Argon2id hash such as `hnctl host config password` prints")

// Keep makes the kept form of a password.
func Keep(typed string) (string, error) {
	if len(typed) < MinLength || len(typed) > MaxLength {
		return "", fmt.Errorf("the password has %d bytes; want %d to %d", len(typed), MinLength, MaxLength)
	}
	salt := make([]byte, length)
	rand.Read(salt) // never fails (crypto/rand)
	sum := argon2.IDKey([]byte(typed), salt, passes, memory, threads, length)
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, memory, passes, threads, code(salt), code(sum)), nil
}

func code(b []byte) string { return base64.RawStdEncoding.EncodeToString(b) }

// Is tells whether typed is the kept password.
func Is(kept, typed string) (bool, error) {
	parts := strings.Split(kept, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return false, ErrForm
	}
	var m, t uint32
	var p uint8
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &m, &t, &p); err != nil || parts[3] != fmt.Sprintf("m=%d,t=%d,p=%d", m, t, p) ||
		m < minMemory || m > maxMemory || t < 1 || t > maxPasses || p < 1 || p > maxThreads {
		return false, ErrForm
	}
	salt, err := base64.RawStdEncoding.Strict().DecodeString(parts[4])
	sum, err2 := base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if errors.Join(err, err2) != nil || len(salt) < minBytes || len(salt) > maxBytes || len(sum) < 2*minBytes || len(sum) > maxBytes {
		return false, ErrForm
	}
	if len(typed) > MaxLength {
		return false, nil
	}
	return subtle.ConstantTimeCompare(argon2.IDKey([]byte(typed), salt, t, m, p, uint32(len(sum))), sum) == 1, nil
}
