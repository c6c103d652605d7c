package harness

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

// startTPM starts the program that plays the VM's TPM, which ends with QEMU, and with ctx.
func (c Config) startTPM(ctx context.Context) error {
	if c.TPM == "" {
		return nil
	}
	if err := os.MkdirAll(c.TPM, 0o700); err != nil {
		return fmt.Errorf("make the TPM's folder: %v", err)
	}
	socket := c.file("tpm")
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	cmd := exec.CommandContext(ctx, "swtpm", "socket", "--tpm2", "--terminate", "--tpmstate", "dir="+c.TPM, "--ctrl",
		"type=unixio,path="+socket, "--log", "level=1,file="+c.file("tpm.log"))
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start swtpm: %v; install the package swtpm", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for end := time.Now().Add(30 * time.Second * Scale()); ; {
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
