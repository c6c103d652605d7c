package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

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
	var disks []string
	if disk := install.InstalledOn(); disk != "" {
		disks = install.Halves(disk)
	}
	for _, disk := range disks {
		if err := partition.Mounted(partition.Of(disk, 1), "vfat", 0, func(dir string) (err error) {
			for _, name := range []string{configName, "bundle.json"} {
				if e := os.Remove(filepath.Join(dir, name)); !errors.Is(e, fs.ErrNotExist) {
					err = errors.Join(err, e)
				}
			}
			return errors.Join(err, partition.Sync(dir))
		}); err != nil {
			return errors.Join(fmt.Errorf("forget the configuration: %v; nothing was done", err), os.Remove(boot.ResetFile))
		}
	}
	return leaveMachine(ctx, upkeep.Leave{By: by, Reason: "reset"})
}
