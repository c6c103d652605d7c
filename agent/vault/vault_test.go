package vault

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2/transport"

	"hardnode.dev/internal/disk/efi"
	"hardnode.dev/internal/disk/luks"
	"hardnode.dev/internal/disk/tpmseal"
	"hardnode.dev/internal/testkit/tpm"
)

// kept is a TPM that closing does not end: the machine goes on.
type kept struct{ transport.TPM }

func (kept) Close() error { return nil }

// machine is a vault on a file, with a machine's TPM.
type machine struct {
	*Vault
	boot efi.SecureBoot
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 32<<20); err != nil {
		t.Fatal(err)
	}
	m := &machine{boot: efi.Setup}
	m.Vault = &Vault{memory: 64 << 10, secureBoot: func() efi.SecureBoot { return m.boot },
		file: func() (file, error) { return os.OpenFile(path, os.O_RDWR, 0) }}
	m.gets(tpm.Start(t))
	return m
}

func (m *machine) gets(t transport.TPM) {
	m.tpm = func() (transport.TPMCloser, error) { return kept{t}, nil }
}

// TestLife: STATE is bound to the TPM, then to secure boot; what changes locks it, and the recovery key opens it again.
func TestLife(t *testing.T) {
	m := newMachine(t)
	first, err := m.tpm()
	if err != nil {
		t.Fatal(err)
	}
	if err := usable(m.tpm); err != nil {
		t.Fatal(err)
	}
	f, err := m.file()
	if err != nil {
		t.Fatal(err)
	}
	h, key, err := luks.Format(f, label)
	if err != nil {
		t.Fatal(err)
	}
	recovery, err := newRecovery()
	if err != nil || len(recovery.Reveal()) != recovered+groups-1 {
		t.Fatalf("recovery key of %d letters, %v", len(recovery.Reveal()), err)
	}
	if err := h.SetSlot(recoverySlot, plain(recovery.Reveal()), key, m.cost(), "", nil); err != nil {
		t.Fatal(err)
	}
	if err := m.seal(h, key); err != nil {
		t.Fatal(err)
	}
	opens := func(want string) {
		t.Helper()
		got, note, err := m.key()
		if err != nil || !bytes.Equal(got, key) || !strings.HasPrefix(note, want) {
			t.Errorf("it opens as %q, %v; want %q", note, err, want)
		}
	}
	locked := func(want error) {
		t.Helper()
		if _, _, err := m.key(); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	opens("bound to the TPM alone: the firmware is in setup mode")
	tpm.Extend(t, first, tpmseal.SecureBoot) // the firmware was given its keys
	m.boot = efi.On
	opens("now bound to the TPM and to secure boot")
	opens("bound to the TPM and to secure boot")
	tpm.Extend(t, first, tpmseal.SecureBoot) // secure boot was switched off
	m.boot = efi.Off
	locked(tpmseal.ErrChanged)
	if err := m.Recover("0000-0000"); err == nil || !strings.Contains(err.Error(), "not the recovery key") {
		t.Errorf("a wrong recovery key: %v", err)
	}
	typed := recovery
	if err := m.Recover(typed); err != nil {
		t.Fatal(err)
	}
	opens("now bound to the TPM and to secure boot")
	m.gets(tpm.Start(t)) // the board was replaced
	locked(tpmseal.ErrOther)
	if err := m.Recover(typed); err != nil {
		t.Fatal(err)
	}
	opens("now bound")
	opens("bound")
	m.tpm = func() (transport.TPMCloser, error) { return nil, ErrNoTPM }
	locked(ErrNoTPM)
	if err := m.Recover(typed); !errors.Is(err, ErrNoTPM) {
		t.Errorf("recovered without a TPM: %v", err)
	}
}

func TestPlain(t *testing.T) {
	for _, typed := range []string{"ABCD-0110", "abcd 0110", "abcd-oLi0", "a b c d 0 1 1 0"} {
		if got := string(plain(typed)); got != "ABCD0110" {
			t.Errorf("%q is %q", typed, got)
		}
	}
}
