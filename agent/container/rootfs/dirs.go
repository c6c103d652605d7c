// Package rootfs says what a container finds in its root besides its image: the directories of /run, its own files, owners of volumes.
//
// Owns: which directories of the image /run has again, what systemd as PID 1 is told.
// In: the open root of an image, which may be an attacker's.
// Out: directories and texts for the spawner; files in a mount that is not attached yet.
// Never: follows a link out of the image, or attaches a mount.
package rootfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/container/spec"
	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/agent/sys"
	"hardnode.dev/agent/volume"
	"hardnode.dev/internal/wire/host"
)

// Owner is whom a new volume at path belongs to: as the directory the image has there, else the container's process.
func Owner(image *os.File, c host.Container, path string) volume.Owner {
	own := volume.Owner{UID: c.Process.UID, GID: c.Process.GID, Mode: 0o755}
	d, err := sys.OpenIn(image, path, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return own
	}
	defer d.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(d.Fd()), &st); err != nil || !c.Image.Has(st.Uid) || !c.Image.Has(st.Gid) {
		return own
	}
	return volume.Owner{UID: st.Uid, GID: st.Gid, Mode: st.Mode & 0o7777}
}

// Content is the directory that the image has at path, nil if it has none.
func Content(image *os.File, path string) (*os.File, error) {
	d, err := sys.OpenIn(image, path, unix.O_RDONLY|unix.O_DIRECTORY)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("look at %q of the image: %w", path, err)
	}
	return d, nil
}

// RunDirs are the directories the image has in /run, two levels deep: /run is a new tmpfs and services expect theirs.
func RunDirs(image *os.File, has func(uint32) bool) []call.Dir {
	const most = 64
	var list []call.Dir
	var walk func(rel string, depth int)
	walk = func(rel string, depth int) {
		d, err := sys.OpenIn(image, path.Join("/run", rel), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
		if err != nil {
			return
		}
		defer d.Close()
		entries, err := d.ReadDir(256)
		if err != nil && !errors.Is(err, io.EOF) {
			return
		}
		for _, e := range entries {
			var st unix.Stat_t
			if e.Type() != fs.ModeDir || len(list) >= most || e.Name() == path.Base(spec.PrivateDir) ||
				unix.Fstatat(int(d.Fd()), e.Name(), &st, unix.AT_SYMLINK_NOFOLLOW) != nil || !has(st.Uid) || !has(st.Gid) {
				continue
			}
			sub := path.Join(rel, e.Name())
			list = append(list, call.Dir{Path: sub, Mode: st.Mode & 0o7777, UID: st.Uid, GID: st.Gid})
			if depth > 1 {
				walk(sub, depth-1)
			}
		}
	}
	walk("", 2)
	return list
}
