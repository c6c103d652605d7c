// Package volume keeps containers' data on the host's btrfs: layers, volumes, and the mounted images they stand on.
//
// Owns: the directories below DATA/ct, their quotas, and the image mounts below RunDir/img.
// In: CTIDs, generations, names, sizes; verified erofs files.
// Out: open directories of subvolumes, sizes, lists of what exists; an undo for whatever was made.
// Never: mounts anything in a container, deletes data it was not told to, or trusts what a container wrote.
//
// On disk: DATA/ct/<ctid>/layer-<generation> is a subvolume with u (overlay upper) and w (overlay work); DATA/ct/<ctid>/vol-<name> is a
// subvolume. Ids in them are the container's own (0–65535); the host reaches them through a directory only root may enter.
package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/wire"
)

// Store is the data of all containers of this host.
type Store struct{ dir string }

// Open prepares dataDir, which must be on btrfs, and turns its quotas on.
func Open(dataDir string) (*Store, error) {
	data, err := sys.OpenDir(dataDir)
	if err != nil {
		return nil, err
	}
	defer data.Close()
	if err := sys.EnableSimpleQuota(data); err != nil {
		return nil, err
	}
	dir := filepath.Join(dataDir, "ct")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make container directory: %w", err)
	}
	return &Store{dir}, nil
}

func (s *Store) home(id wire.CTID) string { return filepath.Join(s.dir, id.String()) }

func layerName(generation int64) string { return "layer-" + strconv.FormatInt(generation, 10) }

// Contents is what one container has on disk.
type Contents struct {
	CTID    wire.CTID
	Layers  []int64 // generations, ascending
	Volumes []string
}

// List is all containers with data, by CTID.
func (s *Store) List() ([]Contents, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	var all []Contents
	for _, e := range entries {
		id, err := wire.ParseCTID(e.Name())
		if err != nil || !e.IsDir() {
			continue
		}
		c, err := s.Contents(id)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b Contents) int { return int(a.CTID - b.CTID) })
	return all, nil
}

// Contents is what one container has on disk; nothing is no error.
func (s *Store) Contents(id wire.CTID) (Contents, error) {
	c := Contents{CTID: id}
	entries, err := os.ReadDir(s.home(id))
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("list data of container %s: %w", id, err)
	}
	for _, e := range entries {
		if n, ok := strings.CutPrefix(e.Name(), "layer-"); ok {
			if g, err := strconv.ParseInt(n, 10, 64); err == nil {
				c.Layers = append(c.Layers, g)
			}
		} else if n, ok := strings.CutPrefix(e.Name(), "vol-"); ok {
			c.Volumes = append(c.Volumes, n)
		}
	}
	slices.Sort(c.Layers)
	return c, nil
}

// Layer opens the layer of a generation, made if missing, and sets its quota. made tells whether this call made it.
func (s *Store) Layer(id wire.CTID, generation, bytes int64) (dir *os.File, made bool, err error) {
	return s.subvolume(id, layerName(generation), bytes, func(d *os.File) error {
		for _, n := range []string{"u", "w"} {
			if err := unix.Mkdirat(int(d.Fd()), n, 0o755); err != nil {
				return fmt.Errorf("make %q in layer of container %s: %w", n, id, err)
			}
		}
		return unix.Fchmodat(int(d.Fd()), "u", 0o755, 0)
	})
}

// Owner is who a new volume's top directory belongs to, in the container's ids.
type Owner struct {
	UID, GID uint32
	Mode     uint32 // permission bits
}

// Volume opens a volume, made if missing, and sets its quota.
func (s *Store) Volume(id wire.CTID, name string, bytes int64, owner Owner) (dir *os.File, made bool, err error) {
	if err := wire.Label("volume name", name, 63); err != nil {
		return nil, false, err
	}
	return s.subvolume(id, "vol-"+name, bytes, func(d *os.File) error {
		if err := errors.Join(d.Chown(int(owner.UID), int(owner.GID)), unix.Fchmod(int(d.Fd()), owner.Mode&0o7777)); err != nil {
			return fmt.Errorf("hand over volume %q of container %s: %w", name, id, err)
		}
		return nil
	})
}

// subvolume opens one, or makes it under another name and renames it when fill is done: what has its name is whole.
func (s *Store) subvolume(id wire.CTID, name string, bytes int64, fill func(*os.File) error) (dir *os.File, made bool, err error) {
	if err := os.Mkdir(s.home(id), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, false, fmt.Errorf("make directory of container %s: %w", id, err)
	}
	home, err := sys.OpenDir(s.home(id))
	if err != nil {
		return nil, false, err
	}
	defer home.Close()
	path := filepath.Join(s.home(id), name)
	dir, err = sys.OpenDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := s.make(home, name, fill); err != nil {
			os.Remove(s.home(id)) // only if nothing else is in it
			return nil, false, err
		}
		made = true
		dir, err = sys.OpenDir(path)
	}
	if err != nil {
		return nil, made, err
	}
	if err := sys.LimitSubvolume(dir, bytes); err != nil {
		dir.Close()
		if made {
			err = errors.Join(err, s.drop(id, name))
		}
		return nil, false, err
	}
	return dir, made, nil
}

func (s *Store) make(home *os.File, name string, fill func(*os.File) error) (err error) {
	part := "new-" + name
	if _, err := os.Lstat(filepath.Join(home.Name(), part)); err == nil {
		if err := sys.DeleteSubvolume(home, part); err != nil { // a power cut left it
			return err
		}
	}
	if err := sys.CreateSubvolume(home, part); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, sys.DeleteSubvolume(home, part))
		}
	}()
	d, err := sys.OpenDir(filepath.Join(home.Name(), part))
	if err != nil {
		return err
	}
	defer d.Close()
	if err := fill(d); err != nil {
		return err
	}
	if err := unix.Renameat2(int(home.Fd()), part, int(home.Fd()), name, unix.RENAME_NOREPLACE); err != nil {
		return fmt.Errorf("name subvolume %q in %q: %w", name, home.Name(), err)
	}
	return nil
}

// DropLayer deletes the layer of one generation; a missing one is no error.
func (s *Store) DropLayer(id wire.CTID, generation int64) error {
	return s.drop(id, layerName(generation))
}

// DropVolume deletes a volume with its data; a missing one is no error.
func (s *Store) DropVolume(id wire.CTID, name string) error { return s.drop(id, "vol-"+name) }

func (s *Store) drop(id wire.CTID, name string) error {
	home, err := sys.OpenDir(s.home(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer home.Close()
	if err := sys.DeleteSubvolume(home, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	os.Remove(s.home(id)) // only if nothing else is in it
	return nil
}

// SetLayerQuota changes a layer's quota.
func (s *Store) SetLayerQuota(id wire.CTID, generation, bytes int64) error {
	d, err := sys.OpenDir(filepath.Join(s.home(id), layerName(generation)))
	if err != nil {
		return err
	}
	defer d.Close()
	return sys.LimitSubvolume(d, bytes)
}

// Bytes is what all layers and volumes of a container take. One that was deleted meanwhile takes nothing.
func (s *Store) Bytes(c Contents) (int64, error) {
	var sum int64
	names := make([]string, 0, len(c.Layers)+len(c.Volumes))
	for _, g := range c.Layers {
		names = append(names, layerName(g))
	}
	for _, v := range c.Volumes {
		names = append(names, "vol-"+v)
	}
	for _, n := range names {
		d, err := sys.OpenDir(filepath.Join(s.home(c.CTID), n))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return sum, err
		}
		b, err := sys.SubvolumeBytes(d)
		d.Close()
		if err != nil {
			return sum, err
		}
		sum += b
	}
	return sum, nil
}
