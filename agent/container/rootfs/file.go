package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/container/spec"
	"hardnode.dev/internal/wire/host"
)

// WriteFile makes one file and the directories above it, owned by the container's process.
func WriteFile(root int, f host.File, uid, gid uint32) error {
	rel, err := spec.FilePath(f.Path)
	if err != nil {
		return err
	}
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
