package disk

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/disk/btrfs"
)

// Runner runs a program to its end (init/proc.Table.Output).
type Runner func(ctx context.Context, argv ...string) (string, error)

// mkfs is where the image carries it.
const mkfs = "/usr/sbin/mkfs.btrfs"

// Make makes a DATA filesystem on path, whatever lies there: Choose has decided. A cut in the middle leaves a disk that Inspect calls
// HalfMade or Blank.
func Make(ctx context.Context, run Runner, path string) error {
	return MakeLabelled(ctx, run, path, Label)
}

// MakeLabelled is Make with another label: STATE is made as DATA is.
func MakeLabelled(ctx context.Context, run Runner, path, label string) error {
	// single data and dup metadata on one disk; -f because the decision is ours and mkfs looks for less than Inspect does.
	if _, err := run(ctx, mkfs, "-f", "-q", "-L", label, "-d", "single", "-m", "dup", path); err != nil {
		return fmt.Errorf("format %q: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("format %q: %w", path, err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("format %q: sync: %w", path, err)
	}
	return nil
}

// StateSubvolume is where /state lies while there is no STATE partition.
const StateSubvolume = "state"

// MountData mounts DATA's top at data, with simple quotas on, and STATE at state: stateDevice, or DATA's subvolume "state" when that is "".
func MountData(path, stateDevice, data, state string) error {
	if err := unix.Mount(path, data, "btrfs", unix.MS_NOATIME|unix.MS_NODEV, "compress=zstd:1"); err != nil {
		return fmt.Errorf("mount %q from %q: %w", data, path, err)
	}
	err := prepare(data)
	from, options := path, "subvol="+StateSubvolume
	if stateDevice != "" {
		from, options = stateDevice, ""
	}
	if err == nil {
		if err = unix.Mount(from, state, "btrfs", unix.MS_NOATIME|unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOEXEC, options); err != nil {
			err = fmt.Errorf("mount %q from %q: %w", state, from, err)
		}
	}
	if err != nil {
		return errors.Join(err, unix.Unmount(data, 0))
	}
	return nil
}

// prepare gives the mounted DATA what it must have: simple quotas, and the subvolume of /state. Both may be there already.
func prepare(data string) error {
	top, err := os.Open(data)
	if err != nil {
		return fmt.Errorf("prepare %q: %w", data, err)
	}
	defer top.Close()
	if err := btrfs.EnableSimpleQuota(top); err != nil {
		return err
	}
	if err := btrfs.CreateSubvolume(top, StateSubvolume); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}
