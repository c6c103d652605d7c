package cgroup

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/sys"
)

// Write writes a cgroup's file. It does not truncate it first, which would only make the kernel keep attributes for it.
func Write(path, value string) error { return writeAt(unix.AT_FDCWD, path, path, value) }

// writeAt is Write of name in a directory; path is how it is called in errors. It makes three calls; a file of package os, which is made
// ready to be waited for, takes twice as many, and a start writes two dozen files.
func writeAt(dir int, name, path, value string) error {
	fd, err := unix.Openat(dir, name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	for {
		n, err := unix.Write(fd, []byte(value))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err == nil && n < len(value):
			err = io.ErrShortWrite
		}
		if err != nil {
			return &fs.PathError{Op: "write", Path: path, Err: err}
		}
		return nil
	}
}

// ReadIn reads a file of a cgroup, of up to 1,024 bytes.
func ReadIn(dir *os.File, name string) (string, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var b [1024]byte
	n, err := unix.Read(fd, b[:])
	if err != nil {
		return "", err
	}
	return string(b[:n]), nil
}

// ReadInt reads a number from a cgroup file: the whole of it, or the value after key in a flat keyed file. Absent is 0.
func ReadInt(dir, file, key string) int64 {
	text, err := sys.ReadSmall(filepath.Join(dir, file))
	if err != nil {
		return 0
	}
	return Number(text, key)
}

// Number is that of a cgroup file's text, as readInt has it.
func Number(text, key string) int64 {
	value := strings.TrimSpace(text)
	if key != "" {
		value = ""
		for line := range strings.Lines(text) {
			if v, ok := strings.CutPrefix(line, key+" "); ok {
				value = strings.TrimSpace(v)
			}
		}
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
