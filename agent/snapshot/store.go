// Package snapshot keeps the snapshots of containers: of a container's layer and all its volumes together, from one moment.
//
// Owns: the directories below DATA/snap; the order in which a snapshot is taken, is restored, and goes.
// In: open subvolumes of a container that nobody else changes meanwhile; how its processes are stopped for the moment.
// Out: lists of what there is; restored subvolumes in the places of the former ones.
// Never: stops a container, decides when one is taken or goes (Prune says only what a rule means), or follows a path of a container's.
//
// On disk: DATA/snap/<ctid>/<id> holds a read-only snapshot of each subvolume under its name in DATA/ct/<ctid>, and meta.json. What is not
// whole has another name: new-<id> is being taken and gone-<id> deleted. A restore makes writable snapshots in "restoring" (Prepare), calls
// it "ready" when all are there (Settle), and then each takes the place of the container's own, which goes to "former". A kill or a power
// cut before "ready" leaves the container as it was; after it Settle goes on. An error has all put back. What was replaced is deleted
// behind the answer. Of what is done here one thing after the other, btrfs never has a later one on the disk without the earlier ones, once
// what is in a file is a part of that (put): one commit at the end is enough.
//
//	(nothing) ─make all─> restoring ─rename─> ready ─move each─> former ─rename─> gone-former-1 ─delete─> (nothing)
//	               cut: taken away        cut: gone on with      cut: taken away
package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/snapshot"
)

// The names beside snapshots.
const (
	taking    = "new-"
	going     = "gone-"
	restoring = "restoring"
	ready     = "ready"
	former    = "former"
	metaFile  = "meta.json"
)

// ErrNone: there is no such snapshot.
var ErrNone = errors.New("there is no such snapshot")

// Store is the snapshots of this host. Calls for one container are put in a row by the caller.
type Store struct {
	dir     string
	deletes sync.Mutex     // held while what a kill, a cut or a restore left is deleted
	behind  sync.WaitGroup // what is deleted behind an answer
}

// Open keeps snapshots below dataDir, which is on btrfs with quotas.
func Open(dataDir string) *Store { return OpenAt(filepath.Join(dataDir, "snap")) }

// OpenAt keeps them below a directory of its own, as what nobody but the caller knows of.
func OpenAt(dir string) *Store { return &Store{dir: dir} }

func (s *Store) home(id wire.CTID) string { return filepath.Join(s.dir, id.String()) }

// Part is a subvolume of a container.
type Part struct {
	Name   string // in DATA/ct/<ctid>
	Volume string // "" is the layer
	Dir    *os.File
}

func doc(dir string) keep.Doc[snapshot.Snapshot] {
	return keep.Doc[snapshot.Snapshot]{Path: filepath.Join(dir, metaFile), Version: 1}
}

// List is a container's snapshots, the newest first. One that can't be read is left out, and the error says which.
func (s *Store) List(id wire.CTID) (list []snapshot.Snapshot, err error) {
	entries, lerr := os.ReadDir(s.home(id))
	if errors.Is(lerr, fs.ErrNotExist) {
		return nil, nil
	}
	if lerr != nil {
		return nil, fmt.Errorf("list snapshots of container %s: %w", id, lerr)
	}
	for _, e := range entries {
		if snapshot.ID(e.Name()).Validate() != nil || !e.IsDir() {
			continue
		}
		one, found, derr := doc(filepath.Join(s.home(id), e.Name())).Load()
		if derr != nil || !found {
			err = errors.Join(err, fmt.Errorf("snapshot %s of container %s can't be read: %v", e.Name(), id, derr))
			continue
		}
		list = append(list, one)
	}
	return newestFirst(list), err
}

// Find is one of them, or ErrNone.
func (s *Store) Find(id wire.CTID, which snapshot.ID) (snapshot.Snapshot, error) {
	list, err := s.List(id)
	for _, one := range list {
		if one.ID == which {
			return one, nil
		}
	}
	if err == nil {
		err = ErrNone
	}
	return snapshot.Snapshot{}, fmt.Errorf("snapshot %s of container %s: %w; see hnctl node snapshot list %s", which, id, err, id)
}

// Take takes a snapshot of the parts. What is dirty is written first, so that still, which stops the container's processes until it is
// called again, has little to wait for; nil: none runs. meta says all but ID, Taken, Pause and Parts. Room was asked for before.
func (s *Store) Take(id wire.CTID, meta snapshot.Snapshot, parts []Part, still func() (end func() error, err error),
	now time.Time) (snapshot.Snapshot, error) {
	meta, err := s.name(id, meta, parts, still, now)
	if err == nil {
		err = s.sync(s.home(id))
	}
	if err != nil {
		return meta, fmt.Errorf("take a snapshot of container %s: %w", id, err)
	}
	return meta, nil
}

// name is Take but for the last commit: the snapshot has its name, which no commit has on the disk without all that it names.
func (s *Store) name(id wire.CTID, meta snapshot.Snapshot, parts []Part, still func() (func() error, error),
	now time.Time) (snapshot.Snapshot, error) {
	meta.Taken = now.UTC()
	meta.ID = s.free(id, meta.Taken)
	if err := flush(parts); err != nil { // before there is anything of this one to commit
		return meta, err
	}
	at := filepath.Join(s.home(id), taking+string(meta.ID))
	if err := os.MkdirAll(at, 0o700); err != nil {
		return meta, err
	}
	err := s.take(at, &meta, parts, still)
	if err == nil {
		err = put(at, meta)
	}
	if err == nil {
		err = os.Rename(at, filepath.Join(s.home(id), string(meta.ID)))
	}
	if err != nil {
		err = errors.Join(err, s.drop(at))
	}
	return meta, err
}

// put writes what says what a snapshot is. It is on the disk with the next commit, before which no name of its directory is there either.
func put(dir string, meta snapshot.Snapshot) error {
	raw, err := doc(dir).Encode(meta)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(doc(dir).Path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(raw); err == nil {
		err = btrfs.Written(f)
	}
	return errors.Join(err, f.Close())
}

// little is how many dirty bytes of the whole host need not be written before a snapshot: its own commit does that as fast as one more.
// quick is how long a commit takes that leaves little to be written, and flushes how many are tried for that.
const (
	little  = 4 << 20
	quick   = 30 * time.Millisecond
	flushes = 3
)

// flush has what is dirty written.
func flush(parts []Part) error {
	if len(parts) == 0 {
		return nil
	}
	for range flushes {
		if n, err := sys.Dirty(); err == nil && n <= little {
			return nil
		}
		began := time.Now()
		if err := btrfs.Sync(parts[0].Dir); err != nil {
			return err
		}
		if time.Since(began) < quick {
			return nil
		}
	}
	return nil
}

func (s *Store) take(at string, meta *snapshot.Snapshot, parts []Part, still func() (func() error, error)) (err error) {
	into, err := sys.OpenDir(at)
	if err != nil {
		return err
	}
	defer into.Close()
	if still != nil {
		began := time.Now()
		end, serr := still()
		if serr != nil {
			return serr
		}
		defer func() {
			err = errors.Join(err, end())
			meta.Pause = time.Since(began).Microseconds()
		}()
	}
	for _, p := range parts {
		if err := btrfs.Snapshot(p.Dir, into, p.Name, true); err != nil {
			return err
		}
	}
	for _, p := range parts {
		n, err := btrfs.SubvolumeBytes(p.Dir)
		if err != nil {
			return err
		}
		meta.Parts = append(meta.Parts, snapshot.Part{Volume: p.Volume, Bytes: n})
	}
	return nil
}

// Room takes away what a cut left, and refuses one snapshot too many.
func (s *Store) Room(id wire.CTID) error {
	if err := s.Sweep(id); err != nil {
		return err
	}
	list, err := s.List(id)
	if err != nil {
		return err
	}
	if len(list) >= snapshot.Max {
		return fmt.Errorf("container %s has %d snapshots, which is the most there may be: delete some, or prune them", id, len(list))
	}
	return nil
}

// free is a name for a snapshot taken at t that none has.
func (s *Store) free(id wire.CTID, t time.Time) snapshot.ID {
	name := t.Format("20060102-150405")
	for n := 2; ; n++ {
		if _, err := os.Lstat(filepath.Join(s.home(id), name)); errors.Is(err, fs.ErrNotExist) {
			return snapshot.ID(name)
		}
		name = fmt.Sprintf("%s-%d", t.Format("20060102-150405"), n)
	}
}

// Delete deletes snapshots, each whole: it has another name before the first of it goes. Done is those that are gone.
func (s *Store) Delete(id wire.CTID, which ...snapshot.ID) (done []snapshot.ID, err error) {
	for _, w := range which {
		if _, err = s.Find(id, w); err != nil {
			break
		}
		gone := filepath.Join(s.home(id), going+string(w))
		if err = os.Rename(filepath.Join(s.home(id), string(w)), gone); err == nil {
			err = s.drop(gone)
		}
		if err != nil {
			err = fmt.Errorf("delete snapshot %s of container %s: %w", w, id, err)
			break
		}
		done = append(done, w)
	}
	if len(done) > 0 {
		err = errors.Join(err, s.sync(s.home(id))) // the kernel begins to give the room back, too
	}
	return done, err
}

// DropAll deletes all of a container, what is being taken or restored too, each whole as Delete does. Nothing is no error.
func (s *Store) DropAll(id wire.CTID) error {
	errs := []error{s.Sweep(id)} // what was being deleted before
	entries, err := os.ReadDir(s.home(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		gone := filepath.Join(s.home(id), going+e.Name())
		if err := os.Rename(filepath.Join(s.home(id), e.Name()), gone); err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, s.drop(gone))
	}
	if err := errors.Join(append(errs, err)...); err != nil {
		return fmt.Errorf("delete the snapshots of container %s: %w", id, err)
	}
	return os.Remove(s.home(id))
}

// Sweep takes away what a kill or a cut left of a container's snapshots: half of one that was being taken, of one that was being deleted,
// of a restore that was not ready yet, and what another one has replaced.
func (s *Store) Sweep(id wire.CTID) error {
	s.deletes.Lock()
	defer s.deletes.Unlock()
	entries, err := os.ReadDir(s.home(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var errs []error
	busy := slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == ready })
	for _, e := range entries {
		n := e.Name()
		if n == restoring || n == former && !busy || strings.HasPrefix(n, taking) || strings.HasPrefix(n, going) {
			errs = append(errs, s.drop(filepath.Join(s.home(id), n)))
		}
	}
	if err := errors.Join(append(errs, err)...); err != nil {
		return fmt.Errorf("clear away what is left of snapshots of container %s: %w", id, err)
	}
	return nil
}

// sweepBehind is Sweep of what a restore replaced, without waiting for it: the kernel has to forget first what of its files is in memory.
// What can't be deleted now is left to the next Sweep, which says why.
func (s *Store) sweepBehind(id wire.CTID) error {
	old, gone := filepath.Join(s.home(id), former), s.aside(id)
	if err := os.Rename(old, gone); err != nil {
		return err
	}
	s.behind.Go(func() {
		s.deletes.Lock()
		defer s.deletes.Unlock()
		s.drop(gone)
	})
	return nil
}

// aside is a name for what a restore replaced: the one before may not be deleted yet.
func (s *Store) aside(id wire.CTID) string {
	for n := 1; ; n++ {
		path := filepath.Join(s.home(id), fmt.Sprintf("%s%s-%d", going, former, n))
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return path
		}
	}
}

// SweepAll is Sweep of every container that has snapshots.
func (s *Store) SweepAll() error {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		if id, err := wire.ParseCTID(e.Name()); err == nil {
			errs = append(errs, s.Sweep(id), s.drop(filepath.Join(s.home(id), coming)))
		}
	}
	return errors.Join(errs...)
}

// drop deletes a directory with the subvolumes and files directly in it, as far as they are there.
func (s *Store) drop(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, unix.ENOTDIR) {
		return os.Remove(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	dir, err := sys.OpenDir(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	var errs []error
	did := func(err error) {
		if !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	for _, e := range entries {
		if e.IsDir() {
			did(btrfs.DeleteSubvolume(dir, e.Name()))
		} else {
			did(os.Remove(filepath.Join(path, e.Name())))
		}
	}
	did(os.Remove(path))
	return errors.Join(errs...)
}

// sync commits all that was written to the filesystem.
func (s *Store) sync(path string) error {
	d, err := sys.OpenDir(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return btrfs.Sync(d)
}
