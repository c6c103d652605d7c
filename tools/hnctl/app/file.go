package app

import (
	"errors"
	"io"
	"os"
)

// WriteWhole has take write a new file, for its owner alone, and returns its size in bytes. The file is there only when all of it is, on
// the disk too; one that was there stays as it is, and is an error of usage.
func WriteWhole(path string, take func(io.Writer) error) (size int64, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, WithCode(ExitUsage, err)
	}
	if err = take(f); err == nil {
		err = f.Sync()
	}
	size, _ = f.Seek(0, io.SeekCurrent)
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, errors.Join(err, os.Remove(path))
	}
	return size, nil
}
