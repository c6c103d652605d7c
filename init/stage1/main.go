// Command stage1 is the /init of the first, small cpio: it opens the root and hands over to the real init.
//
// Owns: the way from the kernel's rootfs to the read-only root: two modules, a loop device, a mount, a change of root.
// In: /modules and /root.erofs, beside it in the initramfs; /images on an infra boot medium.
// Out: exec of /sbin/init on root.erofs, with /dev mounted and the images bound at boot.ImageDir.
// Never: touches hardware, waits, or goes on after an error: it says why and the kernel panics (and reboots after panic=N).
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"hardnode.dev/init/sys"
	"hardnode.dev/internal/wire/boot"
)

const (
	rootImage = "/root.erofs"
	images    = "/images"
	newRoot   = "/newroot"
)

func main() {
	if err := open(); err != nil {
		fmt.Fprintf(os.Stderr, "hardnode: stage 1: %v\n", err)
		if k, err2 := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0); err2 == nil {
			fmt.Fprintf(k, "<2>hardnode: stage 1: %v\n", err)
		}
		os.Exit(1)
	}
}

func open() error {
	if err := loadModules("/modules"); err != nil {
		return err
	}
	if err := unix.Mount("devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=0755"); err != nil {
		return fmt.Errorf("mount \"/dev\": %v", err)
	}
	device, err := sys.AttachLoop(rootImage)
	if err != nil {
		return err
	}
	if err := unix.Mount(device, newRoot, "erofs", unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("mount %q from %q: %v", newRoot, device, err)
	}
	if _, err := os.Stat(images); err == nil {
		if err := sys.BindReadOnly(images, newRoot+boot.ImageDir); err != nil {
			return err
		}
	}
	// What the rootfs still holds stays in memory for ever; the root image must, the rest need not (/kernel is
	// microcode, which the kernel has taken long ago).
	for _, p := range []string{"/modules", "/init", "/kernel"} {
		if err := os.RemoveAll(p); err != nil {
			return fmt.Errorf("free %q: %v", p, err)
		}
	}
	if err := unix.Mount("/dev", newRoot+"/dev", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move \"/dev\": %v", err)
	}
	if err := sys.SwitchRoot(newRoot); err != nil {
		return err
	}
	if err := unix.Exec("/sbin/init", []string{"/sbin/init"}, os.Environ()); err != nil {
		return fmt.Errorf("exec \"/sbin/init\": %v", err)
	}
	return nil
}

// loadModules loads every module of dir in the order of modules.dep, in which each comes after what it needs.
func loadModules(dir string) error {
	dep, err := os.ReadFile(filepath.Join(dir, "modules.dep"))
	if err != nil {
		return fmt.Errorf("read the list of modules: %v", err)
	}
	for line := range strings.Lines(string(dep)) {
		name, _, _ := strings.Cut(line, ":")
		if err := sys.LoadModule(filepath.Join(dir, name+".ko"), ""); err != nil {
			return err
		}
	}
	return nil
}
