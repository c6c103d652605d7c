// Package file writes the container's files whole or not at all, and keeps what was there before.
//
// Owns: temporary names, owner and mode of what is written, backups.
// In: a path, bytes; Owned for files that are new.
// Out: a file that is either the old or the new one; the backup's path.
// Never: follows a link in the last part of a path it writes, or reads without a bound.
package file

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Owned says whose a file is that was not there before. Of one that was, owner and mode stay unless Force is set.
type Owned struct {
	UID, GID int
	Mode     fs.FileMode
	Force    bool
}

// Write replaces a file: a reader finds the old bytes or the new ones. A symbolic link is replaced, not followed.
func Write(path string, data []byte, as Owned) error {
	if st, err := os.Lstat(path); err == nil && !as.Force {
		if st.IsDir() {
			return fmt.Errorf("write %s: is a directory", path)
		}
		if sys, ok := st.Sys().(*syscall.Stat_t); ok && st.Mode().IsRegular() {
			as = Owned{UID: int(sys.Uid), GID: int(sys.Gid), Mode: st.Mode().Perm()}
		}
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".jem-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	_, err = f.Write(data)
	if err == nil && os.Geteuid() == 0 {
		err = f.Chown(as.UID, as.GID)
	}
	if err = errors.Join(err, f.Chmod(as.Mode), f.Sync()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if d, err := os.Open(filepath.Dir(path)); err == nil {
		d.Sync()
		d.Close()
	}
	return nil
}

// ErrLarge is in the error of a file that has more bytes than are read.
var ErrLarge = errors.New("is larger than that")

// Read reads a regular file of at most limit bytes.
func Read(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, fmt.Errorf("read %s: is no regular file", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		return nil, fmt.Errorf("read %s: at most %d bytes are read: %w", path, limit, ErrLarge)
	}
	return b, err
}

// Backups are those of one file that are kept.
const Backups = 5

// Backup copies a file to one beside it, named by the time. A file that is not there needs none: path is "" then. Once the change for which
// it was made is done, Prune takes those away that are too many; if it is taken back, so is the copy.
func Backup(path string, now time.Time, limit int64) (copied string, err error) {
	b, err := Read(path, limit)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	st, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	as := Owned{Mode: st.Mode().Perm(), Force: true}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		as.UID, as.GID = int(sys.Uid), int(sys.Gid)
	}
	copied = path + BackupMark + now.UTC().Format("20060102T150405.000")
	if err := Write(copied, b, as); err != nil {
		return "", err
	}
	return copied, nil
}

// Prune takes the oldest of more than Backups of a file away.
func Prune(path string) {
	old := ListBackups(path)
	for _, p := range old[:max(0, len(old)-Backups)] {
		os.Remove(p)
	}
}

// BackupMark stands between the name of a file and the time in the names of its backups.
const BackupMark = ".jem-backup-"

// ListBackups are the backups of a file, oldest first.
func ListBackups(path string) (list []string) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), filepath.Base(path)+BackupMark) {
			list = append(list, filepath.Join(filepath.Dir(path), e.Name()))
		}
	}
	slices.Sort(list)
	return list
}
