// Package full is a small disk that is full, for tests of what programs do on one.
//
// Owns: the disk, for as long as its test runs.
// In: its size; how much of it shall be left.
// Out: its folder.
// Never: fails a test for lack of a right: who may not mount passes it over.
package full

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Disk is a folder on a disk of its own, of so many KiB.
func Disk(t *testing.T, kib int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	At(t, dir, kib)
	return dir
}

// At makes a folder a disk of its own, of so many KiB.
func At(t *testing.T, dir string, kib int) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", dir, "tmpfs", 0, fmt.Sprintf("size=%dk", kib)); err != nil {
		t.Skipf("a full disk needs a mount, which this user or machine does not allow: mount tmpfs at %q: %v", dir, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %q: %v", dir, err)
		}
	})
}

// Fill leaves so many KiB of it; what it returns makes room again.
func Fill(t *testing.T, dir string, kib int64) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	st, err := f.Stat()
	if err == nil {
		err = f.Truncate(st.Size() - kib<<10)
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}
