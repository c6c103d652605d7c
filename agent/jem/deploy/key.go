package deploy

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/jem/contract"
	"hardnode.dev/agent/jem/users"
)

// keyMark begins the name of a directory with a key.
const keyMark = "jem-key-"

// keyPlaces are where a key may be while ssh needs it, as a file: ssh closes what it inherits. In memory, where the container has such
// a place.
func keyPlaces(root string) []string {
	return []string{filepath.Join(root, "dev/shm"), filepath.Join(root, "run"), filepath.Join(root, contract.StateDir)}
}

// sweepKeys takes away keys that a call left which was killed. No other call is at work: the caller has the turn.
func sweepKeys(root string) error {
	var errs error
	for _, in := range keyPlaces(root) {
		entries, _ := os.ReadDir(in)
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), keyMark) {
				errs = errors.Join(errs, os.RemoveAll(filepath.Join(in, e.Name())))
			}
		}
	}
	return errs
}

// keyDir is a directory of the owner's with the key.
func keyDir(root string, owner users.User, key []byte) (string, error) {
	places := keyPlaces(root)
	in := places[len(places)-1]
	for _, p := range places {
		var st unix.Statfs_t
		if unix.Statfs(p, &st) == nil && st.Type == unix.TMPFS_MAGIC {
			in = p
			break
		}
	}
	dir, err := os.MkdirTemp(in, keyMark)
	if err != nil {
		return "", err
	}
	at := filepath.Join(dir, "key")
	err = os.WriteFile(at, []byte(strings.TrimRight(string(key), "\n")+"\n"), 0o600)
	if os.Geteuid() == 0 {
		uid, gid := int(owner.UID), int(owner.GID)
		err = errors.Join(err, os.Chown(at, uid, gid), os.Chown(dir, uid, gid))
		if in == places[len(places)-1] {
			err = errors.Join(err, passable(in))
		}
	}
	if err != nil {
		os.RemoveAll(dir)
		return "", err
	}
	return dir, nil
}

// passable lets others pass through the state's directory, and not list it: what is in it is closed itself.
func passable(dir string) error {
	if err := os.Chmod(filepath.Join(dir, "answers"), 0o700); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Chmod(dir, 0o711)
}
