package keys_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/license"
	"hardnode.dev/internal/secret"
	"hardnode.dev/jls/keys"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestInit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "k")
	made, err := keys.Init(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is open to others: %s", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := keys.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(raw))
	}
	if cfg.AdminToken != "sha256:"+identity.HashToken(secret.Text(read(keys.TokenFile))) {
		t.Error("the stored hash is not the token's")
	}
	cert, err := keys.Certificate(cfg, now.Add(time.Hour))
	if err != nil || identity.Pin(cert.Leaf) != made.Pin || read(keys.PinFile) != made.Pin {
		t.Errorf("the pin changed between starts: %v", err)
	}
	if raw := read(keys.ConfigFile); strings.Contains(raw, "PRIVATE") {
		t.Error("the root key is in the server's configuration")
	}
	if _, err := keys.Init(dir, now); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a second init: got %v", err)
	}
}

func TestYearlyKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "k")
	if _, err := keys.Init(dir, now); err != nil {
		t.Fatal(err)
	}
	cfg, err := keys.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := keys.Signer(cfg, now)
	if err != nil {
		t.Fatal(err)
	}
	old, _, err := keys.Issue(s, keys.Sold{Customer: "A", Hosts: 1, For: 3 * 365 * 24 * time.Hour}, now)
	if err != nil {
		t.Fatal(err)
	}
	later := now.Add(keys.SigningFor)
	if _, err := keys.Signer(cfg, later); err == nil || !strings.Contains(err.Error(), "jls key renew") {
		t.Errorf("a signing key past its end: got %v", err)
	}
	if _, err := keys.Renew(dir, later); err != nil {
		t.Fatal(err)
	}
	if cfg, err = keys.Load(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Signer(cfg, later); err != nil {
		t.Error(err)
	}
	if _, err := license.Verify(old, cfg.Root, later); err != nil {
		t.Errorf("a licence must outlive the key that signed it: %v", err)
	}
	other := filepath.Join(t.TempDir(), "o")
	if _, err := keys.Init(other, now); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(other, keys.RootKeyFile), filepath.Join(dir, keys.RootKeyFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Renew(dir, later); err == nil || !strings.Contains(err.Error(), "not the root") {
		t.Errorf("another root's key: got %v", err)
	}
	os.Remove(filepath.Join(dir, keys.RootKeyFile))
	if _, err := keys.Renew(dir, later); err == nil || !strings.Contains(err.Error(), "bring it back") {
		t.Errorf("no root key: got %v", err)
	}
}

func TestIssueRefuses(t *testing.T) {
	for _, s := range []keys.Sold{{Customer: " ", Hosts: 1, For: 24 * time.Hour}, {Customer: "A", For: 24 * time.Hour},
		{Customer: "A", Hosts: 1}} {
		dir := filepath.Join(t.TempDir(), "k")
		if _, err := keys.Init(dir, now); err != nil {
			t.Fatal(err)
		}
		cfg, err := keys.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		signer, err := keys.Signer(cfg, now)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := keys.Issue(signer, s, now); err == nil {
			t.Errorf("%+v: issued", s)
		}
	}
}
