package harness

import (
	"errors"
	"os"
	"path/filepath"
)

// Root is the repository's top folder: the one above the working directory that holds go.mod.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == "/" {
			return "", errors.New("find go.mod: the working directory is not inside the repository")
		}
	}
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }
