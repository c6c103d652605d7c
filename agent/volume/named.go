package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/sys"
	"hardnode.dev/agent/volume/fill"
	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/wire"
	wirevolume "hardnode.dev/internal/wire/volume"
)

// Owner is who a new volume's top directory belongs to, in the container's ids.
type Owner struct {
	UID, GID uint32
	Mode     uint32 // permission bits
}

// Wanted is a volume as it shall be.
type Wanted struct {
	Name  string
	Bytes int64 // its quota; 0 is none
	Owner Owner
	// NoCOW: its files are written in place, for databases; forgone where data lies on two disks, since their copies could differ.
	NoCOW bool
	// Fill is the directory of the image that a new volume begins as a copy of; nil: it begins empty. Has tells which ids the container
	// has.
	Fill *os.File
	Has  func(uint32) bool
}

// Volume opens a volume and sets its quota. A missing one is made, and is there only when it is filled: with ctx's end, an error or a power
// cut there is none.
func (s *Store) Volume(ctx context.Context, id wire.CTID, w Wanted) (dir *os.File, made bool, err error) {
	if err := wire.Label("volume name", w.Name, 63); err != nil {
		return nil, false, err
	}
	return s.subvolume(id, VolumeName(w.Name), w.Bytes, 0, func(d *os.File) error {
		if w.NoCOW {
			if err := WriteInPlace(d); err != nil {
				return err
			}
		}
		if w.Fill != nil {
			if err := fill.Copy(ctx, w.Fill, d, fill.Options{Bytes: w.Bytes, Has: w.Has}); err != nil {
				return fmt.Errorf("volume %q: %w", w.Name, err)
			}
		}
		if err := errors.Join(d.Chown(int(w.Owner.UID), int(w.Owner.GID)), unix.Fchmod(int(d.Fd()), w.Owner.Mode&0o7777)); err != nil {
			return fmt.Errorf("hand over volume %q of container %s: %w", w.Name, id, err)
		}
		if w.Fill == nil {
			return nil
		}
		return btrfs.Sync(d) // its new name must not be on the disk before its content
	})
}

// WriteInPlace has what is made in an empty directory written without copies and checksums, unless data has two copies.
func WriteInPlace(d *os.File) error {
	if two, err := btrfs.DataMirrored(d); err != nil || two {
		return err
	}
	return btrfs.SetNoCOW(d)
}

// SetVolumeQuota changes a volume's quota. A volume that is not there is no error: it gets its quota when it is made.
func (s *Store) SetVolumeQuota(id wire.CTID, name string, bytes int64) error {
	d, err := sys.OpenDir(filepath.Join(s.Home(id), VolumeName(name)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Close()
	return btrfs.LimitSubvolume(d, bytes)
}

// OpenVolume opens a volume that is there.
func (s *Store) OpenVolume(id wire.CTID, name string) (*os.File, error) {
	if err := wire.Label("volume name", name, 63); err != nil {
		return nil, err
	}
	return sys.OpenDir(filepath.Join(s.Home(id), VolumeName(name)))
}

// DropVolume deletes a volume with its data; a missing one is no error.
func (s *Store) DropVolume(id wire.CTID, name string) error { return s.drop(id, VolumeName(name)) }

// VolumeName is what a volume is called in Home.
func VolumeName(name string) string { return "vol-" + name }

// Usage is what a container's layers and volumes take, and each volume by itself. One that was deleted meanwhile takes nothing; one that
// can't be asked is left out, and the error says which.
func (s *Store) Usage(c Contents) (sum int64, volumes []wirevolume.Use, err error) {
	miss := func(name string, uerr error) {
		if _, gone := os.Lstat(filepath.Join(s.Home(c.CTID), name)); !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, uerr)
		}
	}
	for _, g := range c.Layers {
		b, uerr := s.bytes(filepath.Join(s.Home(c.CTID), LayerName(g)))
		if uerr != nil {
			miss(LayerName(g), uerr)
		}
		sum += b
	}
	for _, n := range c.Volumes {
		u, uerr := use(filepath.Join(s.Home(c.CTID), VolumeName(n)))
		if uerr != nil {
			miss(VolumeName(n), uerr)
			continue
		}
		u.Name = n
		sum += u.Bytes
		volumes = append(volumes, u)
	}
	return sum, volumes, err
}

func use(path string) (u wirevolume.Use, err error) {
	d, err := sys.OpenDir(path)
	if err != nil {
		return u, err
	}
	defer d.Close()
	q, err := btrfs.SubvolumeQuota(d)
	if err != nil {
		return u, err
	}
	if u.Bytes, err = q.Referenced(); err != nil {
		return u, err
	}
	if u.Limit, err = q.Limit(); err != nil {
		return u, err
	}
	u.NoCOW, err = btrfs.NoCOW(d)
	return u, err
}
