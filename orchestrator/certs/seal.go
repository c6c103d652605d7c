package certs

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
)

// Sealer encrypts private keys for the store, so that a copy of that is worth nothing by itself: AES-256-GCM under a key of
// 32 bytes that is not in the store.
// Each is bound to its name: put in another's place it does not open.
type Sealer []byte

// IssuedAs is what the key of a certificate is sealed as that was issued for a host name of an account: it opens as no other account's.
func IssuedAs(name string, owner wire.Account) string {
	return "issued certificate of " + name + " of " + string(owner)
}

// Seal encrypts.
func (s Sealer) Seal(name string, plain secret.Bytes) ([]byte, error) {
	a, err := s.aead()
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, a.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("seal the key of %q: %v", name, err)
	}
	return a.Seal(nonce, nonce, plain.Reveal(), []byte(name)), nil
}

// SealSame encrypts so that one text under one name is always the same: who reads the store learns which are equal, and nothing else. The
// nonce follows from name and text, by a key of its own.
func (s Sealer) SealSame(name string, plain secret.Bytes) ([]byte, error) {
	a, err := s.aead()
	if err != nil {
		return nil, err
	}
	own := hmac.New(sha256.New, s)
	own.Write([]byte("nonces of equal texts"))
	m := hmac.New(sha256.New, own.Sum(nil))
	fmt.Fprintf(m, "%d %s ", len(name), name)
	m.Write(plain.Reveal())
	nonce := m.Sum(nil)[:a.NonceSize()]
	return a.Seal(nonce[:len(nonce):len(nonce)], nonce, plain.Reveal(), []byte(name)), nil
}

// Open decrypts.
func (s Sealer) Open(name string, sealed []byte) (secret.Bytes, error) {
	a, err := s.aead()
	if err == nil && len(sealed) < a.NonceSize() {
		err = errors.New("it is cut off")
	}
	if err != nil {
		return nil, fmt.Errorf("open the key of %q: %v", name, err)
	}
	plain, err := a.Open(nil, sealed[:a.NonceSize()], sealed[a.NonceSize():], []byte(name))
	if err != nil {
		return nil, fmt.Errorf("open the key of %q: it was sealed under another issuing key, or is damaged: %v", name, err)
	}
	return plain, nil
}

func (s Sealer) aead() (cipher.AEAD, error) {
	block, err := aes.NewCipher(s)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
