// Package sys is init's one door to the kernel.
//
// Owns: the system calls of boot and shutdown that Go's library has no function for.
// In: paths, numbers and flags, already decided by the caller.
// Out: the kernel's answer, wrapped with what was asked.
// Never: decides, retries or logs.
package sys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// LoadModule loads one module file: path, or path with .xz, which the kernel decompresses. A module that is there already is no error.
func LoadModule(path, params string) error {
	flags := 0
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = os.Open(path + ".xz")
		flags = unix.MODULE_INIT_COMPRESSED_FILE
	}
	if err != nil {
		return fmt.Errorf("load module: %w", err)
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), params, flags); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("load module %q: %w", path, err)
	}
	return nil
}

// AttachLoop makes a read-only loop device of a file and returns its path. It is given up with its last user.
func AttachLoop(file string) (string, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return "", fmt.Errorf("attach %q: %v", file, err)
	}
	defer control.Close()
	n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		return "", fmt.Errorf("attach %q: find a free loop device: %v", file, err)
	}
	device := fmt.Sprintf("/dev/loop%d", n)
	loop, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return "", fmt.Errorf("attach %q: %v", file, err)
	}
	defer loop.Close()
	backing, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("attach: %v", err)
	}
	defer backing.Close()
	config := unix.LoopConfig{Fd: uint32(backing.Fd()), Size: 4096,
		Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_READ_ONLY | unix.LO_FLAGS_AUTOCLEAR}}
	if err := unix.IoctlLoopConfigure(int(loop.Fd()), &config); err != nil {
		return "", fmt.Errorf("attach %q to %q: %v", file, device, err)
	}
	// The device clears itself when the last opener closes it: the caller mounts it before this descriptor matters.
	keepOpen = append(keepOpen, dup(loop))
	return device, nil
}

// keepOpen holds loop devices open until the program execs (they are close-on-exec) so that AUTOCLEAR can't free them before the mount.
var keepOpen []int

func dup(f *os.File) int {
	n, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return -1
	}
	return n
}

// BindReadOnly binds a directory somewhere else, read-only.
func BindReadOnly(from, to string) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %q to %q: %w", from, to, err)
	}
	if err := unix.Mount("", to, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
		return fmt.Errorf("bind %q to %q read-only: %w", from, to, err)
	}
	return nil
}

// Bind binds a file or directory somewhere else.
func Bind(from, to string) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %q to %q: %w", from, to, err)
	}
	return nil
}

// SwitchRoot makes dir the root of this process and of all mounts. The kernel's rootfs can't be pivoted from, so it is covered.
func SwitchRoot(dir string) error {
	if err := unix.Chdir(dir); err != nil {
		return fmt.Errorf("switch root to %q: %v", dir, err)
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("switch root to %q: move: %v", dir, err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("switch root to %q: chroot: %v", dir, err)
	}
	return unix.Chdir("/")
}

// Mount mounts a filesystem.
func Mount(source, target, fstype string, flags uintptr, data string) error {
	if err := unix.Mount(source, target, fstype, flags, data); err != nil {
		return fmt.Errorf("mount %q from %q (%s): %w", target, source, fstype, err)
	}
	return nil
}

// Unmount unmounts target; detach lets the kernel finish when its last user goes.
func Unmount(target string, detach bool) error {
	flags := unix.UMOUNT_NOFOLLOW
	if detach {
		flags |= unix.MNT_DETACH
	}
	if err := unix.Unmount(target, flags); err != nil {
		return fmt.Errorf("unmount %q: %w", target, err)
	}
	return nil
}

// MakeShared makes the whole mount tree propagate into namespaces made later.
func MakeShared() error {
	if err := unix.Mount("", "/", "", unix.MS_SHARED|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("make / shared: %w", err)
	}
	return nil
}

// SetHostname names the machine.
func SetHostname(name string) error {
	if err := unix.Sethostname([]byte(name)); err != nil {
		return fmt.Errorf("set hostname %q: %w", name, err)
	}
	return nil
}

// SetClock sets the wall clock.
func SetClock(t time.Time) error {
	tv := unix.NsecToTimeval(t.UnixNano())
	if err := unix.Settimeofday(&tv); err != nil {
		return fmt.Errorf("set the clock to %s: %w", t.UTC().Format(time.RFC3339), err)
	}
	return nil
}

// Uptime is the time since the kernel started, sleep included.
func Uptime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// ConsoleLevel sets which kernel messages reach the kernel's consoles: those below level (syslog(2), action 8).
func ConsoleLevel(level int) error {
	_, _, errno := unix.Syscall(unix.SYS_SYSLOG, 8, 0, uintptr(level))
	if errno != 0 {
		return fmt.Errorf("set console level %d: %w", level, errno)
	}
	return nil
}

// Power is how a machine is left.
type Power int

// The ways.
const (
	Restart  Power = unix.LINUX_REBOOT_CMD_RESTART
	PowerOff Power = unix.LINUX_REBOOT_CMD_POWER_OFF
	Kexec    Power = unix.LINUX_REBOOT_CMD_KEXEC // the system that was loaded is started
)

// Reboot leaves the machine; it returns only when the kernel refuses.
func Reboot(p Power) error {
	if err := unix.Reboot(int(p)); err != nil {
		return fmt.Errorf("reboot(%#x): %w", int(p), err)
	}
	return nil
}

// SysRq has the kernel do at once what a key of its own stands for (Documentation/admin-guide/sysrq.rst): 'b' resets the machine, 'o'
// powers it off.
func SysRq(key byte) error {
	if err := os.WriteFile("/proc/sysrq-trigger", []byte{key}, 0); err != nil { // root's writes don't need kernel.sysrq
		return fmt.Errorf("sysrq %c: %w", key, err)
	}
	return nil
}

// Loaded says why the kernel can't start another system itself; nil: one was loaded (kexec_file_load(2)).
func Loaded() error {
	const file = "/sys/kernel/kexec_loaded"
	raw, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("look for a loaded system: %w", err)
	}
	if strings.TrimSpace(string(raw)) != "1" {
		return fmt.Errorf("look for a loaded system: %s has %q: none was loaded", file, strings.TrimSpace(string(raw)))
	}
	return nil
}

// CatchCtrlAltDel turns the key chord into SIGINT for PID 1.
func CatchCtrlAltDel() error {
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF); err != nil {
		return fmt.Errorf("catch ctrl-alt-del: %w", err)
	}
	return nil
}

// Sync writes everything dirty to disk. It can take for ever on a broken disk: callers bound it.
func Sync() { unix.Sync() }

// RaiseFiles sets this process's limit of open files, which its children inherit.
func RaiseFiles(n uint64) error {
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: n}); err != nil {
		return fmt.Errorf("raise the limit of open files to %d: %w", n, err)
	}
	return nil
}
