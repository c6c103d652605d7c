package programs

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
)

// most is the size of a root's filesystem, in bytes: some four times what the programs need.
const most = 192 << 20

// Unpack makes the root of a UKI, which must be size bytes with the digest; work is a folder on a disk, for a file that is gone when it
// returns. A root that is there already is left as it is.
func Unpack(uki io.ReaderAt, size int64, digest wire.Digest, work, root string) error {
	if there, err := sys.IsMountpoint(root); err == nil && there {
		return nil
	}
	switch is, err := digestOf(io.NewSectionReader(uki, 0, size)); {
	case err != nil:
		return fmt.Errorf("read the system: %w", err)
	case is != digest:
		return fmt.Errorf("the system has the digest %s, not %s", is, digest)
	}
	parts, err := Made(uki)
	if err != nil {
		return err
	}
	initrd, err := Section(uki, ".initrd")
	if err != nil {
		return err
	}
	image, err := rootOf(initrd)
	if err != nil {
		return err
	}
	from, err := opened(image, work)
	if err != nil {
		return fmt.Errorf("open the root of the system: %w", err)
	}
	defer from.Close()
	to, err := sys.NewMount("tmpfs", sys.NoSuid|sys.NoDev, [2]string{"size", strconv.Itoa(most)}, [2]string{"mode", "755"})
	if err != nil {
		return err
	}
	defer to.Close()
	if err := copyAll(from, to, wanted(parts)); err != nil {
		return err
	}
	if err := sys.Restrict(to, unix.MOUNT_ATTR_RDONLY); err != nil {
		return err
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	return sys.Attach(to, root)
}

// opened mounts a filesystem image, attached nowhere: by a file of a disk, which the mount alone holds then.
func opened(image io.Reader, work string) (*os.File, error) {
	f, err := os.CreateTemp(work, "root-*")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	defer os.Remove(f.Name())
	if _, err := io.Copy(f, image); err != nil {
		return nil, err
	}
	return sys.NewMount("erofs", sys.ReadOnly|sys.NoSuid|sys.NoDev, [2]string{"source", f.Name()}, [2]string{"ro", ""})
}

// copyAll copies the programs from the root of a system into another root.
func copyAll(from, to *os.File, want map[string]wire.Digest) error {
	dir := ""
	for name := range strings.SplitSeq(strings.Trim(boot.ProgramsDir, "/"), "/") {
		dir = filepath.Join(dir, name)
		if err := unix.Mkdirat(int(to.Fd()), dir, 0o755); err != nil {
			return fmt.Errorf("make a root: %w", err)
		}
	}
	for name, digest := range want {
		if err := copyOne(from, to, filepath.Join(dir, name), digest); err != nil {
			return fmt.Errorf("take %s out of the system: %w", name, err)
		}
	}
	return nil
}

func copyOne(from, to *os.File, path string, digest wire.Digest) error {
	in, err := sys.OpenIn(from, path, unix.O_RDONLY|unix.O_NOFOLLOW)
	if err != nil {
		return err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return errors.New("it is no file")
	}
	fd, err := unix.Openat(int(to.Fd()), path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, uint32(st.Mode().Perm()))
	if err != nil {
		return err
	}
	out := os.NewFile(uintptr(fd), path)
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(out, h), in); err != nil {
		out.Close()
		return err
	}
	if is := wire.Digest("sha256:" + hex.EncodeToString(h.Sum(nil))); digest != "" && is != digest {
		out.Close()
		return fmt.Errorf("it has the digest %s, not %s", is, digest)
	}
	return out.Close()
}

// DigestOf is that of a program's file.
func DigestOf(path string) (wire.Digest, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return digestOf(f)
}

// Clean removes the roots that no program is to run from any more; keep are files of those that stay.
func Clean(keep []string) error {
	names, err := os.ReadDir(boot.RootsDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list roots: %w", err)
	}
	for _, n := range names {
		root := filepath.Join(boot.RootsDir, n.Name())
		if slices.ContainsFunc(keep, func(p string) bool { return strings.HasPrefix(p, root+"/") }) {
			continue
		}
		if e := errors.Join(sys.Detach(root), os.Remove(root)); e != nil {
			err = errors.Join(err, fmt.Errorf("remove root %q: %w", root, e))
		}
	}
	return err
}
