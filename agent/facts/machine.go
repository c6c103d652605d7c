package facts

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"hardnode.dev/internal/disk/efi"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/waiting"
)

// Machine is what tells this machine from others in a person's eyes.
func (s Source) Machine() waiting.Machine {
	h := s.Hardware()
	dmi := func(name string) string { return s.line("/sys/class/dmi/id/" + name) }
	m := waiting.Machine{UUID: h.UUID, MACs: h.MACs, Serial: dmi("product_serial"),
		Model: strings.TrimSpace(dmi("sys_vendor") + " " + dmi("product_name"))}
	blocks, _ := filepath.Glob(s.Root + "/sys/block/*")
	slices.Sort(blocks)
	for _, b := range blocks {
		at := strings.TrimPrefix(b, s.Root)
		sectors, err := strconv.ParseInt(s.line(at+"/size"), 10, 64)
		if _, hardware := os.Stat(b + "/device"); hardware != nil || err != nil || sectors == 0 {
			continue // loop, zram and the like; a drive without a medium
		}
		d := waiting.Disk{Name: filepath.Base(b), Bytes: sectors * 512, Model: s.line(at + "/device/model"), Serial: s.line(at + "/serial")}
		if d.Serial == "" {
			d.Serial = s.line(at + "/device/serial")
		}
		m.Disks = append(m.Disks, d)
	}
	return m
}

// line is the text of a small file, "" when it can't be read.
func (s Source) line(path string) string {
	b, err := os.ReadFile(s.Root + path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// Protection is what the firmware and the kernel say of it; nil when they say nothing.
func (s Source) Protection() *host.Protection {
	p := host.Protection{SecureBoot: string(efi.Vars{Dir: s.Root + efi.Dir}.SecureBoot()), Lockdown: efi.Lockdown(s.Root)}
	if p == (host.Protection{}) {
		return nil
	}
	return &p
}
