package secureboot

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/disk/efi"
	"hardnode.dev/internal/release/issue/keyfile"
	"hardnode.dev/internal/secret"
)

func TestKeys(t *testing.T) {
	was := keyfile.Work
	keyfile.Work = 10
	t.Cleanup(func() { keyfile.Work = was })
	dir, p := filepath.Join(t.TempDir(), "stick"), secret.Text("correct horse")
	if err := Make(dir, "short", nil, time.Now()); err == nil || !strings.Contains(err.Error(), "8 characters") {
		t.Errorf("a short passphrase: %v", err)
	}
	maker, err := makeKey("a maker of cards", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "maker.der")
	if err := os.WriteFile(file, maker.Certificate.Raw, 0o600); err != nil {
		t.Fatal(err)
	}
	also, err := Certificate(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := Make(dir, p, []*x509.Certificate{also}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := Make(dir, p, nil, time.Now()); err == nil || !strings.Contains(err.Error(), "never replaced") {
		t.Errorf("made twice: %v", err)
	}
	if _, err := Open(dir, "wrong horse"); err == nil || !strings.Contains(err.Error(), "passphrase is wrong") {
		t.Errorf("a wrong passphrase: %v", err)
	}
	s, err := Open(dir, p)
	if err != nil {
		t.Fatal(err)
	}
	raw := s.Auth(efi.DB)
	l, err := efi.DecodeLists(raw[16+int(raw[16])+int(raw[17])<<8:])
	if err != nil || len(l.Certificates) != 2 || !l.Certificates[1].Equal(maker.Certificate) {
		t.Errorf("db believes %+v, %v", l, err)
	}
	for _, n := range Names {
		raw, err := os.ReadFile(filepath.Join(dir, n+".key"))
		if err != nil || !strings.HasPrefix(string(raw), "-----BEGIN AGE ENCRYPTED FILE-----") {
			t.Errorf("%s.key begins with %.40q: %v", n, raw, err)
		}
	}
	other := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: maker.Certificate.Raw})
	if err := os.WriteFile(filepath.Join(dir, "db.crt"), other, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, p); err == nil || !strings.Contains(err.Error(), "another key's") {
		t.Errorf("another certificate: %v", err)
	}
}
