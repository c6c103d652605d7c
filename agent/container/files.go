package container

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/agent/sys"
	"hardnode.dev/agent/volume"
	"hardnode.dev/internal/wire/host"
)

// FilesHash is what Observed.FilesHash compares with: hex SHA-256 over paths, modes and data, in order of paths.
func FilesHash(files []host.File) string {
	if len(files) == 0 {
		return ""
	}
	sorted := slices.SortedFunc(slices.Values(files), func(a, b host.File) int { return strings.Compare(a.Path, b.Path) })
	h := sha256.New()
	for _, f := range sorted {
		for _, part := range [][]byte{[]byte(f.Path), binary.BigEndian.AppendUint32(nil, f.Mode), f.Data.Reveal()} {
			h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
			h.Write(part)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// filesStep makes the read-only tmpfs at privateDir with the container's files, and copies of JEM's and the identity socket's mounts.
func (s *start) filesStep(context.Context) error {
	tree, err := sys.NewMount("tmpfs", sys.NoSuid|sys.NoDev, [2]string{"mode", "0755"}, [2]string{"size", "16m"})
	if err != nil {
		return err
	}
	s.done.close(tree)
	root := int(tree.Fd())
	for _, f := range s.Files {
		if err := s.writeFile(root, f); err != nil {
			return err
		}
	}
	type bind struct{ name, from string }
	binds := []bind{{jemName, s.opts.JEM}}
	if s.IdentitySocket != "" {
		binds = append(binds, bind{identityName, s.IdentitySocket})
	}
	for _, b := range binds {
		fd, err := unix.Openat(root, b.name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
		if err != nil {
			return fmt.Errorf("make %s/%s: %w", privateDir, b.name, err)
		}
		unix.Close(fd)
	}
	if err := sys.Restrict(tree, sys.ReadOnly); err != nil {
		return err
	}
	s.mount(call.Mount{Path: privateDir}, tree)
	for _, b := range binds {
		place, err := sys.Open(b.from)
		if err != nil {
			return err
		}
		attrs := uint64(sys.ReadOnly | sys.NoSuid | sys.NoDev)
		if b.name == identityName {
			attrs = sys.NoSuid | sys.NoDev | sys.NoExec // connecting to a socket needs write permission
		}
		copied, err := sys.CloneMount(place, attrs)
		place.Close()
		if err != nil {
			return err
		}
		s.done.close(copied)
		s.mount(call.Mount{Path: privateDir + "/" + b.name, File: true}, copied)
	}
	return nil
}

// writeFile makes one file and the directories above it, owned by the container's process.
func (s *start) writeFile(root int, f host.File) error {
	rel, err := filePath(f.Path)
	if err != nil {
		return err
	}
	uid, _ := s.ids().Host(s.Process.UID) // the spec was checked
	gid, _ := s.ids().Host(s.Process.GID)
	parts := strings.Split(rel, "/")
	for i := 1; i < len(parts); i++ {
		dir := path.Join(parts[:i]...)
		if err := unix.Mkdirat(root, dir, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("make directory of file %q: %w", f.Path, err)
		}
	}
	fd, err := unix.Openat(root, rel, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("make file %q: %w", f.Path, err)
	}
	out := os.NewFile(uintptr(fd), f.Path)
	defer out.Close()
	if _, err := out.Write(f.Data.Reveal()); err != nil {
		return fmt.Errorf("write file %q: %w", f.Path, err)
	}
	if err := errors.Join(out.Chown(int(uid), int(gid)), unix.Fchmod(fd, f.Mode&0o777)); err != nil {
		return fmt.Errorf("hand over file %q: %w", f.Path, err)
	}
	return nil
}

// ids are the container's on the host.
func (s *StartSpec) ids() call.IDs { return call.IDs{Base: s.UIDBase, Blocks: s.Image.IDBlocks} }

// ownerOf is whom a new volume at path belongs to: as the directory the image has there, else the container's process.
func (s *start) ownerOf(path string) volume.Owner {
	own := volume.Owner{UID: s.Process.UID, GID: s.Process.GID, Mode: 0o755}
	d, err := sys.OpenIn(s.image, path, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return own
	}
	defer d.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(d.Fd()), &st); err != nil || !s.Image.Has(st.Uid) || !s.Image.Has(st.Gid) {
		return own
	}
	return volume.Owner{UID: st.Uid, GID: st.Gid, Mode: st.Mode & 0o7777}
}

// runDirs are the directories the image has in /run, two levels deep: /run is a new tmpfs and services expect theirs.
func runDirs(image *os.File, has func(uint32) bool) []call.Dir {
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
			if e.Type() != fs.ModeDir || len(list) >= most || e.Name() == path.Base(privateDir) ||
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
