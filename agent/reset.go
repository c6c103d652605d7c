package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"hardnode.dev/agent/facts"
	"hardnode.dev/agent/install"
	"hardnode.dev/agent/partition"
	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/upkeep"
)

// reset has the next boot make DATA and STATE empty, and reboots: the containers with all their data, the host's identity and what was
// confirmed at its terminal are gone then. An installed host loses its configuration too, and waits for another one; its systems stay.
func (a *agent) reset(ctx context.Context, by string) error {
	if err := keep.WriteFile(boot.ResetFile, []byte(by+"\n"), 0o600); err != nil {
		return err
	}
	return leaveMachine(ctx, upkeep.Leave{By: by, Reason: "reset"})
}

// forget takes the configuration away from the disks that this host is installed on. It is the last part of a reset: without one no boot
// gets as far as to the disks. The system that was booted comes again after that.
func forget(_ context.Context, log *slog.Logger, state, data string) (err error) {
	disk := install.InstalledOn()
	if disk == "" {
		return nil
	}
	for _, disk := range install.Halves(disk) {
		if err := partition.Mounted(partition.Of(disk, 1), "vfat", 0, func(dir string) (err error) {
			for _, name := range []string{configName, "bundle.json"} {
				if e := os.Remove(filepath.Join(dir, name)); !errors.Is(e, fs.ErrNotExist) {
					err = errors.Join(err, e)
				}
			}
			return errors.Join(err, partition.Sync(dir))
		}); err != nil {
			return fmt.Errorf("forget the configuration: %w", err)
		}
	}
	a := &agent{log: log, facts: facts.Source{Data: data}}
	if a.boot, err = a.facts.BootID(); err != nil {
		return err
	}
	return a.keeper(state).Leaving()
}
