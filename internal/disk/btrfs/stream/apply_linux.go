package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/disk/btrfs"
)

// Rules are what a stream may do.
type Rules struct {
	Has func(uint32) bool // whether there is a user or group of that number; nil: all are
}

// below is how paths of a stream are looked up: no link is followed, and nothing is found outside the top directory.
const below = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS

// keptXattrs are the extended attributes beside user. that are set; the others mean something to a host, and no container can set them.
var keptXattrs = []string{"system.posix_acl_access", "system.posix_acl_default", "security.capability"}

// applier makes a subvolume what a stream says.
type applier struct {
	top    *os.File
	parent *os.File // what clones may be of besides; nil: nothing
	own    btrfs.Identity
	from   btrfs.Identity // the parent's
	rules  Rules
	times  []unix.Timespec // of the top directory: new files are made in it before they get their places
	open   struct {        // the file written last
		path string
		file *os.File
	}
}

// all does the commands of a stream up to its End.
func (a *applier) all(ctx context.Context, r *Reader) error {
	defer a.shut()
	var st unix.Stat_t
	if err := unix.Fstat(int(a.top.Fd()), &st); err != nil {
		return err
	}
	a.times = []unix.Timespec{st.Atim, st.Mtim}
	var c Command
	for {
		err := r.Next(&c)
		if errors.Is(err, io.EOF) {
			return errors.Join(a.shut(), unix.UtimesNanoAt(int(a.top.Fd()), ".", a.times, 0))
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if err := a.one(&c); err != nil {
			return fmt.Errorf("%q: %w", "/"+c.Path, err)
		}
	}
}

// shut closes the file written last.
func (a *applier) shut() error {
	f := a.open.file
	a.open.file, a.open.path = nil, ""
	if f == nil {
		return nil
	}
	return f.Close()
}

// one does one command.
func (a *applier) one(c *Command) error {
	switch c.Kind {
	case End, FileAttr:
		return nil // flags of files: a container sets none but those it has from its directory
	case Write:
		return a.write(c)
	case Clone:
		return a.clone(c)
	case Truncate:
		f, err := a.file(c.Path)
		if err != nil {
			return err
		}
		return f.Truncate(int64(c.Size))
	}
	if err := a.shut(); err != nil { // its path may be another file's from here on
		return err
	}
	if c.Path == "" {
		return a.root(c)
	}
	dir, base, done, err := a.place(c.Path)
	if err != nil {
		return err
	}
	defer done()
	switch c.Kind {
	case MkFile:
		fd, err := unix.Openat(dir, base, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return err
		}
		return unix.Close(fd)
	case MkDir:
		return unix.Mkdirat(dir, base, 0o700)
	case MkNod:
		if c.Mode&unix.S_IFMT != unix.S_IFCHR || c.RDev != 0 {
			return fmt.Errorf("%w: it has a device, which no container can have made", ErrBroken)
		}
		return unix.Mknodat(dir, base, unix.S_IFCHR|0o600, 0) // how an overlay marks what is deleted
	case MkFIFO:
		return unix.Mknodat(dir, base, unix.S_IFIFO|0o600, 0)
	case MkSock:
		return unix.Mknodat(dir, base, unix.S_IFSOCK|0o600, 0)
	case Symlink:
		return unix.Symlinkat(c.To, dir, base)
	case Unlink:
		return unix.Unlinkat(dir, base, 0)
	case RmDir:
		return unix.Unlinkat(dir, base, unix.AT_REMOVEDIR)
	case Rename, Link:
		to, toBase, toDone, err := a.place(c.To)
		if err != nil {
			return err
		}
		defer toDone()
		if c.Kind == Link {
			return unix.Linkat(to, toBase, dir, base, 0)
		}
		return unix.Renameat(dir, base, to, toBase)
	case Chmod:
		return unix.Fchmodat(dir, base, uint32(c.Mode&0o7777), unix.AT_SYMLINK_NOFOLLOW)
	case Chown:
		if err := a.known(c); err != nil {
			return err
		}
		return unix.Fchownat(dir, base, int(c.UID), int(c.GID), unix.AT_SYMLINK_NOFOLLOW)
	case UTimes:
		return unix.UtimesNanoAt(dir, base, c.times(), unix.AT_SYMLINK_NOFOLLOW)
	case SetXattr, RemoveXattr:
		return a.attribute(c, "/proc/self/fd/"+strconv.Itoa(dir)+"/"+base)
	}
	return fmt.Errorf("%w: command %d is out of place", ErrBroken, c.Kind)
}

// root does what is done to the top directory itself.
func (a *applier) root(c *Command) error {
	fd := int(a.top.Fd())
	switch c.Kind {
	case Chmod:
		return unix.Fchmod(fd, uint32(c.Mode&0o7777))
	case Chown:
		if err := a.known(c); err != nil {
			return err
		}
		return unix.Fchown(fd, int(c.UID), int(c.GID))
	case UTimes:
		a.times = c.times()
		return nil
	case SetXattr, RemoveXattr:
		return a.attribute(c, "/proc/self/fd/"+strconv.Itoa(fd)+"/.")
	}
	return fmt.Errorf("%w: command %d is about the top directory", ErrBroken, c.Kind)
}

// place opens the directory that holds path, and tells its name there. done closes it.
func (a *applier) place(path string) (dir int, base string, done func(), err error) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		if path == "" {
			return 0, "", nil, fmt.Errorf("%w: the top directory has no name", ErrBroken)
		}
		return int(a.top.Fd()), path, func() {}, nil
	}
	dir, err = unix.Openat2(int(a.top.Fd()), path[:i],
		&unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: below})
	if err != nil {
		return 0, "", nil, fmt.Errorf("open its directory: %w", err)
	}
	return dir, path[i+1:], func() { unix.Close(dir) }, nil
}

// file opens a file for writing; it stays open until another command comes.
func (a *applier) file(path string) (*os.File, error) {
	if a.open.file != nil && a.open.path == path {
		return a.open.file, nil
	}
	if err := a.shut(); err != nil {
		return nil, err
	}
	f, err := regular(a.top, path, unix.O_WRONLY)
	if err == nil {
		a.open.file, a.open.path = f, path
	}
	return f, err
}

// regular opens a file that is one.
func regular(top *os.File, path string, flags uint64) (*os.File, error) {
	fd, err := unix.Openat2(int(top.Fd()), path, &unix.OpenHow{
		Flags: flags | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC, Resolve: below})
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		unix.Close(fd)
		return nil, errors.Join(err, fmt.Errorf("%w: it is no file", ErrBroken))
	}
	return os.NewFile(uintptr(fd), path), nil
}

func (a *applier) write(c *Command) error {
	f, err := a.file(c.Path)
	if err != nil {
		return err
	}
	if int64(c.Offset) < 0 {
		return fmt.Errorf("%w: it writes at %d", ErrBroken, c.Offset)
	}
	_, err = f.WriteAt(c.Data, int64(c.Offset))
	return err
}

// clone shares bytes of a file of the subvolume itself, or of its parent (FICLONERANGE).
func (a *applier) clone(c *Command) error {
	top := a.top
	switch {
	case c.From.UUID == a.own.UUID:
	case a.parent != nil && c.From == a.from:
		top = a.parent
	default:
		return fmt.Errorf("%w: it shares what is neither its own nor its parent's", ErrBroken)
	}
	from, err := regular(top, c.FromPath, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := a.file(c.Path)
	if err != nil {
		return err
	}
	return unix.IoctlFileCloneRange(int(to.Fd()), &unix.FileCloneRange{Src_fd: int64(from.Fd()), Src_offset: c.FromOffset,
		Src_length: c.Length, Dest_offset: c.Offset})
}

// known refuses owners that the container does not have.
func (a *applier) known(c *Command) error {
	for _, id := range []uint64{c.UID, c.GID} {
		if id >= 1<<32-1 || a.rules.Has != nil && !a.rules.Has(uint32(id)) {
			return fmt.Errorf("%w: it belongs to %d, which the container does not have", ErrBroken, id)
		}
	}
	return nil
}

func (c *Command) times() []unix.Timespec {
	return []unix.Timespec{{Sec: c.Atime.Sec, Nsec: int64(c.Atime.Nsec)}, {Sec: c.Mtime.Sec, Nsec: int64(c.Mtime.Nsec)}}
}

// attribute sets or removes one. The path's last part is not followed.
func (a *applier) attribute(c *Command, path string) error {
	if !strings.HasPrefix(c.Name, "user.") && !slices.Contains(keptXattrs, c.Name) {
		return nil
	}
	if c.Kind == RemoveXattr {
		if err := unix.Lremovexattr(path, c.Name); !errors.Is(err, unix.ENODATA) {
			return err
		}
		return nil
	}
	return unix.Lsetxattr(path, c.Name, c.Data, 0)
}
