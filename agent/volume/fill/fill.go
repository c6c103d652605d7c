// Package fill copies what an image has at a path into a new, empty volume, and what a layer has there into the next layer.
//
// Owns: what is copied (directories, files with their holes, links, pipes; owners, modes, times, extended attributes) and how much.
// In: two open directories: one of a mounted image or of a layer, which may be an attacker's, and one that nobody else writes to.
// Out: the copy; an error that names the file, and says what to do when there is no room for it.
// Never: follows a link, goes into another file system, copies a device or a socket, or opens anything by a path of several names.
package fill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// The most that is copied.
const (
	maxEntries = 1 << 20
	maxDepth   = 128
	maxBytes   = 64 << 30 // as long as the files are, when the volume has no limit
)

// Options are the bounds of one copy.
type Options struct {
	Bytes int64             // the volume's limit: longer files together are not copied; 0 is none
	Has   func(uint32) bool // whether the container has a user or group id
	layer bool              // both are layers of an overlay: what it marks in them goes along
}

// Copy copies what from holds into to. Its result is on disk only after a sync. It ends with ctx.
func Copy(ctx context.Context, from, to *os.File, o Options) error {
	c := copier{ctx: ctx, o: o, to: to, links: map[uint64]string{}, left: maxBytes}
	if o.Bytes > 0 {
		c.left = o.Bytes
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(from.Fd()), &st); err != nil {
		return fmt.Errorf("look at %q of the image: %w", from.Name(), err)
	}
	c.dev = st.Dev
	src, err := open(from, ".", unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := c.dir(src, to, "", 0); err != nil {
		return explained(err, o.Bytes)
	}
	return explained(meta(src, to, &st, c.o), o.Bytes)
}

// errLong: the files are longer than the volume may be.
var errLong = errors.New("the files are too long")

// explained is err with what to do about it.
func explained(err error, limit int64) error {
	switch {
	case errors.Is(err, errLong) && limit > 0, errors.Is(err, unix.EDQUOT):
		return fmt.Errorf("fill it from the image: %w: the image has more than its %d KiB there; make the volume larger", err, limit>>10)
	case err != nil:
		return fmt.Errorf("fill it from the image: %w", err)
	}
	return nil
}

// copier is one Copy under way.
type copier struct {
	ctx     context.Context
	o       Options
	to      *os.File
	dev     uint64
	links   map[uint64]string // of files with several names: inode to the first one, below to
	entries int
	left    int64
	buf     []byte
}

// dir copies the entries of src, which lies at path below the top.
func (c *copier) dir(src, dst *os.File, path string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%q: lies deeper than %d directories", path, maxDepth)
	}
	for {
		entries, err := src.ReadDir(512)
		for _, e := range entries {
			if c.entries++; c.entries > maxEntries {
				return fmt.Errorf("%q: there are more than %d files", path, maxEntries)
			}
			if err := c.ctx.Err(); err != nil {
				return err
			}
			if err := c.entry(src, dst, e.Name(), path, depth); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || err == nil && len(entries) == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("list %q: %w", path, err)
		}
	}
}

// entry copies one. Devices and sockets are left out: a container could use neither.
func (c *copier) entry(src, dst *os.File, name, path string, depth int) error {
	path += "/" + name
	var st unix.Stat_t
	if err := unix.Fstatat(int(src.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("look at %q: %w", path, err)
	}
	if st.Dev != c.dev {
		return fmt.Errorf("%q: is another file system's", path)
	}
	if !c.o.Has(st.Uid) || !c.o.Has(st.Gid) {
		return fmt.Errorf("%q: belongs to user %d and group %d, which the container does not have", path, st.Uid, st.Gid)
	}
	if first, ok := c.links[st.Ino]; ok {
		if err := unix.Linkat(int(c.to.Fd()), first, int(dst.Fd()), name, 0); err != nil {
			return fmt.Errorf("link %q: %w", path, err)
		}
		return nil
	}
	var err error
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return c.subdir(src, dst, name, path, depth, &st)
	case unix.S_IFREG:
		err = c.file(src, dst, name, path, &st)
	case unix.S_IFLNK:
		err = link(src, dst, name, path, &st)
	case unix.S_IFIFO:
		if err = unix.Mknodat(int(dst.Fd()), name, unix.S_IFIFO|0o600, 0); err == nil {
			err = errors.Join(own(dst, name, &st), unix.Fchmodat(int(dst.Fd()), name, st.Mode&0o7777, 0))
		}
	case unix.S_IFCHR:
		if !c.o.layer || st.Rdev != 0 {
			return nil
		}
		err = unix.Mknodat(int(dst.Fd()), name, unix.S_IFCHR, 0) // what is below is deleted: a whiteout (overlayfs, "Whiteouts")
	default:
		return nil
	}
	if err != nil {
		return fmt.Errorf("copy %q: %w", path, err)
	}
	if st.Nlink > 1 && len(path) < unix.PathMax {
		c.links[st.Ino] = path[1:]
	}
	return nil
}

func (c *copier) subdir(src, dst *os.File, name, path string, depth int, st *unix.Stat_t) error {
	from, err := open(src, name, unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer from.Close()
	if err := unix.Mkdirat(int(dst.Fd()), name, 0o700); err != nil {
		return fmt.Errorf("make %q: %w", path, err)
	}
	to, err := open(dst, name, unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer to.Close()
	if err := c.dir(from, to, path, depth+1); err != nil {
		return err
	}
	if err := meta(from, to, st, c.o); err != nil {
		return fmt.Errorf("copy %q: %w", path, err)
	}
	return nil
}

// file copies a regular file. What is zero is left out as a hole.
func (c *copier) file(src, dst *os.File, name, path string, st *unix.Stat_t) error {
	if st.Size > c.left {
		return errLong
	}
	c.left -= st.Size
	from, err := open(src, name, unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	defer from.Close()
	fd, err := unix.Openat(int(dst.Fd()), name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	to := os.NewFile(uintptr(fd), path)
	defer to.Close()
	if c.buf == nil {
		c.buf = make([]byte, 256<<10)
	}
	var at int64
	for at < st.Size {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		n, err := from.ReadAt(c.buf[:min(int64(len(c.buf)), st.Size-at)], at)
		if n > 0 && !zero(c.buf[:n]) {
			if _, err := to.WriteAt(c.buf[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if err := to.Truncate(at); err != nil {
		return err
	}
	return meta(from, to, st, c.o)
}

func zero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

func link(src, dst *os.File, name, path string, st *unix.Stat_t) error {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(src.Fd()), name, buf)
	if err != nil {
		return err
	}
	if n == len(buf) {
		return fmt.Errorf("link %q: is longer than %d bytes", path, len(buf)-1)
	}
	if err := unix.Symlinkat(string(buf[:n]), int(dst.Fd()), name); err != nil {
		return err
	}
	return own(dst, name, st)
}

// own gives what has a name in dst its owner and times; it follows no link.
func own(dst *os.File, name string, st *unix.Stat_t) error {
	if err := unix.Fchownat(int(dst.Fd()), name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	return unix.UtimesNanoAt(int(dst.Fd()), name, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
}

// meta gives an open file or directory what the other has besides its content: in an order in which nothing takes away what was set.
func meta(from, to *os.File, st *unix.Stat_t, o Options) error {
	if !o.Has(st.Uid) || !o.Has(st.Gid) {
		return fmt.Errorf("it belongs to user %d and group %d, which the container does not have", st.Uid, st.Gid)
	}
	fd := int(to.Fd())
	if err := unix.Fchown(fd, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := attributes(from, to, o.layer); err != nil {
		return err
	}
	if err := unix.Fchmod(fd, st.Mode&0o7777); err != nil {
		return err
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), []unix.Timespec{st.Atim, st.Mtim}, 0)
}

// open opens a name directly below dir: no link, nothing of another file system.
func open(dir *os.File, name string, flags int) (*os.File, error) {
	fd, err := unix.Openat2(int(dir.Fd()), name, &unix.OpenHow{Flags: uint64(flags | unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}
