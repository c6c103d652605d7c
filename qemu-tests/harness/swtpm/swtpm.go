// Package swtpm runs the program that plays the TPM of a machine under test (Debian's package swtpm).
//
// Owns: its process.
// In: the folder that is the TPM, where its socket and its log shall be.
// Out: a TPM that answers on its socket until the machine ends.
// Never: keeps a TPM's state anywhere else: another folder is another TPM.
package swtpm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"time"

	"hardnode.dev/internal/run"
)

// Start starts the TPM that dir is, and waits at most patience until its socket is there. It ends with QEMU, and with ctx.
func Start(ctx context.Context, dir, socket, log string, patience time.Duration) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the TPM's folder: %v", err)
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	cmd := exec.CommandContext(ctx, "swtpm", "socket", "--tpm2", "--terminate", "--tpmstate", "dir="+dir, "--ctrl",
		"type=unixio,path="+socket, "--log", "level=1,file="+log)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start swtpm: %v; install the package swtpm", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for end := time.Now().Add(patience); ; {
		if _, err := os.Stat(socket); err == nil {
			return nil
		}
		select {
		case err := <-ended:
			return fmt.Errorf("start swtpm: it ended: %v", err)
		default:
		}
		if time.Now().After(end) || !run.Wait(ctx, 10*time.Millisecond) {
			return errors.New("start swtpm: its socket does not appear")
		}
	}
}
