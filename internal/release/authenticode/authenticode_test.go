package authenticode_test

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/disk/efi"
	"hardnode.dev/internal/release/authenticode"
	"hardnode.dev/internal/release/issue/keyfile"
	"hardnode.dev/internal/release/issue/secureboot"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/testkit/program"
)

const passphrase = secret.Text("correct horse")

// keys makes the three keys in a folder.
func keys(t *testing.T) (dir string, s secureboot.Sealer, db *x509.Certificate) {
	t.Helper()
	was := keyfile.Work
	keyfile.Work = 10 // the real one takes seconds a key
	t.Cleanup(func() { keyfile.Work = was })
	dir = t.TempDir()
	if err := secureboot.Make(dir, passphrase, nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	s, err := secureboot.Open(dir, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	if db, err = secureboot.Certificate(filepath.Join(dir, "db.crt")); err != nil {
		t.Fatal(err)
	}
	return dir, s, db
}

func check(image []byte, b authenticode.Believed) error {
	return authenticode.Check(bytes.NewReader(image), int64(len(image)), b)
}

// TestSign: a signed program is believed by whoever believes the key, and by nobody once a byte of it was changed.
func TestSign(t *testing.T) {
	_, s, db := keys(t)
	_, other, stranger := keys(t)
	signed, err := s.Sign(program.EFI())
	if err != nil {
		t.Fatal(err)
	}
	ours := authenticode.Believed{Certificates: []*x509.Certificate{stranger, db}}
	if err := check(signed, ours); err != nil {
		t.Errorf("a signed program: %v", err)
	}
	refused := func(name string, image []byte, b authenticode.Believed, want string) {
		t.Helper()
		if err := check(image, b); !errors.Is(err, authenticode.ErrRefused) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	refused("unsigned", program.EFI(), ours, "it has no signature")
	refused("nothing believed", signed, authenticode.Believed{}, `signed by "Hardnode secure boot db", whom the firmware's list (db)`)
	refused("revoked", signed, authenticode.Believed{Certificates: ours.Certificates, Refused: []*x509.Certificate{db}}, "(dbx) has")
	changed := bytes.Clone(signed)
	changed[0x401] ^= 1
	refused("changed", changed, ours, "changed after it was signed")
	strange, err := other.Sign(program.EFI())
	if err != nil {
		t.Fatal(err)
	}
	refused("signed by a stranger", strange, authenticode.Believed{Certificates: []*x509.Certificate{db}}, "db")
	if is, err := authenticode.Signed(bytes.NewReader(signed), int64(len(signed))); !is || err != nil {
		t.Errorf("a signed program is called %v, %v", is, err)
	}
	if _, err := s.Sign(signed); err == nil || !strings.Contains(err.Error(), "signed already") {
		t.Errorf("signed twice: %v", err)
	}
	// A byte anywhere: what is refused is refused, and nothing panics. Only the checksum and the table's place are nobody's.
	for at := 0; at < len(signed); at += 7 {
		b := bytes.Clone(signed)
		b[at] ^= 0x55
		if err := check(b, ours); err == nil && at < 0x400 && at != 0x80+24+64 && (at < 0xd8 || at > 0xdc) {
			t.Errorf("byte %#x was changed and nobody saw it", at)
		}
		check(signed[:at], ours)
	}
}

// TestOtherTools: others' tools find the signature right, and the firmware's variables.
func TestOtherTools(t *testing.T) {
	dir, s, _ := keys(t)
	signed, err := s.Sign(program.EFI())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "program.efi")
	if err := os.WriteFile(file, signed, 0o600); err != nil {
		t.Fatal(err)
	}
	crt := filepath.Join(dir, "db.crt")
	if tool, err := exec.LookPath("sbverify"); err == nil {
		if out, err := exec.Command(tool, "--cert", crt, file).CombinedOutput(); err != nil || !strings.Contains(string(out), "OK") {
			t.Errorf("sbverify: %v\n%s", err, out)
		}
	} else {
		t.Log("sbverify is not here (package sbsigntool)")
	}
	if tool, err := exec.LookPath("openssl"); err == nil {
		for _, n := range secureboot.Names {
			auth := s.Auth(n)
			size := binary.LittleEndian.Uint32(auth[16:])
			der := filepath.Join(dir, n+".der")
			if err := os.WriteFile(der, auth[40:16+size], 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(tool, "asn1parse", "-inform", "DER", "-in", der).CombinedOutput(); err != nil ||
				!strings.Contains(string(out), "sha256") {
				t.Errorf("openssl asn1parse of %s.auth: %v\n%s", n, err, out)
			}
			l, err := efi.DecodeLists(auth[16+size:])
			if err != nil || len(l.Certificates) != 1 || l.Certificates[0].Subject.CommonName != "Hardnode secure boot "+n {
				t.Errorf("%s.auth believes %+v, %v", n, l, err)
			}
		}
	}
}

func FuzzCheck(f *testing.F) {
	f.Add(program.EFI())
	f.Fuzz(func(t *testing.T, b []byte) {
		if check(b, authenticode.Believed{}) == nil {
			t.Error("a program was believed by nobody's keys")
		}
	})
}
