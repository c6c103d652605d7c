package slots

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/install"
	"hardnode.dev/agent/partition"
	"hardnode.dev/internal/disk"
	"hardnode.dev/internal/disk/bootorder"
	"hardnode.dev/internal/logging"
)

// A host on two disks has two ESPs, which know nothing of each other: firmware and loader change the one that is booted. What is done to
// that one is done to the other one after it, so that one of them is whole at any cut.

// home is the disk whose ESP is the one that counts: the booted one, unless it was taken out of the running host.
func (k *Keeper) home() string {
	for _, d := range k.both {
		if _, err := os.Stat(d); err == nil {
			return d
		}
	}
	return k.disk
}

// others are the disks whose ESP is to be like that of the booted one.
func (k *Keeper) others() []string { return install.Halves(k.home())[1:] }

// after does what a change of the booted ESP asks for on the other one, and makes both alike once this boot is settled. k.mu is held, and
// nothing is mounted.
func (k *Keeper) after() {
	switch {
	case k.mu.settled && !k.mu.alike:
		k.alike(true)
	case k.mu.changed && k.mu.alike:
		k.alike(false)
	}
	k.mu.changed = false
}

// Lags says what the other disk's ESP lacks, and why; "" when it has what this one has.
func (k *Keeper) Lags() string {
	k.work.Lock()
	defer k.work.Unlock()
	return k.work.lags
}

// alike makes the other ESPs like the booted one. Without systems only their entries are looked at: that is cheap, and does when the
// systems were compared before in this boot. k.mu is held.
func (k *Keeper) alike(systems bool) {
	why := ""
	if booted := disk.Booted("/sys/class/block", "/dev", k.vars.Partition()); !k.mine && booted != "" {
		why = fmt.Sprintf("this boot is from disk %s, whose systems are of before this host went on without it; reboot, to boot from %s",
			booted, k.home())
	}
	for _, path := range k.others() {
		if err := k.follow(path, systems); err != nil {
			why = fmt.Sprintf("disk %s: %v", path, err)
			k.log.Error("make the other disk's ESP alike", "disk", path, logging.Err, err)
		}
	}
	k.mu.alike = why == "" && (systems || k.mu.alike)
	k.work.Lock()
	defer k.work.Unlock()
	k.work.lags = why
}

// CopyTo makes a disk's ESP like the booted one.
func (k *Keeper) CopyTo(path string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.follow(path, true)
}

// Reorder enters the disks that the host has now into the firmware's boot order.
func (k *Keeper) Reorder() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.order()
}

func (k *Keeper) follow(path string, systems bool) error {
	esp := partition.Of(path, 1)
	return k.mounted(unix.MS_RDONLY, func(from string) error {
		want, err := contents(from, systems)
		if err == nil {
			err = readable(want)
		}
		if err != nil {
			return err
		}
		var have map[string]content
		if systems {
			if err := sound(esp, func(string) bool { return true }, k.log); err != nil {
				return err
			}
		}
		err = partition.Mounted(esp, "vfat", unix.MS_RDONLY, func(to string) (err error) {
			have, err = contents(to, systems)
			return err
		})
		remove, write, after := differs(want, have)
		if err != nil || len(remove)+len(write)+len(after) == 0 {
			return err
		}
		k.log.Info("the other disk's ESP lags", "disk", path, "remove", append(slices.Clone(remove), after...), "write", write)
		if err := partition.Mounted(esp, "vfat", 0, func(to string) error { return carry(from, to, remove, write, after) }); err != nil {
			return err
		}
		return partition.Mounted(esp, "vfat", unix.MS_RDONLY, func(to string) error { // mounted anew, it is read from the disk
			have, err := contents(to, systems)
			delete(have, ownFile)
			delete(want, ownFile)
			if err == nil && !maps.Equal(want, have) {
				err = errors.New("its ESP does not read back what was written; the disk may be failing: replace it")
			}
			return err
		})
	})
}

// contents are the digests of an ESP's files; of its entries alone without systems. One that can't be read is unread: a power cut may leave
// such files.
func contents(dir string, systems bool) (map[string]content, error) {
	all := map[string]content{}
	top := dir
	if !systems {
		top = filepath.Join(dir, bootorder.Entries)
	}
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == top {
			return nil // an empty one
		}
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if all[name], err = partition.Sum(path); err != nil {
			all[name] = unread
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the files of an ESP: %w", err)
	}
	return all, nil
}

// taken takes files away.
func taken(dir string, names []string) error {
	for _, name := range names {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("remove from its ESP: %w", err)
		}
	}
	return partition.Sync(dir)
}

// carry removes, copies, and removes; each file is written in its place.
func carry(from, to string, remove, write, after []string) error {
	if err := taken(to, remove); err != nil {
		return err
	}
	for _, name := range write {
		path := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("write to its ESP: %w", err)
		}
		if _, err := partition.Copy(path, filepath.Join(from, name)); err != nil {
			return fmt.Errorf("write %s to its ESP: %w", name, err)
		}
		if err := partition.Sync(to); err != nil {
			return err
		}
	}
	return taken(to, after)
}
