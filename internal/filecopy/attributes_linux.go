package filecopy

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// listAttributes are the names of a file's extended attributes; none where its file system has no such thing.
func listAttributes(f *os.File) ([]string, error) {
	b := make([]byte, 4<<10)
	n, err := unix.Flistxattr(int(f.Fd()), b)
	if errors.Is(err, unix.ERANGE) {
		b = make([]byte, maxAttribute) // the kernel's own limit
		n, err = unix.Flistxattr(int(f.Fd()), b)
	}
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS) || err == nil && n == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(b[:n]), "\x00"), "\x00"), nil
}

func getAttribute(f *os.File, name string) (string, error) {
	b := make([]byte, maxAttribute)
	n, err := unix.Fgetxattr(int(f.Fd()), name, b)
	return string(b[:max(0, n)]), err
}

func setAttribute(f *os.File, name, value string) error {
	return unix.Fsetxattr(int(f.Fd()), name, []byte(value), 0)
}
