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
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/disk/btrfs"
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
	if err := btrfs.EnableSimpleQuota(data); err != nil {
		return nil, err
	}
	dir := filepath.Join(dataDir, "ct")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make container directory: %w", err)
	}
	return &Store{dir}, nil
}

// Home is the directory of a container's layers and volumes.
func (s *Store) Home(id wire.CTID) string { return filepath.Join(s.dir, id.String()) }

// LayerName is what the layer of a generation is called in Home.
func LayerName(generation int64) string { return "layer-" + strconv.FormatInt(generation, 10) }

// Contents is what one container has on disk.
type Contents struct {
	CTID    wire.CTID
	Layers  []int64 // generations, ascending
	Volumes []string
	Rest    []string // what is neither: a power cut may have left half of one
}

// IDs is the containers with data.
func (s *Store) IDs() ([]wire.CTID, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	var ids []wire.CTID
	for _, e := range entries {
		if id, err := wire.ParseCTID(e.Name()); err == nil && e.IsDir() {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// Changed is when something was last made, removed or renamed of what Contents tells; zero when there is nothing.
func (s *Store) Changed(id wire.CTID) (time.Time, error) {
	st, err := os.Lstat(s.Home(id))
	if errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("look at data of container %s: %w", id, err)
	}
	return st.ModTime(), nil
}

// Contents is what one container has on disk; nothing is no error.
func (s *Store) Contents(id wire.CTID) (Contents, error) {
	c := Contents{CTID: id}
	entries, err := os.ReadDir(s.Home(id))
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("list data of container %s: %w", id, err)
	}
	for _, e := range entries {
		if g, err := strconv.ParseInt(strings.TrimPrefix(e.Name(), "layer-"), 10, 64); err == nil && LayerName(g) == e.Name() {
			c.Layers = append(c.Layers, g)
		} else if n, ok := strings.CutPrefix(e.Name(), "vol-"); ok {
			c.Volumes = append(c.Volumes, n)
		} else {
			c.Rest = append(c.Rest, e.Name())
		}
	}
	slices.Sort(c.Layers)
	return c, nil
}

// Layer opens the layer of a generation, made if missing, and sets its quota: one that was there, and may be full, has room bytes more.
// made tells whether this call made it: then it is what fill, if it isn't nil, has put into its upper directory, whole.
func (s *Store) Layer(id wire.CTID, generation, bytes, room int64, fill func(upper *os.File) error) (dir *os.File, made bool, err error) {
	return s.subvolume(id, LayerName(generation), bytes, room, func(d *os.File) error {
		for _, n := range []string{"u", "w"} {
			if err := unix.Mkdirat(int(d.Fd()), n, 0o755); err != nil {
				return fmt.Errorf("make %q in layer of container %s: %w", n, id, err)
			}
		}
		if err := unix.Fchmodat(int(d.Fd()), "u", 0o755, 0); err != nil || fill == nil {
			return err
		}
		upper, err := Upper(d)
		if err != nil {
			return err
		}
		defer upper.Close()
		if err := fill(upper); err != nil {
			return err
		}
		return btrfs.Sync(d) // its name must not be on the disk before its content
	})
}

// Upper opens the directory of a layer that an overlay writes to.
func Upper(layer *os.File) (*os.File, error) {
	return sys.OpenPlain(layer, "u", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
}

// OpenLayer opens the layer of a generation that is there.
func (s *Store) OpenLayer(id wire.CTID, generation int64) (*os.File, error) {
	return sys.OpenDir(filepath.Join(s.Home(id), LayerName(generation)))
}

// subvolume opens one, or makes it under another name and renames it when fill, which may write within its quota, is done: what has its
// name is whole. One that was there has room bytes more than its quota.
func (s *Store) subvolume(id wire.CTID, name string, bytes, room int64, fill func(*os.File) error) (dir *os.File, made bool, err error) {
	if err := os.Mkdir(s.Home(id), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, false, fmt.Errorf("make directory of container %s: %w", id, err)
	}
	home, err := sys.OpenDir(s.Home(id))
	if err != nil {
		return nil, false, err
	}
	defer home.Close()
	dir, err = sys.OpenDir(filepath.Join(s.Home(id), name))
	if errors.Is(err, fs.ErrNotExist) {
		if dir, err = s.make(home, name, bytes, fill); err != nil {
			os.Remove(s.Home(id)) // only if nothing else is in it
			return nil, false, err
		}
		return dir, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	if bytes > 0 {
		bytes += room
	}
	if err := btrfs.LimitSubvolume(dir, bytes); err != nil {
		dir.Close()
		return nil, false, err
	}
	return dir, false, nil
}

// make makes a subvolume with its quota, and opens it.
func (s *Store) make(home *os.File, name string, bytes int64, fill func(*os.File) error) (d *os.File, err error) {
	part := "new-" + name
	if _, err := os.Lstat(filepath.Join(home.Name(), part)); err == nil {
		if err := btrfs.DeleteSubvolume(home, part); err != nil { // a power cut left it
			return nil, err
		}
	}
	if err := btrfs.CreateSubvolume(home, part); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, btrfs.DeleteSubvolume(home, part))
		}
	}()
	f, err := sys.OpenDir(filepath.Join(home.Name(), part))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if bytes > 0 {
		if err := btrfs.LimitSubvolume(f, bytes); err != nil {
			return nil, err
		}
	}
	if err := fill(f); err != nil {
		return nil, err
	}
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0) // under the name that it will have
	if err != nil {
		return nil, fmt.Errorf("open subvolume %q in %q once more: %w", name, home.Name(), err)
	}
	d = os.NewFile(uintptr(fd), filepath.Join(home.Name(), name))
	if err := unix.Renameat2(int(home.Fd()), part, int(home.Fd()), name, unix.RENAME_NOREPLACE); err != nil {
		d.Close()
		return nil, fmt.Errorf("name subvolume %q in %q: %w", name, home.Name(), err)
	}
	return d, nil
}

// DropLayer deletes the layer of one generation; a missing one is no error.
func (s *Store) DropLayer(id wire.CTID, generation int64) error {
	return s.drop(id, LayerName(generation))
}

func (s *Store) drop(id wire.CTID, name string) error {
	home, err := sys.OpenDir(s.Home(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer home.Close()
	if err := btrfs.DeleteSubvolume(home, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		if d, oerr := sys.OpenDir(filepath.Join(s.Home(id), name)); oerr == nil {
			is, ierr := btrfs.IsSubvolume(d)
			d.Close()
			if is || ierr != nil {
				return err
			}
		}
		if err := os.RemoveAll(filepath.Join(s.Home(id), name)); err != nil { // a crash left a file or a directory under the name
			return fmt.Errorf("remove %q of container %s: %w", name, id, err)
		}
	}
	os.Remove(s.Home(id)) // only if nothing else is in it
	return nil
}

// DropRest deletes what a container has on disk besides layers and volumes, and its directory, which must then be empty. Nothing is no
// error.
func (s *Store) DropRest(id wire.CTID) error {
	c, err := s.Contents(id)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range c.Rest {
		errs = append(errs, s.drop(id, name))
	}
	if err := os.Remove(s.Home(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, fmt.Errorf("remove directory of container %s: %w", id, err))
	}
	return errors.Join(errs...)
}

// names are the layers and volumes as they are called on disk.
func (c Contents) names() []string {
	names := make([]string, 0, len(c.Layers)+len(c.Volumes))
	for _, g := range c.Layers {
		names = append(names, LayerName(g))
	}
	for _, v := range c.Volumes {
		names = append(names, "vol-"+v)
	}
	return names
}

func (s *Store) bytes(path string) (int64, error) {
	d, err := sys.OpenDir(path)
	if err != nil {
		return 0, err
	}
	defer d.Close()
	return btrfs.SubvolumeBytes(d)
}
