// Package tpm gives a test a TPM of its own, in software: swtpm.
//
// Owns: the program, for the length of a test.
// In: nothing.
// Out: a TPM that is new; its registers, changed as firmware changes them.
// Never: ships.
package tpm

import (
	"net"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"

	"hardnode.dev/internal/run"
)

// Start starts one; without swtpm the test is skipped.
func Start(t *testing.T) transport.TPM {
	t.Helper()
	program, err := exec.LookPath("swtpm")
	if err != nil {
		t.Skip("swtpm is not here: make deps installs it")
	}
	socket := filepath.Join(t.TempDir(), "s")
	cmd := exec.Command(program, "socket", "--tpm2", "--tpmstate", "dir="+t.TempDir(), "--server", "type=unixio,path="+socket,
		"--flags", "not-need-init,startup-clear")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for end := time.Now().Add(30 * time.Second); ; {
		c, err := net.Dial("unix", socket)
		if err == nil {
			c.Close()
			break
		}
		if time.Now().After(end) || !run.Wait(t.Context(), 10*time.Millisecond) {
			t.Fatalf("swtpm does not answer: %v", err)
		}
	}
	tpm, err := linuxudstpm.Open(socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tpm.Close() })
	return tpm
}

// Extend changes a register: it says something else from now on.
func Extend(t *testing.T, tpm transport.TPM, register uint) {
	t.Helper()
	_, err := tpm2.PCRExtend{PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(register), Auth: tpm2.PasswordAuth(nil)},
		Digests: tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: make([]byte, 32)}}}}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
}
