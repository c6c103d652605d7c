package serve

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// control calls do with f's descriptor.
func control(f *os.File, do func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var derr error
	return errors.Join(raw.Control(func(fd uintptr) { derr = do(int(fd)) }), derr)
}

// appendTo writes behind the file's end, wherever that is by now.
func appendTo(f *os.File, b []byte) (n int, err error) {
	const behind = 0x10 // RWF_APPEND
	err = control(f, func(fd int) (err error) {
		n, err = unix.Pwritev2(fd, [][]byte{b}, 0, behind)
		return err
	})
	return max(n, 0), err
}

func syncFile(f *os.File, dataOnly bool) error {
	if !dataOnly {
		return f.Sync()
	}
	return control(f, unix.Fdatasync)
}
