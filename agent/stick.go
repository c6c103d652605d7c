package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/partition"
	"hardnode.dev/internal/disk"
	"hardnode.dev/internal/wire/console"
	"hardnode.dev/internal/wire/upkeep"
)

// stickVolume is the label of the volume that takes support bundles.
const stickVolume = "SUPPORT"

// errNoStick: there is nothing to write to.
var errNoStick = errors.New("there is no FAT volume labelled SUPPORT; make one with `mkfs.vfat -n SUPPORT /dev/…` on another machine, " +
	"plug it in, and ask again")

// shower writes a document of this host.
type shower = func(context.Context, upkeep.Show, io.Writer) error

// toStick puts the support bundle of a host of that name onto the volume, as a new file.
func toStick(ctx context.Context, name string, show shower) (done console.Stick, err error) {
	path, kind, err := disk.ByLabel("/sys/class/block", "/dev", stickVolume, "")
	if err != nil {
		return done, err
	}
	if kind != "vfat" {
		return done, errNoStick
	}
	done.Volume = fmt.Sprintf("%s on %s", stickVolume, path)
	done.File = fmt.Sprintf("support-%s-%s.tar.gz", cmp.Or(name, "unnamed"), time.Now().UTC().Format("20060102T150405Z"))
	err = partition.Mounted(path, kind, 0, func(dir string) (err error) {
		done.Bytes, err = bundled(ctx, filepath.Join(dir, done.File), show)
		return errors.Join(err, partition.Sync(dir))
	})
	if errors.Is(err, unix.ENOSPC) {
		err = fmt.Errorf("the volume %s is full; make room on it, and ask again", done.Volume)
	}
	return done, err
}

// bundled writes the support bundle to a file that is not there yet: whole, or not at all.
func bundled(ctx context.Context, path string, show shower) (bytes int64, err error) {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	err = show(ctx, upkeep.ShowSupport, f)
	if err == nil {
		bytes, err = f.Seek(0, io.SeekCurrent)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return 0, errors.Join(err, os.Remove(path+".new"))
	}
	return bytes, nil
}
