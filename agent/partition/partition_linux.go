// Package partition works on the partitions of a host's own disk, and on the files in them.
//
// Owns: the mount of a partition for as long as somebody works in it; how a file gets onto a disk for good.
// In: the device of a disk or of a partition; files.
// Out: files that a power cut leaves whole or not there, once what is called says so; digests of what is there.
// Never: knows what the files are for, or partitions or formats anything.
package partition

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/wire/boot"
)

// Of is the device of a disk's partition: /dev/sda1, /dev/nvme0n1p1.
func Of(disk string, n int) string {
	if last := disk[len(disk)-1]; last >= '0' && last <= '9' {
		return fmt.Sprintf("%sp%d", disk, n)
	}
	return fmt.Sprintf("%s%d", disk, n)
}

// Mounted mounts a device, calls f with the folder, and unmounts it. Flags are those of mount(2); nothing in it is run or is a device.
// A FAT that a power cut left askew stays writable: nobody here repairs it, and what counts on it is verified by who reads it.
func Mounted(path, kind string, flags uintptr, f func(dir string) error) (err error) {
	options := ""
	if kind == "vfat" {
		options = "errors=continue"
	}
	return mounted(path, kind, flags, options, f)
}

// Together is Mounted for a filesystem that lies on several devices (btrfs).
func Together(devices []string, kind string, flags uintptr, f func(dir string) error) error {
	options := ""
	if len(devices) > 1 {
		options = "device=" + strings.Join(devices, ",device=")
	}
	return mounted(devices[0], kind, flags, options, f)
}

func mounted(path, kind string, flags uintptr, options string, f func(dir string) error) (err error) {
	dir, err := os.MkdirTemp(boot.RunDir, "mounted-")
	if err != nil {
		return fmt.Errorf("mount %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, os.Remove(dir)) }()
	if err := unix.Mount(path, dir, kind, flags|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, options); err != nil {
		return fmt.Errorf("mount %s: %w", path, err)
	}
	defer func() {
		if e := unix.Unmount(dir, 0); e != nil {
			err = errors.Join(err, fmt.Errorf("unmount %s: %w", path, e), unix.Unmount(dir, unix.MNT_DETACH))
		}
	}()
	return f(dir)
}

// Write writes a file durably, in the manner of Copy.
func Write(path, text string) error {
	_, err := replace(path, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil })
	return err
}

// Sum is a file's SHA-256.
func Sum(path string) (sum [32]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return [32]byte(h.Sum(nil)), err
}

// Copy copies a file durably and returns the digest of what was read. It goes into the place of a file that is there: its blocks stay its
// own, so that on a filesystem without a journal hardly anything but the content changes, and it never has another name for a while. One
// that can't be written so is made anew.
func Copy(to, from string) (sum [32]byte, err error) {
	return replace(to, func() (io.ReadCloser, error) { return os.Open(from) })
}

func replace(to string, open func() (io.ReadCloser, error)) (sum [32]byte, err error) {
	for again := false; ; again = true {
		src, err := open()
		if err != nil {
			return sum, err
		}
		r := &source{Reader: src}
		sum, err = over(to, r)
		if src.Close(); err == nil || again || r.failed {
			return sum, err
		}
		if err := errors.Join(os.RemoveAll(to), Sync(filepath.Dir(to))); err != nil {
			return sum, err
		}
	}
}

// source is read from, and knows whether that failed.
type source struct {
	io.Reader
	failed bool
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	s.failed = s.failed || err != nil && err != io.EOF
	return n, err
}

func over(to string, src io.Reader) (sum [32]byte, err error) {
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return sum, err
	}
	h := sha256.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(dst, h)}, struct{ io.Reader }{src}, make([]byte, 1<<20))
	if err == nil {
		err = dst.Truncate(n)
	}
	return [32]byte(h.Sum(nil)), errors.Join(err, dst.Sync(), dst.Close())
}

// Sync brings the whole filesystem of a folder onto its disk.
func Sync(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("sync %q: %w", dir, err)
	}
	return nil
}
