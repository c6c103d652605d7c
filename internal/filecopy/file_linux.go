package filecopy

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// openFile opens a file that a link or a pipe may have taken the place of.
func openFile(at string) (*os.File, error) {
	return os.OpenFile(at, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
}

// inodeOf is which file it is, and whether it has several names.
func inodeOf(st fs.FileInfo) (inode, bool) {
	s, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return inode{}, false
	}
	return inode{uint64(s.Dev), s.Ino}, s.Nlink > 1
}

// maxParts is how many parts a sparse file is sent in at most; one with more is sent whole.
const maxParts = 10000

// dataParts are the parts of a file that are not holes, the last one at its end be it empty; nil if it is to be sent whole (lseek(2),
// SEEK_DATA).
func dataParts(f *os.File, size int64) (parts []part) {
	st, err := f.Stat()
	if err != nil {
		return nil
	}
	if s, ok := st.Sys().(*syscall.Stat_t); !ok || s.Blocks*512 >= size {
		return nil
	}
	for at := int64(0); at < size; {
		from, err := f.Seek(at, unix.SEEK_DATA)
		if err == nil && from >= size || errors.Is(err, unix.ENXIO) {
			break
		}
		if err != nil || len(parts) == maxParts {
			return nil
		}
		to, err := f.Seek(from, unix.SEEK_HOLE)
		if err != nil || to <= from {
			return nil
		}
		to = min(to, size)
		parts = append(parts, part{from, to - from})
		at = to
	}
	if n := len(parts); n == 1 && parts[0].size == size {
		return nil
	} else if n == 0 || parts[n-1].at+parts[n-1].size < size {
		parts = append(parts, part{size, 0})
	}
	return parts
}
