package slots

import (
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/disk/efi"
	"hardnode.dev/internal/release/authenticode"
	"hardnode.dev/internal/release/issue/keyfile"
	"hardnode.dev/internal/release/issue/secureboot"
	"hardnode.dev/internal/testkit/program"
)

// firmware writes variables as efivarfs shows them.
func firmware(t *testing.T, on byte, db []byte) efi.Vars {
	t.Helper()
	dir := t.TempDir()
	for name, value := range map[string][]byte{"SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c": {on},
		"SetupMode-8be4df61-93ca-11d2-aa0d-00e098032b8c": {0}, "db-d719b2cb-3d3a-4596-a3bc-dad00e67656f": db} {
		if err := os.WriteFile(filepath.Join(dir, name), append([]byte{7, 0, 0, 0}, value...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return efi.Vars{Dir: dir}
}

// TestBelieved: with secure boot on, a system that no key of the firmware's list has signed is refused; else any is taken.
func TestBelieved(t *testing.T) {
	was := keyfile.Work
	keyfile.Work = 10
	t.Cleanup(func() { keyfile.Work = was })
	keys := t.TempDir()
	if err := secureboot.Make(keys, "correct horse", nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	by, err := secureboot.Open(keys, "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	crt, err := secureboot.Certificate(filepath.Join(keys, "db.crt"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := efi.EncodeLists("5C9D6C3E-0E0B-4F1C-9A57-2A0B6F4A8D31", []*x509.Certificate{crt}...)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := by.Sign(program.EFI())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := map[string][]byte{"signed": signed, "unsigned": program.EFI(), "cut off": signed[:len(signed)-8]}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		vars efi.Vars
		file string
		want string // "": taken
	}{
		{firmware(t, 1, db), "signed", ""},
		{firmware(t, 1, db), "unsigned", "it has no signature; sign the release"},
		{firmware(t, 1, db), "cut off", "cut off"},
		{firmware(t, 1, nil), "signed", `"Hardnode secure boot db", whom the firmware's list (db) does not have`},
		{firmware(t, 1, []byte("nonsense")), "signed", "can't be read"},
		{firmware(t, 0, nil), "unsigned", ""},
		{efi.Vars{Dir: t.TempDir()}, "unsigned", ""},
	} {
		err := believed(c.vars, filepath.Join(dir, c.file))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.file, err, c.want)
		}
		if c.file == "unsigned" && err != nil && !errors.Is(err, authenticode.ErrRefused) {
			t.Errorf("%s: %v does not say that it is refused", c.file, err)
		}
	}
	if got := firmware(t, 1, db).SecureBoot(); got != efi.On {
		t.Errorf("secure boot is %q", got)
	}
}
