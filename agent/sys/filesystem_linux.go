package sys

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// FileSystem is how statfs(2) names the file system of f, and the bytes of a block that it counts in.
func FileSystem(f *os.File) (fsid uint64, block int64, err error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return 0, 0, fmt.Errorf("look at filesystem of %q: %w", f.Name(), err)
	}
	return uint64(uint32(st.Fsid.Val[0])) | uint64(uint32(st.Fsid.Val[1]))<<32, st.Frsize, nil
}
