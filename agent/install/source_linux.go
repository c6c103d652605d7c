package install

import (
	"debug/pe"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/partition"
	"hardnode.dev/internal/disk"
	"hardnode.dev/internal/disk/bootorder"
	"hardnode.dev/internal/disk/efi"
	"hardnode.dev/internal/disk/medium"
	"hardnode.dev/internal/release/authenticode"
	"hardnode.dev/internal/wire/install"
	"hardnode.dev/internal/wire/release"
)

// source is where the system is taken from.
type source struct {
	name  string // for people
	bytes int64
	// use mounts what has to be and calls f with the system's file.
	use func(f func(system string) error) error
}

// source finds out where this host's system is, and that it is one.
func (i *Installer) source(want install.Spec) (s source, err error) {
	switch partition := i.vars().Partition(); {
	case want.UKI != "":
		s.name, s.use = "file "+want.UKI, func(f func(string) error) error { return f(want.UKI) }
	case partition != "":
		path, err := i.device(partition)
		if err != nil {
			return s, err
		}
		image := i.vars().Image()
		if image == "" {
			image = medium.Removable
		}
		s.name = "boot medium " + path
		s.use = func(f func(string) error) error { return within(path, "vfat", inside(image, f)) }
	default:
		path, kind, err := disk.ByLabel(i.path(sysBlock), i.path(device), medium.Label, "")
		if err != nil || kind != "iso9660" {
			return s, errors.Join(errors.New("the medium that this host was booted from is not found"), err)
		}
		s.name = "CD " + path
		s.use = func(f func(string) error) error {
			return within(path, kind, func(dir string) error {
				return looped(filepath.Join(dir, cdESP), func(loop string) error {
					return within(loop, "vfat", inside(medium.Removable, f))
				})
			})
		}
	}
	err = s.use(func(system string) error {
		st, err := os.Stat(system)
		if err != nil {
			return err
		}
		s.bytes = st.Size()
		_, err = Version(system)
		return err
	})
	if err != nil {
		return s, fmt.Errorf("the system on %s: %w", s.name, err)
	}
	return s, nil
}

// cdESP is the ESP on a CD of ours (image/assemble).
const cdESP = "boot/esp.img"

// inside calls f with the system's file on a mounted medium.
func inside(image string, f func(system string) error) func(dir string) error {
	return func(dir string) error { return f(filepath.Join(dir, image)) }
}

// device is the path of a partition by its GUID.
func (i *Installer) device(partition string) (string, error) {
	names, err := os.ReadDir(i.path(sysBlock))
	if err != nil {
		return "", fmt.Errorf("list disks: %w", err)
	}
	for _, n := range names {
		if disk.IsPartition(filepath.Join(i.path(sysBlock), n.Name())) &&
			disk.PartitionID(i.path(sysBlock), i.path(device), n.Name()) == partition {
			return filepath.Join(i.path(device), n.Name()), nil
		}
	}
	return "", fmt.Errorf("the partition %s that this host was booted from is not there", partition)
}

// Version is that of a system: a UKI, that is an EFI program with a kernel and os-release(5) in it.
func Version(file string) (string, error) {
	f, err := pe.Open(file)
	if err != nil {
		return "", fmt.Errorf("it is no EFI program: %v", err)
	}
	defer f.Close()
	if f.Section(".linux") == nil || f.Section(".initrd") == nil || f.Section(".osrel") == nil {
		return "", errors.New("it is no system: it has no kernel, no initramfs or no name; it may be a boot loader")
	}
	st, err := os.Stat(file)
	if err != nil {
		return "", err
	}
	for _, s := range f.Sections {
		if int64(s.Offset)+int64(s.Size) > st.Size() {
			return "", fmt.Errorf("it is cut off: %d bytes of %d are there", st.Size(), int64(s.Offset)+int64(s.Size))
		}
	}
	text, err := f.Section(".osrel").Data()
	if err != nil {
		return "", fmt.Errorf("read its name: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "VERSION_ID="); ok {
			return strings.Trim(strings.TrimSpace(strings.TrimRight(v, "\x00")), `"`), nil
		}
	}
	return "", errors.New("it does not say its version")
}

// carried is what a system carries for the disk that it is installed to.
type carried struct {
	program []byte            // the boot loader, signed where the system is sealed
	keys    map[string]string // files by which firmware takes on the keys that the system was sealed with
}

// loader reads it.
func loader(system string) (c carried, err error) {
	f, err := pe.Open(system)
	if err != nil {
		return c, fmt.Errorf("it is no EFI program: %v", err)
	}
	defer f.Close()
	section := func(name string) ([]byte, error) {
		s := f.Section(name)
		if s == nil {
			return nil, nil
		}
		data, err := s.Data()
		return data[:min(len(data), int(s.VirtualSize))], err
	}
	if c.program, err = section(release.LoaderSection); err != nil || c.program == nil {
		return c, errors.Join(errors.New("it carries no boot loader: install from a medium of this version"), err)
	}
	raw, err := section(release.SealSection)
	if err != nil || raw == nil {
		return c, err
	}
	s, err := release.DecodeSeal(raw)
	if err != nil {
		return c, err
	}
	c.keys = map[string]string{}
	for name, data := range map[string][]byte{efi.PK: s.PK, efi.KEK: s.KEK, efi.DB: s.DB} {
		c.keys[bootorder.Keys+"/"+name+".auth"] = string(data)
	}
	c.program, err = authenticode.Attach(c.program, s.Loader)
	return c, err
}

// within mounts a device read-only, calls f with the folder, and unmounts it.
func within(path, kind string, f func(dir string) error) error {
	return partition.Mounted(path, kind, unix.MS_RDONLY, f)
}

// looped calls f with a loop device of a file (loop(4)).
func looped(file string, f func(device string) error) error {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open %s as a device: %w", file, err)
	}
	defer control.Close()
	n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		return fmt.Errorf("open %s as a device: %w", file, err)
	}
	back, err := os.Open(file)
	if err != nil {
		return err
	}
	defer back.Close()
	path := fmt.Sprintf("/dev/loop%d", n)
	loop, err := os.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("open %s as a device: %w", file, err)
	}
	defer loop.Close()
	config := &unix.LoopConfig{Fd: uint32(back.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_READ_ONLY | unix.LO_FLAGS_AUTOCLEAR}}
	if err := unix.IoctlLoopConfigure(int(loop.Fd()), config); err != nil {
		return fmt.Errorf("open %s as a device: %w", file, err)
	}
	return f(path)
}
