package sys

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"
)

// mostSmall is what ReadSmall reads, in bytes: more than any file of cgroupfs has here.
const mostSmall = 16 << 10

// ReadSmall reads a file that the kernel makes up as it is read, of which a host has thousands and asks again and again: three calls, where
// os.ReadFile makes twice as many, to learn the size of a file that has none. What is beyond 16 KiB is left out.
func ReadSmall(path string) (string, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var first [1024]byte // on the stack
	b := first[:0]
	for {
		if len(b) == cap(b) {
			if len(b) >= mostSmall {
				return string(b), nil
			}
			b = append(make([]byte, 0, 4*cap(b)), b...)
		}
		n, err := unix.Read(fd, b[len(b):cap(b)])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return "", &fs.PathError{Op: "read", Path: path, Err: err}
		}
		b = b[:len(b)+n]
		if n == 0 || len(b) < cap(b) { // such a file gives all it has, or as much as there is room for
			return string(b), nil
		}
	}
}
