// Package keyfile keeps the private keys of repositories of releases in files, encrypted with a passphrase.
//
// Owns: the form of a key file (age, scrypt: age-encryption.org/v1, in ASCII armor) and of its public half beside it (hex); their modes.
// In: a folder, which may be a stick; a name such as root-1, whose first part is the role; a passphrase.
// Out: key pairs; public keys of a role.
// Never: replaces a key that is there, writes a private key in the clear, or keeps a passphrase.
package keyfile

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"

	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/form"
)

// Work is the work factor of scrypt for new files, as a power of two: 18 takes about a second (age's own default).
var Work = 18

const header = "hardnode release key 1\n" // of the plaintext; the name and the seed follow, a line each

var names = form.New(`^(root|targets|snapshot|timestamp)(-[a-z0-9]{1,20})?$`)

// Role is the role that a key's name says: its part before the dash.
func Role(name string) string { role, _, _ := strings.Cut(name, "-"); return role }

// Make makes a key pair as NAME.key and NAME.pub in dir (0700, made when absent). It refuses to replace either.
func Make(dir, name string, passphrase secret.Text) (ed25519.PublicKey, error) {
	if !names.MatchString(name) {
		return nil, fmt.Errorf("key %q: want root, targets, snapshot or timestamp, and perhaps a dash and a name", name)
	}
	if len(passphrase.Reveal()) < 8 {
		return nil, fmt.Errorf("key %q: the passphrase has fewer than 8 characters", name)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make key %q: %v", name, err)
	}
	for _, ext := range []string{".key", ".pub"} {
		if _, err := os.Stat(filepath.Join(dir, name+ext)); !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("make key %q: %s is there already in %q, and keys are never replaced; choose another name or folder",
				name,
				name+ext, dir)
		}
	}
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key %q: %v", name, err)
	}
	raw, err := seal(name, key, passphrase)
	if err != nil {
		return nil, fmt.Errorf("make key %q: %v", name, err)
	}
	if err := keep.WriteFile(filepath.Join(dir, name+".key"), raw, 0o600); err != nil {
		return nil, err
	}
	return pub, keep.WriteFile(filepath.Join(dir, name+".pub"), []byte(hex.EncodeToString(pub)+"\n"), 0o600)
}

func seal(name string, key ed25519.PrivateKey, passphrase secret.Text) ([]byte, error) {
	return Encrypt(fmt.Appendf(nil, "%s%s\n%x\n", header, name, key.Seed()), passphrase)
}

// Encrypt is the form of a key file, whatever is in it.
func Encrypt(plain []byte, passphrase secret.Text) ([]byte, error) {
	to, err := age.NewScryptRecipient(passphrase.Reveal())
	if err != nil {
		return nil, err
	}
	to.SetWorkFactor(Work)
	var out bytes.Buffer
	a := armor.NewWriter(&out)
	w, err := age.Encrypt(a, to)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(plain)
	if err := errors.Join(err, w.Close(), a.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// Decrypt opens the file of Encrypt. Its error names the file.
func Decrypt(path string, passphrase secret.Text) ([]byte, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read key %q: %v; bring the folder or stick it is on", path, err)
	}
	id, err := age.NewScryptIdentity(passphrase.Reveal())
	if err != nil {
		return nil, fmt.Errorf("read key %q: %v", path, err)
	}
	r, err := age.Decrypt(armor.NewReader(bytes.NewReader(raw)), id)
	if err != nil {
		return nil, fmt.Errorf("open key %q: the passphrase is wrong, or this is no key file (%v)", path, err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, 16<<10))
	if err != nil {
		return nil, fmt.Errorf("open key %q: %v", path, err)
	}
	return plain, nil
}

// Open decrypts NAME.key in dir.
func Open(dir, name string, passphrase secret.Text) (ed25519.PrivateKey, error) {
	path := filepath.Join(dir, name+".key")
	plain, err := Decrypt(path, passphrase)
	if err != nil {
		return nil, err
	}
	rest, ok := strings.CutPrefix(string(plain), header)
	said, seed, _ := strings.Cut(rest, "\n")
	key, err := hex.DecodeString(strings.TrimSpace(seed))
	if !ok || err != nil || len(key) != ed25519.SeedSize {
		return nil, fmt.Errorf("open key %q: it holds no release key", path)
	}
	if said != name {
		return nil, fmt.Errorf("open key %q: it is the key %q under another name; give the file its own name back", path, said)
	}
	return ed25519.NewKeyFromSeed(key), nil
}

// Names are the keys of a role in dir whose private half, or with public the public one, is there.
func Names(dir, role string, public bool) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read keys in %q: %v", dir, err)
	}
	ext := ".key"
	if public {
		ext = ".pub"
	}
	var out []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ext); ok && names.MatchString(name) && Role(name) == role {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out, nil
}

// Public is the public half NAME.pub in dir.
func Public(dir, name string) (ed25519.PublicKey, error) {
	path := filepath.Join(dir, name+".pub")
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read public key %q: %v", path, err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(raw)))
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("read public key %q: want %d hex digits", path, 2*ed25519.PublicKeySize)
	}
	return key, nil
}
