package serve

import (
	"errors"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/mount/message"
)

func lookup(c *call) unix.Errno {
	dir, errno := c.place(c.r.Node, c.names[0])
	if errno != 0 {
		return errno
	}
	defer unix.Close(dir)
	return c.entry(dir, c.names[0])
}

// entry answers with what a name is.
func (c *call) entry(dir int, name string) unix.Errno {
	var st unix.Stat_t
	if errno := c.v.child(dir, name, &st); errno != 0 {
		return errno
	}
	c.out = message.AppendEntry(c.out, c.v.node(st.Ino), c.v.shown(&st))
	return 0
}

// make makes something by its name, as the user whom the request names, and answers with what it is. mode are the permissions it shall
// have, whatever this process's umask is; 0 leaves them.
func (c *call) make(mode uint32, how func(dir int, name string) error) unix.Errno {
	if !c.v.has(c.r.UID) || !c.v.has(c.r.GID) {
		return unix.EPERM
	}
	dir, errno := c.place(c.r.Node, c.names[0])
	if errno != 0 {
		return errno
	}
	defer unix.Close(dir)
	if err := as(c.r.UID, c.r.GID, func() error { return how(dir, c.names[0]) }); err != nil {
		return code(err)
	}
	var st unix.Stat_t
	if errno := c.v.child(dir, c.names[0], &st); errno != 0 {
		return errno
	}
	if lacks := mode & 0o777 &^ st.Mode; lacks != 0 && st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if errno := c.v.chmod(c.v.node(st.Ino), st.Mode&0o7777|lacks, &st); errno != 0 {
			return errno
		}
	}
	c.out = message.AppendEntry(c.out, c.v.node(st.Ino), c.v.shown(&st))
	return 0
}

// chmod changes a file's mode and looks at it again.
func (v *Volume) chmod(node uint64, mode uint32, st *unix.Stat_t) unix.Errno {
	fd, errno := v.at(node, st)
	if errno != 0 {
		return errno
	}
	defer unix.Close(fd)
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return unix.EOPNOTSUPP
	}
	if err := unix.Chmod(self(fd), mode); err != nil {
		return code(err)
	}
	return code(unix.Fstat(fd, st))
}

func mkDir(c *call) unix.Errno {
	mode := c.u32(0) & 0o7777
	return c.make(mode, func(dir int, name string) error { return unix.Mkdirat(dir, name, mode) })
}

func mkNod(c *call) unix.Errno {
	mode := c.u32(0)
	switch mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFIFO, unix.S_IFSOCK:
	default:
		return unix.EPERM
	}
	return c.make(mode, func(dir int, name string) error { return unix.Mknodat(dir, name, mode, 0) })
}

func symLink(c *call) unix.Errno {
	return c.make(0, func(dir int, name string) error { return unix.Symlinkat(c.names[1], dir, name) })
}

func (c *call) unlink(flags int) unix.Errno {
	dir, errno := c.place(c.r.Node, c.names[0])
	if errno != 0 {
		return errno
	}
	defer unix.Close(dir)
	var st unix.Stat_t
	if errno := c.v.child(dir, c.names[0], &st); errno != 0 { // rmdir(2) would delete a subvolume that is empty
		return errno
	}
	return code(unix.Unlinkat(dir, c.names[0], flags))
}

func (c *call) rename(flags uint32) unix.Errno {
	if flags&^(unix.RENAME_NOREPLACE|unix.RENAME_EXCHANGE) != 0 {
		return unix.EINVAL
	}
	from, errno := c.place(c.r.Node, c.names[0])
	if errno != 0 {
		return errno
	}
	defer unix.Close(from)
	to, errno := c.place(c.u64(0), c.names[1])
	if errno != 0 {
		return errno
	}
	defer unix.Close(to)
	var st unix.Stat_t
	if errno := c.v.child(from, c.names[0], &st); errno != 0 {
		return errno
	}
	if errno := c.v.child(to, c.names[1], &st); errno != 0 && errno != unix.ENOENT {
		return errno
	}
	return code(unix.Renameat2(from, c.names[0], to, c.names[1], uint(flags)))
}

func link(c *call) unix.Errno {
	var st unix.Stat_t
	of, errno := c.v.at(c.u64(0), &st)
	if errno != 0 {
		return errno
	}
	defer unix.Close(of)
	dir, errno := c.place(c.r.Node, c.names[0])
	if errno != 0 {
		return errno
	}
	defer unix.Close(dir)
	if err := unix.Linkat(of, "", dir, c.names[0], unix.AT_EMPTY_PATH); err != nil {
		return code(err)
	}
	return c.entry(dir, c.names[0])
}

// create makes a regular file, or takes the one that is there, and opens it.
func create(c *call) unix.Errno {
	flags, mode := int(c.u32(0)), c.u32(4)&0o7777
	access := flags & unix.O_ACCMODE
	if errno := c.make(mode, func(dir int, name string) error {
		fd, err := unix.Openat(dir, name, access|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
		if err != nil {
			if errors.Is(err, unix.EEXIST) && flags&unix.O_EXCL == 0 {
				return nil // somebody was faster: make looks at it
			}
			return err
		}
		return unix.Close(fd)
	}); errno != 0 {
		return errno
	}
	return c.open(nodeOf(c.out[message.AnswerAt:]), access|flags&unix.O_TRUNC)
}
