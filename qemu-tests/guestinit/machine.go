package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// switchRoot moves everything from the first root, which can't be pivoted from, to a tmpfs.
func switchRoot() error {
	if err := unix.Mount("tmpfs", "/new", "tmpfs", 0, "mode=0755,size=75%"); err != nil {
		return fmt.Errorf("mount /new: %v", err)
	}
	err := filepath.Walk("/", func(p string, st os.FileInfo, err error) error {
		switch {
		case err != nil:
			return err
		case p == "/new":
			return filepath.SkipDir
		case st.IsDir():
			return errors.Join(os.MkdirAll("/new"+p, st.Mode().Perm()))
		case st.Mode()&os.ModeSymlink != 0:
			to, err := os.Readlink(p)
			if err != nil {
				return err
			}
			return os.Symlink(to, "/new"+p)
		case st.Mode().IsRegular():
			if err := copyFile(p, "/new"+p, st.Mode().Perm()); err != nil {
				return err
			}
			return os.Remove(p) // its memory is needed
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("copy the first root: %v", err)
	}
	if err := os.Chdir("/new"); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move /new to /: %v", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("chroot: %v", err)
	}
	return os.Chdir("/")
}

func copyFile(from, to string, perm os.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return errors.Join(out.Chmod(perm), out.Close())
}

// mountAll mounts what every test finds.
func mountAll() error {
	for _, m := range []struct{ kind, at, data string }{
		{"proc", "/proc", ""},
		{"sysfs", "/sys", ""},
		{"devtmpfs", "/dev", "mode=0755"},
		{"devpts", "/dev/pts", "newinstance,ptmxmode=0666,mode=0620,gid=5"},
		{"tmpfs", "/dev/shm", "mode=1777"},
		{"tmpfs", "/run", "mode=0755"},
		{"tmpfs", "/tmp", "mode=1777"},
		{"cgroup2", "/sys/fs/cgroup", "nsdelegate,memory_recursiveprot"},
		{"bpf", "/sys/fs/bpf", "mode=0700"},
		{"securityfs", "/sys/kernel/security", ""},
	} {
		if err := os.MkdirAll(m.at, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.at, m.kind, 0, m.data); err != nil {
			return fmt.Errorf("mount %s: %v", m.at, err)
		}
	}
	for name, to := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1",
		"stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(to, "/dev/"+name); err != nil {
			return err
		}
	}
	if err := unix.Mount("", "/", "", unix.MS_SHARED|unix.MS_REC, ""); err != nil { // as the product's init does
		return fmt.Errorf("make mounts shared: %v", err)
	}
	return unix.Sethostname([]byte("guest"))
}

// load loads one module; one that is there already is fine.
func load(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("load module %s: %v", path, err)
	}
	return nil
}

// cgroups moves PID 1 into the leaf /init and enables every controller for the root's children.
func cgroups() error {
	const top = "/sys/fs/cgroup"
	if err := os.Mkdir(top+"/init", 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(top+"/init/cgroup.procs", []byte("1"), 0o644); err != nil {
		return fmt.Errorf("move PID 1 to %s/init: %v", top, err)
	}
	b, err := os.ReadFile(top + "/cgroup.controllers")
	if err != nil {
		return err
	}
	for _, c := range strings.Fields(string(b)) {
		if err := os.WriteFile(top+"/cgroup.subtree_control", []byte("+"+c), 0o644); err != nil {
			return fmt.Errorf("enable cgroup controller %s: %v", c, err)
		}
	}
	return nil
}

// loopback brings lo up.
func loopback() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fmt.Errorf("bring up lo: %v", err)
	}
	return nil
}

// disk makes /dev/vda btrfs, unless it is already, and mounts it on /data.
func disk() error {
	for i := 0; ; i++ { // the driver finds it a moment after it is loaded
		if _, err := os.Stat("/dev/vda"); err == nil {
			break
		}
		if i == 500 {
			return errors.New("find /dev/vda: not there after 5 seconds")
		}
		<-time.After(10 * time.Millisecond)
	}
	made, err := isBtrfs("/dev/vda")
	if err != nil {
		return err
	}
	if !made {
		if err := command("mkfs.btrfs", "-q", "-L", "data", "/dev/vda"); err != nil {
			return err
		}
	}
	if err := unix.Mount("/dev/vda", "/data", "btrfs", 0, ""); err != nil {
		return fmt.Errorf("mount /data: %v", err)
	}
	return nil
}

// isBtrfs looks for the superblock's magic (btrfs on-disk format: 64 KiB + 64 bytes into the device).
func isBtrfs(dev string) (bool, error) {
	f, err := os.Open(dev)
	if err != nil {
		return false, err
	}
	defer f.Close()
	magic := make([]byte, 8)
	if _, err := f.ReadAt(magic, 0x10040); err != nil {
		return false, fmt.Errorf("read %s: %v", dev, err)
	}
	return string(magic) == "_BHRfS_M", nil
}
