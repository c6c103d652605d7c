package initramfs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Kernel is the kernel guests boot and the folder of its modules: out/image/vmlinuz and out/image/modules, made by `go run ./image
// kernel` when they are missing. root is the repository's top folder.
func Kernel(root string) (vmlinuz, modules string, err error) {
	vmlinuz, modules = filepath.Join(root, "out/image/vmlinuz"), filepath.Join(root, "out/image/modules")
	unlock, err := lock(filepath.Join(root, "out/kernel.lock"))
	if err != nil {
		return "", "", err
	}
	defer unlock()
	if exists(vmlinuz) && exists(modules) {
		return vmlinuz, modules, nil
	}
	cmd := exec.Command("go", "run", "./image", "kernel")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("go run ./image kernel: %v\n%s", err, out)
	}
	return vmlinuz, modules, nil
}

// Cmdline is the kernel command line that `make image` wrote into dir, beside the kernel and the initramfs it belongs to.
func Cmdline(dir string) (string, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil {
		return "", fmt.Errorf("kernel command line: %v", err)
	}
	return strings.TrimSpace(string(raw)), nil
}

// lock takes a file lock among processes that prepare the same thing.
func lock(path string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %v", path, err)
	}
	return func() { f.Close() }, nil
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }
