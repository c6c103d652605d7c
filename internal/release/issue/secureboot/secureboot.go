// Package secureboot keeps the keys by which a site's machines know what they may boot, and signs with them.
//
// Owns: the three keys and their files; the files by which firmware takes the keys on; how a system is sealed.
// In: a folder, which may be a stick; a passphrase; a system (a UKI) as the image's builder makes it.
// Out: NAME.key (encrypted, as keyfile has it), NAME.crt (PEM) and NAME.auth of PK, KEK and db; a sealed system.
// Never: replaces a key that is there, writes a private key in the clear, or signs what is signed already.
//
// A system carries the boot loader that goes onto installed disks beside it. Sealed, it carries the loader's signature and the three .auth
// files besides, and all of it is signed as one.
package secureboot

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	"hardnode.dev/internal/disk/efi"
	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/release/authenticode"
	"hardnode.dev/internal/release/issue/keyfile"
	"hardnode.dev/internal/secret"
)

// Names are the keys. PK says who may change KEK, KEK who may change db, db who may sign what is booted: db alone signs releases.
var Names = []string{efi.PK, efi.KEK, efi.DB}

const (
	bits   = 2048 // what every firmware can (UEFI 32.4.1)
	years  = 20   // firmware looks at no end, other tools do
	header = "hardnode secure boot key 1\n"
)

// owner says in the firmware's lists who put a key there: a random GUID, of Hardnode.
const owner = "5C9D6C3E-0E0B-4F1C-9A57-2A0B6F4A8D31"

// Make makes the keys in dir (0700, made when absent). also are certificates that shall be believed beside db: of the makers of cards whose
// firmware the machine's firmware has to start.
func Make(dir string, passphrase secret.Text, also []*x509.Certificate, now time.Time) error {
	if len(passphrase.Reveal()) < 8 {
		return errors.New("make secure boot keys: the passphrase has fewer than 8 characters")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make secure boot keys: %v", err)
	}
	for _, n := range Names {
		for _, ext := range []string{".key", ".crt", ".auth"} {
			if _, err := os.Stat(filepath.Join(dir, n+ext)); !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("make secure boot keys: %s is there already in %q, and keys are never replaced; choose another folder",
					n+ext, dir)
			}
		}
	}
	keys := map[string]authenticode.Signer{}
	for _, n := range Names {
		s, err := makeKey(n, now)
		if err != nil {
			return fmt.Errorf("make secure boot key %s: %v", n, err)
		}
		keys[n] = s
	}
	for _, n := range Names {
		s, by, trusted := keys[n], keys[efi.KEK], []*x509.Certificate{keys[n].Certificate}
		switch n {
		case efi.DB:
			trusted = append(trusted, also...)
		default: // KEK is changed by PK, and PK by itself
			by = keys[efi.PK]
		}
		value, err := efi.EncodeLists(owner, trusted...)
		if err != nil {
			return err
		}
		auth, err := efi.Authenticated(n, value, now, func(m []byte) ([]byte, error) { return authenticode.SignDetached(m, by) })
		if err != nil {
			return err
		}
		raw := fmt.Appendf(nil, "%s%s\n%s", header, n, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY",
			Bytes: x509.MarshalPKCS1PrivateKey(s.Key)}))
		if raw, err = keyfile.Encrypt(raw, passphrase); err != nil {
			return fmt.Errorf("make secure boot key %s: %v", n, err)
		}
		for ext, data := range map[string][]byte{".key": raw, ".auth": auth,
			".crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate.Raw})} {
			if err := keep.WriteFile(filepath.Join(dir, n+ext), data, 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

func makeKey(name string, now time.Time) (s authenticode.Signer, err error) {
	if s.Key, err = rsa.GenerateKey(rand.Reader, bits); err != nil {
		return s, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return s, err
	}
	form := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "Hardnode secure boot " + name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(years, 0, 0), BasicConstraintsValid: true, IsCA: name != efi.DB}
	raw, err := x509.CreateCertificate(rand.Reader, form, form, s.Key.Public(), s.Key)
	if err != nil {
		return s, err
	}
	s.Certificate, err = x509.ParseCertificate(raw)
	return s, err
}

// Certificate reads a certificate from a file: PEM, or as it is (DER).
func Certificate(path string) (*x509.Certificate, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %v", err)
	}
	if b, _ := pem.Decode(raw); b != nil {
		raw = b.Bytes
	}
	c, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, fmt.Errorf("read certificate %q: %v", path, err)
	}
	return c, nil
}

// Sealer seals systems.
type Sealer struct {
	db   authenticode.Signer
	auth map[string][]byte
}

// Open reads the key db and the .auth files in dir.
func Open(dir string, passphrase secret.Text) (Sealer, error) {
	s := Sealer{auth: map[string][]byte{}}
	path := filepath.Join(dir, efi.DB+".key")
	plain, err := keyfile.Decrypt(path, passphrase)
	if err != nil {
		return s, err
	}
	rest, ok := strings.CutPrefix(string(plain), header+efi.DB+"\n")
	block, _ := pem.Decode([]byte(rest))
	if !ok || block == nil {
		return s, fmt.Errorf("open key %q: it holds no secure boot key of that name", path)
	}
	if s.db.Key, err = x509.ParsePKCS1PrivateKey(block.Bytes); err != nil {
		return s, fmt.Errorf("open key %q: %v", path, err)
	}
	if s.db.Certificate, err = Certificate(filepath.Join(dir, efi.DB+".crt")); err != nil {
		return s, err
	}
	if pub, ok := s.db.Certificate.PublicKey.(*rsa.PublicKey); !ok || !pub.Equal(s.db.Key.Public()) {
		return s, fmt.Errorf("open key %q: its .crt is another key's; put the right one beside it", path)
	}
	for _, n := range Names {
		if s.auth[n], err = os.ReadFile(filepath.Join(dir, n+".auth")); err != nil {
			return s, fmt.Errorf("read secure boot keys: %v; give the folder that `image release secure-boot` made", err)
		}
	}
	return s, nil
}

// Sign signs a program that carries nothing.
func (s Sealer) Sign(program []byte) ([]byte, error) {
	table, err := authenticode.Sign(program, s.db)
	if err != nil {
		return nil, err
	}
	return authenticode.Attach(program, table)
}

// Signature is the table of signatures of a program, which authenticode.Attach joins to it.
func (s Sealer) Signature(program []byte) ([]byte, error) { return authenticode.Sign(program, s.db) }

// Auth is the file by which firmware takes on a key of Names.
func (s Sealer) Auth(name string) []byte { return bytes.Clone(s.auth[name]) }
