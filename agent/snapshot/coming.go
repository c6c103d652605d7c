package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/snapshot"
)

// coming is the directory of a snapshot that comes from elsewhere. Whoever fills it has it locked, so that Sweep, which may be called
// meanwhile, leaves it alone; SweepAll comes before anybody can.
const coming = "coming"

// Open opens the subvolumes of a snapshot.
func (s *Store) Open(id wire.CTID, which snapshot.ID) (meta snapshot.Snapshot, parts []Part, closeAll func(), err error) {
	closeAll = func() {
		for _, p := range parts {
			p.Dir.Close()
		}
	}
	if meta, err = s.Find(id, which); err != nil {
		return meta, nil, nil, err
	}
	at := filepath.Join(s.home(id), string(which))
	entries, err := os.ReadDir(at)
	for _, e := range entries {
		if !e.IsDir() || err != nil {
			continue
		}
		p := Part{Name: e.Name()}
		if v, ok := strings.CutPrefix(e.Name(), "vol-"); ok {
			p.Volume = v
		}
		if p.Dir, err = sys.OpenDir(filepath.Join(at, e.Name())); err == nil {
			parts = append(parts, p)
		}
	}
	if err != nil {
		closeAll()
		return meta, nil, nil, fmt.Errorf("open snapshot %s of container %s: %w", which, id, err)
	}
	return meta, parts, closeAll, nil
}

// Coming is a snapshot that comes from elsewhere, until Done.
type Coming struct {
	s   *Store
	id  wire.CTID
	dir *os.File
}

// Coming begins one. There is one at a time of a container.
func (s *Store) Coming(id wire.CTID) (*Coming, error) {
	if err := s.Room(id); err != nil {
		return nil, err
	}
	at := filepath.Join(s.home(id), coming)
	if err := os.MkdirAll(at, 0o700); err != nil {
		return nil, fmt.Errorf("make room for a snapshot of container %s: %w", id, err)
	}
	dir, err := sys.OpenDir(at)
	if err != nil {
		return nil, err
	}
	c := &Coming{s, id, dir}
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		dir.Close()
		return nil, fmt.Errorf("another snapshot of container %s is coming: wait for it", id)
	}
	entries, err := os.ReadDir(at)
	for _, e := range entries { // of one that was cut
		err = errors.Join(err, c.Remove(e.Name()))
	}
	if err != nil {
		c.Drop()
		return nil, err
	}
	return c, nil
}

// Make makes one of its subvolumes, which may hold so many bytes; 0 is no limit.
func (c *Coming) Make(name string, limit int64) (*os.File, error) {
	if err := btrfs.CreateSubvolume(c.dir, name); err != nil {
		return nil, err
	}
	d, err := sys.OpenDir(filepath.Join(c.dir.Name(), name))
	if err != nil {
		return nil, err
	}
	if err := btrfs.LimitSubvolume(d, limit); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// Remove takes one away again.
func (c *Coming) Remove(name string) error {
	if err := btrfs.DeleteSubvolume(c.dir, name); err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return os.RemoveAll(filepath.Join(c.dir.Name(), name))
}

// Received is one of its subvolumes, and what it was received as.
type Received struct {
	Part
	Is btrfs.Identity
}

// Keep has what some of its subvolumes hold now be one of the container's snapshots as well, under the name that meta says, and as what
// they were received as: streams go on from it as from where it was taken. meta says all but Parts. It is on the disk when Ready returns.
func (c *Coming) Keep(meta snapshot.Snapshot, parts []Received) error {
	at := filepath.Join(c.s.home(c.id), taking+string(meta.ID))
	fail := func(err error) error {
		return fmt.Errorf("keep snapshot %s of container %s: %w", meta.ID, c.id, errors.Join(err, c.s.drop(at)))
	}
	if err := os.Mkdir(at, 0o700); err != nil {
		return fmt.Errorf("keep snapshot %s of container %s: %w", meta.ID, c.id, err)
	}
	into, err := sys.OpenDir(at)
	if err != nil {
		return fail(err)
	}
	defer into.Close()
	meta.Parts = nil
	for _, p := range parts {
		if err := c.keep(into, p); err != nil {
			return fail(err)
		}
		n, err := btrfs.SubvolumeBytes(p.Dir) // what is not on the disk yet does not count yet
		if err != nil {
			return fail(err)
		}
		meta.Parts = append(meta.Parts, snapshot.Part{Volume: p.Volume, Bytes: n})
	}
	if err := put(at, meta); err != nil {
		return fail(err)
	}
	if err := os.Rename(at, filepath.Join(c.s.home(c.id), string(meta.ID))); err != nil {
		return fail(err)
	}
	return nil
}

func (c *Coming) keep(into *os.File, p Received) error {
	if err := btrfs.Snapshot(p.Dir, into, p.Name, false); err != nil {
		return err
	}
	d, err := sys.OpenDir(filepath.Join(into.Name(), p.Name))
	if err != nil {
		return err
	}
	defer d.Close()
	return btrfs.SetReceived(d, p.Is)
}

// Done makes it one of the container's snapshots. meta says all but ID and Parts.
func (c *Coming) Done(meta snapshot.Snapshot, parts []Part) (snapshot.Snapshot, error) {
	fail := func(err error) (snapshot.Snapshot, error) {
		return meta, fmt.Errorf("keep a snapshot of container %s: %w", c.id, err)
	}
	meta.ID = c.s.free(c.id, meta.Taken.UTC())
	if err := c.s.sync(c.dir.Name()); err != nil { // what is not on the disk yet does not count yet
		return fail(err)
	}
	for _, p := range parts {
		n, err := btrfs.SubvolumeBytes(p.Dir)
		if err == nil {
			err = btrfs.SetReadOnly(p.Dir)
		}
		if err != nil {
			return fail(err)
		}
		meta.Parts = append(meta.Parts, snapshot.Part{Volume: p.Volume, Bytes: n})
	}
	if err := put(c.dir.Name(), meta); err != nil {
		return fail(err)
	}
	if err := os.Rename(c.dir.Name(), filepath.Join(c.s.home(c.id), string(meta.ID))); err != nil {
		return fail(err)
	}
	return meta, c.s.sync(c.s.home(c.id))
}

// Ready has it take the container's place, as Store.Ready what Prepare made: from then on Settle does it.
func (c *Coming) Ready() error {
	defer c.dir.Close()
	err := c.s.sync(c.dir.Name())
	if err == nil {
		err = os.Rename(c.dir.Name(), filepath.Join(c.s.home(c.id), ready))
	}
	if err == nil {
		err = c.s.sync(c.s.home(c.id))
	}
	if err != nil {
		return fmt.Errorf("end what comes of container %s: %w", c.id, err)
	}
	return nil
}

// Waits tells whether something waits for Settle.
func (s *Store) Waits(id wire.CTID) bool {
	_, err := os.Lstat(filepath.Join(s.home(id), ready))
	return err == nil
}

// Drop takes away what is not done, and ends it.
func (c *Coming) Drop() error {
	defer c.dir.Close()
	now, err := os.Stat(filepath.Join(c.s.home(c.id), coming))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if mine, err := c.dir.Stat(); err != nil || !os.SameFile(now, mine) {
		return err
	}
	return c.s.drop(c.dir.Name())
}
