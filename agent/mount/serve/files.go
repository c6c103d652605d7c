package serve

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/mount/message"
)

// self is a path to an open descriptor, for calls that take no other.
func self(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

// nodeOf is the node of an entry (AppendEntry).
func nodeOf(entry []byte) uint64 { return binary.LittleEndian.Uint64(entry) }

func getAttr(c *call) unix.Errno {
	const byHandle = 1
	var st unix.Stat_t
	c.s.mu.Lock()
	o, ok := c.s.mu.open[c.u64(8)]
	c.s.mu.Unlock()
	if ok && o.node == c.r.Node && c.u32(0)&byHandle != 0 { // it may have no name any more
		if err := control(o.f, func(fd int) error { return unix.Fstat(fd, &st) }); err != nil {
			return code(err)
		}
	} else {
		fd, errno := c.v.at(c.r.Node, &st)
		if errno != 0 {
			return errno
		}
		unix.Close(fd)
	}
	c.out = message.AppendAttrOut(c.out, c.r.Node, c.v.shown(&st))
	return 0
}

func open(c *call) unix.Errno { return c.open(c.r.Node, int(c.u32(0))&(unix.O_ACCMODE|unix.O_TRUNC)) }

// open opens a regular file for the other side, and answers with what it is known by.
func (c *call) open(node uint64, flags int) unix.Errno {
	if (flags&unix.O_ACCMODE != unix.O_RDONLY || flags&unix.O_TRUNC != 0) && c.s.readOnly {
		return unix.EROFS
	}
	f, errno := c.v.openNode(node, flags)
	if errno != 0 {
		return errno
	}
	handle, errno := c.s.keep(node, f)
	if errno == 0 {
		c.out = message.AppendOpen(c.out, handle)
	}
	return errno
}

func release(c *call) unix.Errno {
	c.s.release(c.u64(0))
	return 0
}

func read(c *call) unix.Errno {
	size, at := c.u32(16), c.u64(8)
	if size > message.MaxData || at > 1<<62 {
		return unix.EINVAL
	}
	f, done, errno := c.s.file(c.r.Node, c.u64(0), unix.O_RDONLY)
	if errno != 0 {
		return errno
	}
	defer done()
	b := c.out[len(c.out):cap(c.out)]
	n, err := f.ReadAt(b[:min(int(size), len(b))], int64(at))
	if err != nil && !errors.Is(err, io.EOF) {
		return code(err)
	}
	c.out = c.out[:len(c.out)+n]
	return 0
}

func write(c *call) unix.Errno {
	at := c.u64(8)
	if int(c.u32(16)) != len(c.data) || len(c.data) > message.MaxData || at > 1<<62 {
		return unix.EINVAL
	}
	f, done, errno := c.s.file(c.r.Node, c.u64(0), unix.O_RDWR)
	if errno != 0 {
		return errno
	}
	defer done()
	const fromCache = 1 // FUSE_WRITE_CACHE: pages of a mapping, which lie where they lie
	n := 0
	var err error
	if appends := c.u32(32)&unix.O_APPEND != 0 && c.u32(20)&fromCache == 0; appends {
		n, err = appendTo(f, c.data)
	} else {
		n, err = f.WriteAt(c.data, int64(at))
	}
	if n == 0 && err != nil {
		return code(err)
	}
	c.out = binary.LittleEndian.AppendUint32(c.out, uint32(n))
	c.out = binary.LittleEndian.AppendUint32(c.out, 0)
	return 0
}

func fsync(c *call) unix.Errno {
	const dataOnly = 1
	handle := c.u64(0)
	if uint32(handle>>32) != c.s.boot {
		return unix.EIO // opened before this machine was started: what was written then may be lost
	}
	f, done, errno := c.s.file(c.r.Node, handle, unix.O_RDONLY)
	if errno != 0 {
		return errno
	}
	defer done()
	return code(syncFile(f, c.u32(8)&dataOnly != 0))
}

func fsyncDir(c *call) unix.Errno {
	f, errno := c.v.openNode(c.r.Node, unix.O_RDONLY|unix.O_DIRECTORY)
	if errno != 0 {
		return errno
	}
	defer f.Close()
	return code(f.Sync())
}

func fallocate(c *call) unix.Errno {
	mode, at, n := c.u32(24), c.u64(8), c.u64(16)
	if mode&^(unix.FALLOC_FL_KEEP_SIZE|unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_ZERO_RANGE) != 0 {
		return unix.EOPNOTSUPP
	}
	if at > 1<<62 || n > 1<<62 {
		return unix.EFBIG
	}
	f, done, errno := c.s.file(c.r.Node, c.u64(0), unix.O_RDWR)
	if errno != 0 {
		return errno
	}
	defer done()
	return code(control(f, func(fd int) error { return unix.Fallocate(fd, mode, int64(at), int64(n)) }))
}

func lseek(c *call) unix.Errno {
	whence := int(c.u32(16))
	if whence != unix.SEEK_DATA && whence != unix.SEEK_HOLE {
		return unix.EINVAL
	}
	f, errno := c.v.openNode(c.r.Node, unix.O_RDONLY) // one of its own: the place is not shared
	if errno != 0 {
		return errno
	}
	defer f.Close()
	at, err := f.Seek(int64(c.u64(8)), whence)
	if err != nil {
		return code(err)
	}
	c.out = binary.LittleEndian.AppendUint64(c.out, uint64(at))
	return 0
}

func readLink(c *call) unix.Errno {
	var st unix.Stat_t
	fd, errno := c.v.at(c.r.Node, &st)
	if errno != 0 {
		return errno
	}
	defer unix.Close(fd)
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return unix.EINVAL
	}
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", b)
	if err != nil {
		return code(err)
	}
	c.out = append(c.out, b[:n]...)
	return 0
}

// What setAttr may be asked for (FATTR_).
const (
	setMode     = 1 << 0
	setUID      = 1 << 1
	setGID      = 1 << 2
	setSize     = 1 << 3
	setAtime    = 1 << 4
	setMtime    = 1 << 5
	byHandle    = 1 << 6
	setAtimeNow = 1 << 7
	setMtimeNow = 1 << 8
)

func setAttr(c *call) unix.Errno {
	var st unix.Stat_t
	fd, errno := c.v.at(c.r.Node, &st)
	if errno != 0 {
		return errno
	}
	defer unix.Close(fd)
	valid := c.u32(0)
	if valid&setSize != 0 {
		if errno := c.truncate(valid&byHandle != 0); errno != 0 {
			return errno
		}
	}
	if uid, gid := int(int32(c.u32(76))), int(int32(c.u32(80))); valid&(setUID|setGID) != 0 {
		if valid&setUID == 0 {
			uid = -1
		}
		if valid&setGID == 0 {
			gid = -1
		}
		if uid != -1 && !c.v.has(uint32(uid)) || gid != -1 && !c.v.has(uint32(gid)) {
			return unix.EPERM
		}
		if err := unix.Fchownat(fd, "", uid, gid, unix.AT_EMPTY_PATH); err != nil {
			return code(err)
		}
	}
	if valid&setMode != 0 {
		if errno := c.v.chmod(c.r.Node, c.u32(68)&0o7777, &st); errno != 0 {
			return errno
		}
	}
	if valid&(setAtime|setMtime) != 0 {
		times := []unix.Timespec{c.time(valid, setAtime, setAtimeNow, 32, 56), c.time(valid, setMtime, setMtimeNow, 40, 60)}
		if err := unix.UtimesNanoAt(fd, "", times, unix.AT_EMPTY_PATH); err != nil {
			return code(err)
		}
	}
	if err := unix.Fstat(fd, &st); err != nil {
		return code(err)
	}
	c.out = message.AppendAttrOut(c.out, c.r.Node, c.v.shown(&st))
	return 0
}

func (c *call) time(valid, set, now uint32, sec, nsec int) unix.Timespec {
	switch {
	case valid&set == 0:
		return unix.Timespec{Nsec: unix.UTIME_OMIT}
	case valid&now != 0:
		return unix.Timespec{Nsec: unix.UTIME_NOW}
	}
	return unix.Timespec{Sec: int64(c.u64(sec)), Nsec: int64(min(c.u32(nsec), 999_999_999))}
}

func (c *call) truncate(handle bool) unix.Errno {
	size := c.u64(16)
	if size > 1<<62 {
		return unix.EFBIG
	}
	number := uint64(0)
	if handle {
		number = c.u64(8)
	}
	f, done, errno := c.s.file(c.r.Node, number, unix.O_RDWR)
	if errno != 0 {
		return errno
	}
	defer done()
	return code(f.Truncate(int64(size)))
}

func statFS(c *call) unix.Errno {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(c.v.root.Fd()), &st); err != nil {
		return code(err)
	}
	blocks, free := st.Blocks, st.Bavail
	if limit, used, err := c.v.space(); err == nil && limit > 0 {
		blocks = uint64(limit) / uint64(st.Bsize)
		free = min(free, blocks-min(blocks, uint64(used)/uint64(st.Bsize)))
	}
	for _, v := range []uint64{blocks, free, free, st.Files, st.Ffree} {
		c.out = binary.LittleEndian.AppendUint64(c.out, v)
	}
	for _, v := range []uint32{uint32(st.Bsize), 255, uint32(st.Bsize), 0, 0, 0, 0, 0, 0, 0} {
		c.out = binary.LittleEndian.AppendUint32(c.out, v)
	}
	return 0
}

// xattr opens a file for its attributes; those of users alone are told of: all others have a meaning to this host's kernel.
func (c *call) xattr(name string) (path string, done func(), errno unix.Errno) {
	if !strings.HasPrefix(name, "user.") || len(name) > 255 {
		return "", nil, unix.EOPNOTSUPP
	}
	var st unix.Stat_t
	fd, errno := c.v.at(c.r.Node, &st)
	if errno != 0 {
		return "", nil, errno
	}
	if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFREG && kind != unix.S_IFDIR {
		unix.Close(fd)
		return "", nil, unix.EPERM
	}
	return self(fd), func() { unix.Close(fd) }, 0
}

func setXattr(c *call) unix.Errno {
	if int(c.u32(0)) != len(c.data) {
		return unix.EINVAL
	}
	path, done, errno := c.xattr(c.names[0])
	if errno != 0 {
		return errno
	}
	defer done()
	return code(unix.Setxattr(path, c.names[0], c.data, int(c.u32(4))&(unix.XATTR_CREATE|unix.XATTR_REPLACE)))
}

func removeXattr(c *call) unix.Errno {
	path, done, errno := c.xattr(c.names[0])
	if errno != 0 {
		return errno
	}
	defer done()
	return code(unix.Removexattr(path, c.names[0]))
}

func getXattr(c *call) unix.Errno {
	path, done, errno := c.xattr(c.names[0])
	if errno != 0 {
		return errno
	}
	defer done()
	b := make([]byte, maxXattr)
	n, err := unix.Getxattr(path, c.names[0], b)
	if err != nil {
		return code(err)
	}
	return c.sized(b[:n])
}

const maxXattr = 64 << 10 // of a value, and of all names (xattr(7))

func listXattr(c *call) unix.Errno {
	path, done, errno := c.xattr("user.")
	if errno != 0 {
		return errno
	}
	defer done()
	b := make([]byte, maxXattr)
	n, err := unix.Listxattr(path, b)
	if err != nil {
		return code(err)
	}
	var names []byte
	for name := range strings.SplitSeq(string(b[:n]), "\x00") {
		if strings.HasPrefix(name, "user.") {
			names = append(append(names, name...), 0)
		}
	}
	return c.sized(names)
}

// sized answers with b, or with its size where that is asked for.
func (c *call) sized(b []byte) unix.Errno {
	switch room := int(c.u32(0)); {
	case room == 0:
		c.out = binary.LittleEndian.AppendUint64(c.out, uint64(len(b)))
	case room < len(b):
		return unix.ERANGE
	default:
		c.out = append(c.out, b...)
	}
	return 0
}

// list answers with names of a directory from a place on; with what each is, where plus asks for it.
func (c *call) list(plus bool) unix.Errno {
	room := int(c.u32(16))
	if room > message.MaxData {
		return unix.EINVAL
	}
	f, errno := c.v.openNode(c.r.Node, unix.O_RDONLY|unix.O_DIRECTORY)
	if errno != 0 {
		return errno
	}
	defer f.Close()
	if _, err := f.Seek(int64(c.u64(8)), io.SeekStart); err != nil {
		return code(err)
	}
	return code(control(f, func(fd int) error {
		buf := make([]byte, min(room, 32<<10))
		n, err := unix.Getdents(fd, buf)
		if err != nil {
			return err
		}
		c.listed(fd, buf[:n], room, plus)
		return nil
	}))
}

// listed adds what the kernel gave (struct linux_dirent64) as far as there is room.
func (c *call) listed(dir int, buf []byte, room int, plus bool) {
	le := binary.LittleEndian
	for len(buf) >= 19 {
		size := int(le.Uint16(buf[16:]))
		if size < 19 || size > len(buf) {
			return
		}
		number, next, kind := le.Uint64(buf), le.Uint64(buf[8:]), buf[18]
		name, _, _ := strings.Cut(string(buf[19:size]), "\x00")
		buf = buf[size:]
		need := message.NameSize(name)
		if plus {
			need += message.EntrySize
		}
		if len(c.out)-message.AnswerAt+need > room {
			return
		}
		var st unix.Stat_t
		switch {
		case plus && name != "." && name != ".." && c.v.child(dir, name, &st) == 0:
			c.out = message.AppendEntry(c.out, c.v.node(st.Ino), c.v.shown(&st))
		case plus: // the kernel asks for it when it is wanted
			c.out = append(c.out, make([]byte, message.EntrySize)...)
		}
		c.out = message.AppendName(c.out, c.v.node(number), next, kind, name)
	}
}
