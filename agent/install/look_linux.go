package install

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"hardnode.dev/internal/disk"
	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/disk/efi"
	"hardnode.dev/internal/disk/pick"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/install"
	"hardnode.dev/internal/wire/slots"
)

const (
	sysBlock = "/sys/class/block"
	device   = "/dev"
)

func (i *Installer) path(p string) string { return filepath.Join(i.o.Root, p) }

// look finds the machine's disks, each with what is known of it.
func (i *Installer) look(want install.Spec) (m pick.Machine, found []pick.Found, err error) {
	sys, dev := i.path(sysBlock), i.path(device)
	disks, err := disk.Scan(sys, dev)
	if err != nil {
		return m, nil, err
	}
	m.UEFI = i.vars().There()
	m.InMemory = i.o.Early || inMemory(i.o.Root)
	m.Installed = installedOn(i.o.Root)
	partition := i.vars().Partition()
	medium := ""
	if partition != "" {
		if medium = disk.Booted(sys, dev, partition); medium == "" {
			return m, nil, errors.New("the medium that this host was booted from is not among the disks, so none of them is safe; put " +
				"it back")
		}
	}
	used, err := inUse(i.o.Root)
	if err != nil {
		return m, nil, err
	}
	for _, d := range disks {
		if d.Of != "" {
			continue // a partition
		}
		f := pick.Found{Disk: About(sys, filepath.Base(d.Path)), Content: d.Content}
		f.Path, f.Bytes, f.Holds = "/dev/"+filepath.Base(d.Path), d.Bytes, d.Content.Holds
		f.ReadOnly = attribute(sys, filepath.Base(d.Path), "ro") == "1"
		f.Sector, _ = strconv.ParseInt(attribute(sys, filepath.Base(d.Path), "queue/logical_block_size"), 10, 64)
		switch why := used[filepath.Base(d.Path)]; {
		case m.Installed == f.Path:
			f.Used = "this boot is from it, an installed disk"
		case d.Path == medium:
			f.Used = "it is the boot medium"
		case why != "":
			f.Used = "it is in use: " + why
		}
		if f.Content.Holds == "unreadable" {
			f.Unread = d.Busy
		}
		found = append(found, f)
	}
	return m, found, nil
}

// About is what a disk says of itself, by its name in sys, which is /sys/class/block or /sys/block.
func About(sys, name string) install.Disk {
	get := func(file string) string { return attribute(sys, name, file) }
	d := install.Disk{Model: get("device/model"), Serial: get("device/serial")}
	if d.Serial == "" {
		d.Serial = get("serial") // virtio
	}
	if raw, err := os.ReadFile(filepath.Join(sys, name, "device/vpd_pg80")); err == nil && len(raw) > 4 && d.Serial == "" {
		d.Serial = strings.TrimSpace(strings.Trim(string(raw[4:]), "\x00")) // SPC-5, 7.7.19
	}
	if real, err := filepath.EvalSymlinks(filepath.Join(sys, name)); err == nil {
		for _, t := range []struct{ part, transport string }{{"/usb", "usb"}, {"/nvme", "nvme"}, {"/ata", "sata"}, {"/end_device-", "sas"},
			{"/mmc", "mmc"}, {"/virtio", "virtio"}, {"/host", "scsi"}} {
			if strings.Contains(real, t.part) {
				d.Transport = t.transport
				break
			}
		}
	}
	d.IDs = ids(d, get("wwid"), get("device/wwid"))
	return d
}

// ids are the names that udev gives in /dev/disk/by-id.
func ids(d install.Disk, nvme, scsi string) (list []string) {
	flat := func(s string) string { return strings.Join(strings.Fields(s), "_") }
	prefix := map[string]string{"nvme": "nvme-", "sata": "ata-", "usb": "usb-", "virtio": "virtio-", "sas": "scsi-", "scsi": "scsi-",
		"mmc": "mmc-"}[d.Transport]
	switch {
	case prefix == "" || d.Serial == "":
	case d.Transport == "virtio":
		list = append(list, prefix+flat(d.Serial))
	default:
		list = append(list, prefix+strings.Trim(flat(d.Model)+"_"+flat(d.Serial), "_"))
	}
	switch {
	case nvme != "":
		list = append(list, "nvme-"+flat(nvme))
	case strings.HasPrefix(scsi, "naa."):
		list = append(list, "wwn-0x"+strings.TrimPrefix(scsi, "naa."))
	}
	return list
}

func attribute(sys, name, file string) string {
	raw, err := os.ReadFile(filepath.Join(sys, name, file))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}

// mount is one row of /proc/self/mountinfo (proc_pid_mountinfo(5)).
type mount struct{ point, source string }

func mounts(root string) (list []mount, err error) {
	raw, err := os.ReadFile(filepath.Join(root, "/proc/self/mountinfo"))
	if err != nil {
		return nil, fmt.Errorf("list what is mounted: %w", err)
	}
	for line := range strings.Lines(string(raw)) {
		before, after, _ := strings.Cut(line, " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if len(f) > 4 && len(g) > 1 {
			list = append(list, mount{f[4], g[1]})
		}
	}
	return list, nil
}

// mounted is the device that is mounted at a point.
func mounted(root, point string) (string, error) {
	list, err := mounts(root)
	for _, m := range slices.Backward(list) {
		if m.point == point {
			return m.source, nil
		}
	}
	if err == nil {
		err = fmt.Errorf("nothing is mounted at %s", point)
	}
	return "", err
}

func isRAM(source string) bool { return strings.HasPrefix(source, "/dev/zram") }

// installedOn is the installed disk that this boot uses; "" when there is none. That of the rescue system is known by its firmware alone.
func installedOn(root string) string {
	vars := efi.Vars{Dir: filepath.Join(root, efi.Dir)}
	_, locked := os.Stat(filepath.Join(root, boot.LockedFile)) // STATE is on it, and is not mounted
	if disk.BootedSlot(vars, root) == slots.Rescue || locked == nil {
		return disk.Booted(filepath.Join(root, sysBlock), filepath.Join(root, device), vars.Partition())
	}
	path := ""
	for _, source := range sources(root) {
		if dir := filepath.Join(root, sysBlock, filepath.Base(beneath(root, source))); disk.IsPartition(dir) {
			path = "/dev/" + disk.Whole(dir)
			break
		}
	}
	if path == "" {
		return ""
	}
	booted := disk.Booted(filepath.Join(root, sysBlock), filepath.Join(root, device), vars.Partition())
	if slices.Contains(halves(root, path), booted) { // of a mirror any of its disks is mounted
		return booted
	}
	return path
}

// sources are the devices that STATE lies on. Of a mirror one may have been pulled out, and it may be the one that the mount is known by.
func sources(root string) []string {
	first, err := mounted(root, boot.StateDir)
	if err != nil {
		return nil
	}
	list := []string{first}
	if dir, err := os.Open(filepath.Join(root, boot.StateDir)); err == nil {
		defer dir.Close()
		devices, err := btrfs.Devices(dir)
		for _, d := range devices {
			if err == nil && d.Path != "" && d.Path != first {
				list = append(list, d.Path)
			}
		}
	}
	return list
}

// halves are the disks that have what this one has: one, or the two of a mirror.
func halves(root, path string) []string {
	return disk.Halves(filepath.Join(root, sysBlock), filepath.Join(root, device), path)
}

// Halves are the disks that have what this one has, beginning with it: one, or the two of a mirror.
func Halves(path string) []string { return halves("/", path) }

// beneath is the partition that an encrypted device is on; another device is itself.
func beneath(root, source string) string {
	under, err := filepath.Glob(filepath.Join(root, sysBlock, filepath.Base(source), "slaves", "*"))
	if err != nil || len(under) != 1 {
		return source
	}
	return "/dev/" + filepath.Base(under[0])
}

// InstalledOn is the installed disk that this boot uses; "" when there is none.
func InstalledOn() string { return installedOn("/") }

// inUse says of each disk, by name, what uses it or a partition of it.
func inUse(root string) (map[string]string, error) {
	list, err := mounts(root)
	if err != nil {
		return nil, err
	}
	used := map[string]string{}
	add := func(name, why string) {
		dir := filepath.Join(root, sysBlock, name)
		if _, err := os.Stat(dir); err != nil {
			return
		}
		if disk.IsPartition(dir) {
			name = disk.Whole(dir)
		}
		used[name] = why
	}
	for _, m := range list {
		if name, ok := strings.CutPrefix(m.source, "/dev/"); ok {
			add(name, "mounted at "+m.point)
		}
	}
	holders, err := filepath.Glob(filepath.Join(root, sysBlock, "*/holders/*"))
	if err != nil {
		return nil, err
	}
	for _, h := range holders {
		add(filepath.Base(filepath.Dir(filepath.Dir(h))), "a part of "+filepath.Base(h))
	}
	return used, nil
}

// identities are the GUIDs of the disks that a wish of a configuration makes: the same wish makes the same (RFC 9562, version 8).
func identities(config string, want install.Spec) (list []string) {
	raw, err := json.Marshal(want)
	if err != nil {
		panic("BUG: a wish does not encode: " + err.Error())
	}
	for _, of := range []string{config, config + "\x00second"} {
		u := sha256.Sum256(append(raw[:len(raw):len(raw)], of...))
		u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
		list = append(list, fmt.Sprintf("%X-%X-%X-%X-%X", u[:4], u[4:6], u[6:8], u[8:10], u[10:16]))
	}
	return list
}
