package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/disk/btrfs"
)

// Runner runs a program to its end (init/proc.Table.Output).
type Runner func(ctx context.Context, argv ...string) (string, error)

// mkfs is where the image carries it.
const mkfs = "/usr/sbin/mkfs.btrfs"

// Make makes a DATA filesystem on a device, or one that is mirrored on two, whatever lies there: Choose has decided. A cut in the middle
// leaves a disk that Inspect calls HalfMade or Blank.
func Make(ctx context.Context, run Runner, devices ...string) error {
	return MakeLabelled(ctx, run, Label, devices...)
}

// MakeLabelled is Make with another label: STATE is made as DATA is.
func MakeLabelled(ctx context.Context, run Runner, label string, devices ...string) error {
	// single data and dup metadata on one disk; -f because the decision is ours and mkfs looks for less than Inspect does.
	data, meta := "single", "dup"
	if len(devices) > 1 {
		data, meta = "raid1", "raid1"
	}
	if _, err := run(ctx, append([]string{mkfs, "-f", "-q", "-L", label, "-d", data, "-m", meta}, devices...)...); err != nil {
		return fmt.Errorf("format %q: %w", devices, err)
	}
	for _, path := range devices {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return fmt.Errorf("format %q: %w", path, err)
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return fmt.Errorf("format %q: sync: %w", path, err)
		}
	}
	return nil
}

// StateSubvolume is where /state lies while there is no STATE partition.
const StateSubvolume = "state"

// MountData mounts DATA's top at data, with simple quotas on, and STATE at state: its own devices, or DATA's subvolume "state" when it has
// none.
func MountData(d Devices, data, state string) error {
	if err := btrfs.Forget(); err != nil {
		return err
	}
	if err := mount(d.Data, data, unix.MS_NOATIME|unix.MS_NODEV, d.options("compress=zstd:1", d.Data)); err != nil {
		return err
	}
	err := prepare(data)
	from, options := d.Data, "subvol="+StateSubvolume
	if len(d.State) > 0 {
		from, options = d.State, ""
	}
	if err == nil {
		err = mount(from, state, unix.MS_NOATIME|unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOEXEC, d.options(options, from))
	}
	if err != nil {
		return errors.Join(err, unix.Unmount(data, 0))
	}
	return nil
}

func mount(from []string, at string, flags uintptr, options string) error {
	if err := unix.Mount(from[0], at, "btrfs", flags, options); err != nil {
		return fmt.Errorf("mount %q from %q: %w", at, from, err)
	}
	return nil
}

// options are those of a mount (btrfs(5)): all devices are named, since nothing else tells the kernel of them, and one that is missing is
// only put up with when Choose has said so.
func (d Devices) options(own string, devices []string) string {
	list := []string{own}
	if own == "" {
		list = nil
	}
	if len(devices) > 1 {
		for _, path := range devices {
			list = append(list, "device="+path)
		}
	}
	if d.Degraded {
		list = append(list, "degraded")
	}
	return strings.Join(list, ",")
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
