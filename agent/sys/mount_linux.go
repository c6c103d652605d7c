package sys

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Mount attributes of Restrict.
const (
	ReadOnly = unix.MOUNT_ATTR_RDONLY
	NoSuid   = unix.MOUNT_ATTR_NOSUID
	NoDev    = unix.MOUNT_ATTR_NODEV
	NoExec   = unix.MOUNT_ATTR_NOEXEC
)

// Open opens a directory or file as a place (O_PATH), not following a symbolic link in its last part.
func Open(path string) (*os.File, error) {
	return open(unix.AT_FDCWD, path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC)
}

// OpenDir opens a directory for the calls of this package, not following a symbolic link in its last part.
func OpenDir(path string) (*os.File, error) {
	return open(unix.AT_FDCWD, path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC)
}

func open(dir int, path string, flags int) (*os.File, error) {
	fd, err := unix.Openat(dir, path, flags, 0)
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// OpenIn opens path as if root were "/": links of the tree stay in it, magic links are refused.
func OpenIn(root *os.File, path string, flags int) (*os.File, error) {
	return openIn(root, path, flags, 0)
}

// OpenOn is OpenIn that enters no other mount: a file system that answers slowly, or that this program itself answers for, is not asked.
func OpenOn(root *os.File, path string, flags int) (*os.File, error) {
	return openIn(root, path, flags, unix.RESOLVE_NO_XDEV)
}

// OpenPlain is OpenIn of a path without links: what is found lies at that very path, so in no mount that a container was given elsewhere.
func OpenPlain(root *os.File, path string, flags int) (*os.File, error) {
	return openIn(root, path, flags, unix.RESOLVE_NO_SYMLINKS)
}

func openIn(root *os.File, path string, flags int, resolve uint64) (*os.File, error) {
	fd, err := unix.Openat2(int(root.Fd()), path, &unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS | resolve})
	if err != nil {
		return nil, fmt.Errorf("open %q in %q: %w", path, root.Name(), err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// CloneMount copies the mount at place, or the part of it below place, attached nowhere, with more attributes. The copy is in no peer
// group: what somebody mounts over it later stays where it is (mount_namespaces(7); open_tree alone leaves it with its original's peers).
func CloneMount(place *os.File, attrs uint64) (*os.File, error) {
	fd, err := unix.OpenTree(int(place.Fd()), "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return nil, fmt.Errorf("copy mount %q: %w", place.Name(), err)
	}
	tree := os.NewFile(uintptr(fd), place.Name())
	if err := setattr("restrict mount", tree, unix.MountAttr{Attr_set: attrs, Propagation: unix.MS_PRIVATE}); err != nil {
		tree.Close()
		return nil, err
	}
	return tree, nil
}

// Restrict adds attributes to a mount that is attached nowhere.
func Restrict(tree *os.File, attrs uint64) error {
	return setattr("restrict mount", tree, unix.MountAttr{Attr_set: attrs})
}

// MapIDs maps the ids of a mount that is attached nowhere as a user namespace says; once for each mount (mount_setattr(2)).
func MapIDs(tree, userns *os.File) error {
	return setattr("map ids of mount", tree, unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(userns.Fd())})
}

func setattr(what string, tree *os.File, a unix.MountAttr) error {
	if err := unix.MountSetattr(int(tree.Fd()), "", unix.AT_EMPTY_PATH, &a); err != nil {
		return fmt.Errorf("%s %q: %w", what, tree.Name(), err)
	}
	return nil
}

// NewMount makes a filesystem of a kind (options are key, value pairs; an empty value is a flag), attached nowhere.
func NewMount(kind string, attrs int, options ...[2]string) (*os.File, error) {
	fs, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open filesystem %s: %w", kind, err)
	}
	defer unix.Close(fs)
	for _, o := range options {
		if o[1] == "" {
			err = unix.FsconfigSetFlag(fs, o[0])
		} else {
			err = unix.FsconfigSetString(fs, o[0], o[1])
		}
		if err != nil {
			return nil, fmt.Errorf("set %s=%q of %s: %w", o[0], o[1], kind, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, fmt.Errorf("create %s: %w%s", kind, err, kernelSays(fs))
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attrs)
	if err != nil {
		return nil, fmt.Errorf("mount %s: %w", kind, err)
	}
	return os.NewFile(uintptr(fd), kind), nil
}

// kernelSays is the message the kernel left on a filesystem context.
func kernelSays(fs int) string {
	b := make([]byte, 512)
	if n, err := unix.Read(fs, b); err == nil && n > 2 {
		return " (" + string(b[2:n]) + ")"
	}
	return ""
}

// Attach puts a mount at a directory.
func Attach(tree *os.File, path string) error {
	if err := unix.MoveMount(int(tree.Fd()), "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("attach %s to %q: %w", tree.Name(), path, err)
	}
	return nil
}

// Detach unmounts path, at once for new users and finally with its last one. Nothing mounted there is no error.
func Detach(path string) error {
	if err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) &&
		!errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %q: %w", path, err)
	}
	return nil
}

// ResizeTmpfs changes the size of a tmpfs by its top directory. What is no tmpfs, or holds more than that, is an error.
func ResizeTmpfs(dir *os.File, bytes int64) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(dir.Fd()), &st); err != nil || st.Type != unix.TMPFS_MAGIC {
		return fmt.Errorf("resize %q: is no tmpfs (%v)", dir.Name(), err)
	}
	fs, err := unix.Fspick(int(dir.Fd()), "", unix.FSPICK_CLOEXEC|unix.FSPICK_EMPTY_PATH)
	if err != nil {
		return fmt.Errorf("resize %q: %w", dir.Name(), err)
	}
	defer unix.Close(fs)
	if err := errors.Join(unix.FsconfigSetString(fs, "size", strconv.FormatInt(bytes, 10)), unix.FsconfigReconfigure(fs)); err != nil {
		return fmt.Errorf("resize %q: %w%s", dir.Name(), err, kernelSays(fs))
	}
	return nil
}

// IsMountpoint tells whether something is mounted at path itself.
func IsMountpoint(path string) (bool, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, 0, &st); err != nil {
		return false, fmt.Errorf("look at %q: %w", path, err)
	}
	return st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, nil
}
