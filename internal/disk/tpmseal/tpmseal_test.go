package tpmseal

import (
	"bytes"
	"errors"
	"testing"

	softtpm "hardnode.dev/internal/testkit/tpm"
)

// TestSeal: the TPM gives the secret back as long as the register says what it said; another TPM never does.
func TestSeal(t *testing.T) {
	secret := bytes.Repeat([]byte{7}, 32)
	tpm := softtpm.Start(t)
	bound, err := Seal(tpm, secret, SecureBoot)
	if err != nil {
		t.Fatal(err)
	}
	free, err := Seal(tpm, secret)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 { // nothing is left behind in the TPM, which has few places
		for _, s := range []Sealed{bound, free} {
			if got, err := Unseal(tpm, s); err != nil || !bytes.Equal(got, secret) {
				t.Fatalf("unsealed %x, %v", got, err)
			}
		}
	}
	softtpm.Extend(t, tpm, 4) // what is booted may change: A/B updates
	if _, err := Unseal(tpm, bound); err != nil {
		t.Errorf("after another system was booted: %v", err)
	}
	softtpm.Extend(t, tpm, SecureBoot)
	if _, err := Unseal(tpm, bound); !errors.Is(err, ErrChanged) {
		t.Errorf("after secure boot was changed: %v", err)
	}
	if _, err := Unseal(tpm, free); err != nil {
		t.Errorf("bound to the TPM alone: %v", err)
	}
	if _, err := Unseal(softtpm.Start(t), free); !errors.Is(err, ErrOther) {
		t.Errorf("another TPM: %v", err)
	}
	damaged := free
	damaged.Private = bytes.Clone(free.Private)
	damaged.Private[len(damaged.Private)-1] ^= 1
	if _, err := Unseal(tpm, damaged); err == nil {
		t.Error("a damaged secret was unsealed")
	}
}
