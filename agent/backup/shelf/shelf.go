// Package shelf keeps backups of other hosts' nodes on this one.
//
// Owns: DATA/backups, a subvolume with a quota of its own: NODE/BACKUP/… as internal/backup has them, and what is coming below new/.
// In: questions of internal/backup/far, on sessions that the orchestrator has let through; objects that this host can't read.
// Out: objects as they came, or a refusal that says why.
// Never: keeps a backup of a node that this host has, fills DATA, hands anything to another host, or follows a name out of its folder.
package shelf

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/backup"
	"hardnode.dev/internal/backup/far"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	wirebackup "hardnode.dev/internal/wire/backup"
	"hardnode.dev/internal/wire/host"
)

// Share is which part of DATA backups may take, and Spare which part stays free whatever they may: one part in so many.
const (
	Share = 4
	Spare = 20
)

// Options are what a Shelf needs.
type Options struct {
	Data   string            // the directory of DATA, on btrfs
	Work   func() *host.Work // what this host runs; nil: it has not been told
	Closed func() error      // why nothing new is to be made on DATA now, or nil
	Log    *slog.Logger      // nil discards
}

// Shelf is the backups that this host keeps. New makes one; its methods may be called at once.
type Shelf struct {
	o   Options
	top string
	mu  struct {
		sync.Mutex
		open bool // it is there, and nothing half is in it
	}
}

var _ far.Shelf = (*Shelf)(nil)

// New makes one. Its subvolume is made with the first backup.
func New(o Options) *Shelf {
	o.Log = logging.Or(o.Log)
	return &Shelf{o: o, top: filepath.Join(o.Data, "backups")}
}

// Answer serves one session.
func (s *Shelf) Answer(ctx context.Context, want wirebackup.Keep, in io.Reader, out io.Writer) error {
	s.o.Log.Info("backups of other hosts are asked for", "change", want.Change)
	return far.Serve(ctx, s, want.Change, in, out)
}

// coming is where objects lie until they are whole.
const coming = "new"

// make has the subvolume be there, with its quota, and takes away what an agent that was killed left half.
func (s *Shelf) make() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.open {
		return nil
	}
	if err := prepare(s.o.Data, s.top); err != nil {
		return err
	}
	half := filepath.Join(s.top, coming)
	if err := errors.Join(os.RemoveAll(half), os.MkdirAll(half, 0o700)); err != nil {
		return err
	}
	s.mu.open = true
	return nil
}

// May implements far.Shelf.
func (s *Shelf) May(_ context.Context, node wire.CTID) error {
	switch c, here := s.o.Work().Container(node); {
	case here && !c.Remove:
		return fmt.Errorf("node %s runs on this very host, with which its backup would be lost too: name another one", node)
	case s.o.Work() == nil:
		return errors.New("this host has not been told yet what it runs: try again")
	}
	if s.o.Closed != nil {
		if err := s.o.Closed(); err != nil {
			return fmt.Errorf("no backup is put here: %w", err)
		}
	}
	free, size, err := s.free()
	if err != nil {
		return err
	}
	if free < size/Spare {
		return fmt.Errorf("%s of the %s of this host's DATA are free, and it keeps %s free for its own nodes: name another host", mib(free),
			mib(size), mib(size/Spare))
	}
	return nil
}

func (s *Shelf) free() (free, size int64, err error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(s.o.Data, &fs); err != nil {
		return 0, 0, fmt.Errorf("look for room on DATA: %w", err)
	}
	return int64(fs.Bavail) * fs.Bsize, int64(fs.Blocks) * fs.Bsize, nil
}

func mib(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }

// Room implements far.Shelf.
func (s *Shelf) Room(context.Context) (far.Room, error) {
	_, size, err := s.free()
	if err != nil {
		return far.Room{}, err
	}
	used, err := used(s.top)
	return far.Room{Limit: size / Share, Used: used}, err
}

// Put implements far.Shelf.
func (s *Shelf) Put(_ context.Context, name string, bytes int64, r io.Reader) (err error) {
	o, err := backup.ParseObject(name)
	if err == nil {
		err = s.make()
	}
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Join(s.top, coming), "")
	if err != nil {
		return s.explained(name, err)
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, sum), r)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return s.explained(name, err)
	}
	if n != bytes {
		return fmt.Errorf("put %s: %d bytes came of %d", name, n, bytes)
	}
	if o.Sum != "" && !strings.HasPrefix(hex.EncodeToString(sum.Sum(nil)), o.Sum) {
		return fmt.Errorf("put %s: what came is not what its name says", name)
	}
	path := filepath.Join(s.top, filepath.FromSlash(name))
	s.mu.Lock() // no other session takes the folder away, which is empty
	defer s.mu.Unlock()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return s.explained(name, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return s.explained(name, err)
	}
	return synced(filepath.Dir(path), filepath.Dir(filepath.Dir(path)), s.top)
}

// synced has names be on the disk.
func synced(dirs ...string) error {
	for _, dir := range dirs {
		d, err := os.Open(dir)
		if err != nil {
			return err
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			return err
		}
	}
	return nil
}

// explained says what to do about an object that found no room.
func (s *Shelf) explained(name string, err error) error {
	switch {
	case errors.Is(err, unix.EDQUOT):
		_, size, _ := s.free()
		return fmt.Errorf("put %s: this host keeps %s of other hosts' backups, a part in %d of its DATA, and they are full: delete some "+
			"(hnctl node backup prune), or name another host: %w", name, mib(size/Share), Share, err)
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("put %s: the DATA of this host is full: delete backups here (hnctl node backup prune), or name another host: %w",
			name, err)
	}
	return fmt.Errorf("put %s: %w", name, err)
}

// Get implements far.Shelf.
func (s *Shelf) Get(_ context.Context, name string) (io.ReadCloser, int64, error) {
	if _, err := backup.ParseObject(name); err != nil {
		return nil, 0, err
	}
	f, err := os.Open(filepath.Join(s.top, filepath.FromSlash(name)))
	if err != nil {
		return nil, 0, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("get %s: it is no file", name)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, st.Size(), nil
}

// List implements far.Shelf.
func (s *Shelf) List(ctx context.Context, prefix string) (names []string, err error) {
	if err := backup.ParsePrefix(prefix); err != nil {
		return nil, err
	}
	err = filepath.WalkDir(filepath.Join(s.top, filepath.FromSlash(prefix)), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return errors.Join(err, ctx.Err())
		}
		rel, err := filepath.Rel(s.top, path)
		if name := filepath.ToSlash(rel); err == nil && !strings.HasPrefix(name, coming+"/") {
			names = append(names, name)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // nothing has come yet, or it has just gone
	}
	slices.Sort(names)
	return names, err
}

// Delete implements far.Shelf.
func (s *Shelf) Delete(_ context.Context, name string) error {
	if _, err := backup.ParseObject(name); err != nil {
		return err
	}
	path := filepath.Join(s.top, filepath.FromSlash(name))
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for dir := filepath.Dir(path); dir != s.top && os.Remove(dir) == nil; dir = filepath.Dir(dir) { // if nothing else is in it
	}
	return nil
}
