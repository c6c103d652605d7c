package day0

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"hardnode.dev/internal/keep"
)

// Write puts the files into dir, which must be absent or empty, readable by nobody else. All appear at once, or none.
func Write(dir string, files []File) (err error) {
	dir = filepath.Clean(dir)
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("write %q: it is not empty; keys are never replaced, choose another directory", dir)
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return fmt.Errorf("write %q: %v", dir, err)
	}
	tmp, err := os.MkdirTemp(parent, "."+filepath.Base(dir)+".*") // 0700
	if err != nil {
		return fmt.Errorf("write %q: %v", dir, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	for _, f := range files {
		path := filepath.Join(tmp, f.Path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("write %q: %v", dir, err)
		}
		if err := keep.WriteFile(path, f.Data, 0o600); err != nil {
			return err
		}
	}
	if err := os.Rename(tmp, dir); err != nil { // takes the place of an empty directory too
		return fmt.Errorf("write %q: %v", dir, err)
	}
	return keep.SyncDir(parent)
}
