// Package loop gives tests a btrfs of their own.
//
// Owns: the mount of a file of the test's folder.
// In: how large it shall be.
// Out: where it is mounted, until the test ends.
// Never: stays, or runs where the user or the kernel can't mount one: the test is skipped.
package loop

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"hardnode.dev/internal/disk/btrfs"
)

// Btrfs mounts a new one with simple quotas.
func Btrfs(t testing.TB, bytes int64) (at string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("it mounts a file system: it needs root")
	}
	dir := t.TempDir()
	disk, at := filepath.Join(dir, "disk"), filepath.Join(dir, "data")
	if err := errors.Join(os.Mkdir(at, 0o755), os.WriteFile(disk, nil, 0o600), os.Truncate(disk, bytes)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.btrfs", "-q", disk).CombinedOutput(); err != nil {
		t.Skipf("mkfs.btrfs: %v: %s", err, out)
	}
	mount(t, disk, at)
	root, err := os.Open(at)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := btrfs.EnableSimpleQuota(root); err != nil {
		t.Skip(err)
	}
	return at
}

// Cut mounts what there would be if the power had been cut now, of a btrfs that Btrfs has mounted and that nothing is written to meanwhile.
func Cut(t testing.TB, of string) (at string) {
	t.Helper()
	dir := t.TempDir()
	disk, at := filepath.Join(dir, "disk"), filepath.Join(dir, "data")
	if err := os.Mkdir(at, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "--sparse=always", filepath.Join(filepath.Dir(of), "disk"), disk).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
	mount(t, disk, at) // beside the other one, which looks the same: Linux does that since 6.7
	return at
}

func mount(t testing.TB, disk, at string) {
	t.Helper()
	if out, err := exec.Command("mount", "-o", "loop", disk, at).CombinedOutput(); err != nil {
		t.Skipf("mount %s: %v: %s", disk, err, out)
	}
	t.Cleanup(func() {
		for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) { // what the test has ended may end a moment later
			out, err := exec.Command("umount", at).CombinedOutput()
			if err == nil {
				return
			}
			if time.Now().After(end) {
				t.Errorf("umount: %v: %s", err, out)
				return
			}
		}
	})
}
