package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/snapshot"
)

// Prepare makes writable snapshots of a snapshot's parts, beside the container's own, which are not touched and may be written to: as says
// under which name each part takes a place in home, "" for one that is left out. What the part writes counts with what it replaces
// (btrfs.JoinGroup). The snapshot is one of container of, which may be another one.
func (s *Store) Prepare(id, of wire.CTID, which snapshot.ID, home string, as func(name string) string) error {
	fail := func(err error) error {
		return fmt.Errorf("prepare snapshot %s of container %s for container %s: %w", which, of, id, errors.Join(err, s.Sweep(id)))
	}
	if err := s.Sweep(id); err != nil {
		return err
	}
	from, at := filepath.Join(s.home(of), string(which)), filepath.Join(s.home(id), restoring)
	if err := os.MkdirAll(at, 0o700); err != nil {
		return fail(err)
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return fail(err)
	}
	for _, e := range entries {
		if name := as(e.Name()); e.IsDir() && name != "" {
			if err := prepare(filepath.Join(from, e.Name()), at, name, filepath.Join(home, name)); err != nil {
				return fail(err)
			}
		}
	}
	return nil
}

// Ready says that what Prepare made shall take the container's place: from then on Settle does it, whatever happens.
func (s *Store) Ready(id wire.CTID) error {
	at := filepath.Join(s.home(id), restoring)
	if err := os.Rename(at, filepath.Join(s.home(id), ready)); err != nil {
		return fmt.Errorf("begin the restore of container %s: %w", id, errors.Join(err, s.Sweep(id)))
	}
	return nil
}

// prepare makes one: name in at, of the snapshot from, to replace what lies at own.
func prepare(from, at, name, own string) error {
	src, err := sys.OpenDir(from)
	if err != nil {
		return err
	}
	defer src.Close()
	into, err := sys.OpenDir(at)
	if err != nil {
		return err
	}
	defer into.Close()
	if err := btrfs.Snapshot(src, into, name, false); err != nil {
		return err
	}
	next, err := sys.OpenDir(filepath.Join(at, name))
	if err != nil {
		return err
	}
	defer next.Close()
	last, err := sys.OpenDir(own)
	if errors.Is(err, fs.ErrNotExist) {
		return btrfs.LeaveGroup(next)
	}
	if err != nil {
		return err
	}
	defer last.Close()
	if err := btrfs.JoinGroup(next, last); err != nil {
		return err
	}
	return btrfs.CountIn(src, next)
}

// Settle goes on with a restore that is ready: each subvolume takes the place of the container's own in home. Nothing to do is no error.
// The container must not run, and is not started before this has been called. After an error the container has what it had before.
func (s *Store) Settle(id wire.CTID, home string) error {
	at, old := filepath.Join(s.home(id), ready), filepath.Join(s.home(id), former)
	entries, err := os.ReadDir(at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var placed []string
	fail := func(err error) error {
		return fmt.Errorf("restore container %s: %w", id, errors.Join(err, s.back(id, home, placed)))
	}
	if err != nil {
		return fail(err)
	}
	for _, dir := range []string{home, old} {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return fail(err)
		}
	}
	for _, e := range entries {
		if err := move(home, old, e.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) { // it was moved before a cut, or is a new one
			return fail(err)
		}
		if err := move(at, home, e.Name()); err != nil {
			return fail(err)
		}
		placed = append(placed, e.Name())
	}
	if err := s.sync(home); err != nil {
		return fail(err)
	}
	if err := os.Remove(at); err != nil {
		return fail(err)
	}
	if err := s.sweepBehind(id); err != nil {
		return fmt.Errorf("delete what a restore of container %s replaced: %w", id, err)
	}
	return nil
}

// move moves a subvolume from one directory to another, where nothing has its name.
func move(from, to, name string) error {
	err := unix.Renameat2(unix.AT_FDCWD, filepath.Join(from, name), unix.AT_FDCWD, filepath.Join(to, name), unix.RENAME_NOREPLACE)
	if err != nil {
		return fmt.Errorf("move %q from %q to %q: %w", name, from, to, err)
	}
	return nil
}

// back has the container be what it was before Settle, which had given those of placed a place, and ends the restore.
func (s *Store) back(id wire.CTID, home string, placed []string) error {
	at, old := filepath.Join(s.home(id), ready), filepath.Join(s.home(id), former)
	moved, err := os.ReadDir(old)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range moved {
		if !slices.Contains(placed, e.Name()) {
			placed = append(placed, e.Name())
		}
	}
	for _, name := range placed {
		if err := move(home, at, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := move(old, home, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := os.Rename(at, filepath.Join(s.home(id), going+ready)); err != nil {
		return err
	}
	return s.Sweep(id)
}
