//go:build guest

package erofs

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestKernelMount mounts an image as hosts do, by file from btrfs and without a loop device, and reads all of it back.
func TestKernelMount(t *testing.T) {
	root := sample()
	img, at := "/data/image.erofs", "/tmp/image"
	if err := os.WriteFile(img, build(t, root, false), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(img, at, "erofs", unix.MS_RDONLY|unix.MS_NODEV, ""); err != nil {
		t.Fatalf("mount: %v", err)
	}
	defer unix.Unmount(at, 0)
	compare(t, at, root)

	st, err := os.Stat(filepath.Join(at, "setuid"))
	if err != nil {
		t.Fatal(err)
	}
	if st.Mode()&os.ModeSetuid == 0 || st.Sys().(*syscall.Stat_t).Uid != 33 {
		t.Errorf("setuid: got mode %v, owner %d", st.Mode(), st.Sys().(*syscall.Stat_t).Uid)
	}
	for _, x := range root.Children["setuid"].Xattrs {
		buf := make([]byte, 100)
		n, err := unix.Getxattr(filepath.Join(at, "setuid"), x.Name, buf)
		if err != nil || !bytes.Equal(buf[:n], x.Value) {
			t.Errorf("attribute %s: got %q, %v; want %q", x.Name, buf[:max(n, 0)], err, x.Value)
		}
	}
	var a, c unix.Stat_t
	if unix.Stat(filepath.Join(at, "a"), &a) != nil || unix.Stat(filepath.Join(at, "b/c"), &c) != nil || a.Ino != c.Ino || a.Nlink != 2 {
		t.Errorf("hard link: inodes %d and %d, %d links", a.Ino, c.Ino, a.Nlink)
	}
	seen := map[uint64]string{}
	err = filepath.Walk(at, func(p string, fi os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		s := fi.Sys().(*syscall.Stat_t)
		if o := seen[s.Ino]; o != "" && s.Nlink < 2 {
			t.Errorf("%s and %s share inode %d", p, o, s.Ino)
		}
		seen[s.Ino] = p
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestKernelRefusesDamage: a superblock with one flipped bit does not mount.
func TestKernelRefusesDamage(t *testing.T) {
	img := build(t, sample(), false)
	img[superOffset+20] ^= 1
	if err := os.WriteFile("/data/bad.erofs", img, 0o600); err != nil {
		t.Fatal(err)
	}
	at := t.TempDir()
	if err := unix.Mount("/data/bad.erofs", at, "erofs", unix.MS_RDONLY, ""); err == nil {
		unix.Unmount(at, 0)
		t.Error("a damaged image was mounted")
	}
}
