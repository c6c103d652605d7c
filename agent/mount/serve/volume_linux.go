package serve

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/mount/message"
)

// Volume is a subvolume that is served. A file is known by its number in it (st_ino), which btrfs never uses twice: nothing of a file need
// be remembered between two requests, and no name leads out of it. Make one with Open.
type Volume struct {
	root  *os.File
	dev   uint64 // of the subvolume: a subvolume that a container made below it has another
	top   uint64 // number of the top directory
	byNum func(number uint64, flags int) (fd int, err error)
	has   func(id uint32) bool
	space func() (limit, used int64, err error)
}

// Options say what is special to a volume.
type Options struct {
	Has   func(id uint32) bool                  // whether the containers have a user or group id
	Space func() (limit, used int64, err error) // its quota and what of it is used; limit 0 is none
}

// Open prepares the volume whose top directory is root, which it closes in the end. The calls need CAP_DAC_READ_SEARCH
// (open_by_handle_at(2)).
func Open(root *os.File, o Options) (*Volume, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(root.Fd()), &st); err != nil {
		return nil, fmt.Errorf("look at volume %q: %w", root.Name(), err)
	}
	h, _, err := unix.NameToHandleAt(int(root.Fd()), "", unix.AT_EMPTY_PATH)
	if err != nil {
		return nil, fmt.Errorf("find the form of file handles of volume %q: %w", root.Name(), err)
	}
	number, err := numbered(h, st.Ino)
	if err != nil {
		return nil, fmt.Errorf("volume %q: %w", root.Name(), err)
	}
	return &Volume{root: root, dev: st.Dev, top: st.Ino, has: o.Has, space: o.Space,
		byNum: func(n uint64, flags int) (int, error) {
			return unix.OpenByHandleAt(int(root.Fd()), number(n), flags|unix.O_CLOEXEC)
		}}, nil
}

// The forms of handles that have a file's number (fs/btrfs/export.h; fs/exportfs, FILEID_INO32_GEN).
const (
	handleBtrfs = 0x4d // number, subvolume, generation: 8, 8 and 4 bytes
	handleInode = 1    // number, generation: 4 bytes each
)

// numbered makes handles like h of other numbers. The generation 0 is any: numbers are not used twice.
func numbered(h unix.FileHandle, top uint64) (func(uint64) unix.FileHandle, error) {
	b := h.Bytes()
	switch {
	case h.Type() == handleBtrfs && len(b) == 20 && binary.LittleEndian.Uint64(b) == top:
		return func(n uint64) unix.FileHandle {
			c := append([]byte{}, b...)
			binary.LittleEndian.PutUint64(c, n)
			binary.LittleEndian.PutUint32(c[16:], 0)
			return unix.NewFileHandle(handleBtrfs, c)
		}, nil
	case h.Type() == handleInode && len(b) == 8 && uint64(binary.LittleEndian.Uint32(b)) == top: // ext4, in tests
		return func(n uint64) unix.FileHandle {
			c := make([]byte, 8)
			binary.LittleEndian.PutUint32(c, uint32(min(n, 1<<32-1)))
			return unix.NewFileHandle(handleInode, c)
		}, nil
	}
	return nil, fmt.Errorf("its file system has handles of another form (%d, %d bytes)", h.Type(), len(b))
}

// Close ends it.
func (v *Volume) Close() error { return v.root.Close() }

// number is a node's number in the file system, node the other way.
func (v *Volume) number(node uint64) uint64 {
	if node == message.Root {
		return v.top
	}
	return node
}

func (v *Volume) node(number uint64) uint64 {
	if number == v.top {
		return message.Root
	}
	return number
}

// at opens a node as a place (O_PATH) and looks at it. What lies in another subvolume is not there.
func (v *Volume) at(node uint64, st *unix.Stat_t) (fd int, errno unix.Errno) {
	fd, err := v.byNum(v.number(node), unix.O_PATH|unix.O_NOFOLLOW)
	if err == nil {
		if err = unix.Fstat(fd, st); err == nil && st.Dev != v.dev {
			err = unix.ESTALE
		}
		if err != nil {
			unix.Close(fd)
		}
	}
	return fd, code(err)
}

// dir is at for a directory.
func (v *Volume) dir(node uint64) (fd int, errno unix.Errno) {
	var st unix.Stat_t
	fd, errno = v.at(node, &st)
	if errno == 0 && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		unix.Close(fd)
		errno = unix.ENOTDIR
	}
	return fd, errno
}

// openNode opens a regular file or a directory by its number. Anything else is not opened: that alone can do something.
func (v *Volume) openNode(node uint64, flags int) (*os.File, unix.Errno) {
	var st unix.Stat_t
	fd, errno := v.at(node, &st)
	if errno != 0 {
		return nil, errno
	}
	unix.Close(fd)
	switch kind := st.Mode & unix.S_IFMT; {
	case flags&unix.O_DIRECTORY != 0 && kind != unix.S_IFDIR:
		return nil, unix.ENOTDIR
	case flags&unix.O_DIRECTORY == 0 && kind == unix.S_IFDIR:
		return nil, unix.EISDIR
	case kind != unix.S_IFREG && kind != unix.S_IFDIR:
		return nil, unix.ENXIO
	}
	fd, err := v.byNum(v.number(node), flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return nil, code(err)
	}
	return os.NewFile(uintptr(fd), "file"), 0
}

// child looks at a name in a directory.
func (v *Volume) child(dir int, name string, st *unix.Stat_t) unix.Errno {
	if err := unix.Fstatat(dir, name, st, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT); err != nil {
		return code(err)
	}
	if st.Dev != v.dev {
		return unix.EXDEV
	}
	return 0
}

// nobody is shown for an id that the containers don't have.
const nobody = 65534

// shown is what is told of a file: in ids that the containers have.
func (v *Volume) shown(st *unix.Stat_t) *unix.Stat_t {
	if !v.has(st.Uid) {
		st.Uid = nobody
	}
	if !v.has(st.Gid) {
		st.Gid = nobody
	}
	return st
}

// code is the number of a system call's error; of any other, EIO.
func code(err error) unix.Errno {
	var errno unix.Errno
	if err == nil || errors.As(err, &errno) {
		return errno
	}
	return unix.EIO
}
