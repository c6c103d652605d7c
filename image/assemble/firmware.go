package assemble

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"hardnode.dev/image/debian"
	"hardnode.dev/image/kmod"
)

// firmwareComponent is the part of Debian's archive that firmware and microcode are in.
const firmwareComponent = "non-free-firmware"

// firmwarePackages have the files that drivers of servers ask for, and microcode.
var firmwarePackages = []string{"amd64-microcode", "firmware-bnx2", "firmware-bnx2x", "firmware-linux-free", "firmware-misc-nonfree",
	"firmware-qlogic", "firmware-realtek", "intel-microcode"}

// microcodes are the processors' microcode: which files of a package, and the name under which the kernel looks for them, one behind the
// other (Documentation/arch/x86/microcode.rst).
var microcodes = []struct {
	pkg, dir string
	match    *regexp.Regexp
	name     string
}{
	{"amd64-microcode", "lib/firmware/amd-ucode", regexp.MustCompile(`^microcode_amd.*\.bin$`), "AuthenticAMD.bin"},
	{"intel-microcode", "lib/firmware/intel-ucode", regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{2}-[0-9a-f]{2}$`), "GenuineIntel.bin"},
}

// Firmware is what a server's hardware is given by the kernel.
type Firmware struct {
	Files     []debian.File // below usr/lib/firmware
	Microcode []Part        // none, or the cpio that comes first in the initramfs, uncompressed
	Packages  []debian.Package
	LeftOut   []string // for people
}

// Firmware gets the files that the target's modules ask for, and microcode. What can't be had is left out, and said: an image without it is
// better than none.
func (b Builder) Firmware(ctx context.Context) (Firmware, error) {
	if b.Target.withFirmware == 0 {
		return Firmware{}, nil
	}
	wanted, err := kmod.Firmware(b.in("modules"))
	if err != nil {
		return Firmware{}, err
	}
	archive, err := b.archive().With(ctx, firmwareComponent)
	if ctx.Err() != nil {
		return Firmware{}, ctx.Err()
	}
	if err != nil {
		return Firmware{LeftOut: []string{fmt.Sprintf("all firmware and microcode: %v", err)}}, nil
	}
	f := Firmware{}
	get := func(name string) bool {
		pkgs, err := archive.Get(ctx, name)
		dir := b.path("cache", "unpacked", name)
		if err == nil {
			err = archive.Unpack(ctx, pkgs[0], dir)
		}
		if err != nil {
			f.LeftOut = append(f.LeftOut, fmt.Sprintf("Debian's package %s: %v", name, err))
			return false
		}
		f.Packages = append(f.Packages, pkgs[0])
		return true
	}
	var roots []string
	for _, name := range firmwarePackages {
		if get(name) {
			roots = append(roots, b.path("cache", "unpacked", name))
		}
	}
	files, missing, err := firmwareFiles(roots, wanted)
	if err != nil {
		return Firmware{}, err
	}
	f.Files = files
	for _, name := range missing {
		f.LeftOut = append(f.LeftOut, fmt.Sprintf("firmware %s of %s: it is in none of Debian's packages that were found", name,
			strings.Join(wanted[name], ", ")))
	}
	codes := map[string][]byte{}
	for _, m := range microcodes {
		dir := b.path("cache", "unpacked", m.pkg)
		if !slices.Contains(roots, dir) {
			continue
		}
		if codes[m.name], err = joined(filepath.Join(dir, m.dir), m.match); err != nil {
			return Firmware{}, err
		}
	}
	f.Packages = slices.DeleteFunc(f.Packages, func(p debian.Package) bool { return !f.has(b.path("cache", "unpacked", p.Name), p.Name) })
	if len(codes) > 0 {
		raw, err := microcode(codes)
		if err != nil {
			return Firmware{}, err
		}
		f.Microcode = []Part{{"microcode", raw}}
	}
	return f, ctx.Err()
}

// microcode is the cpio that the kernel looks into before it unpacks anything.
func microcode(codes map[string][]byte) ([]byte, error) {
	var t tree
	for name, data := range codes {
		t.add(entry{Path: "kernel/x86/microcode/" + name, Mode: 0o444, Data: data})
	}
	raw, err := t.cpio()
	return align(raw), err
}

// has tells whether the package unpacked in dir has files among f's.
func (f Firmware) has(dir, name string) bool {
	for _, m := range microcodes {
		if m.pkg == name {
			return true
		}
	}
	return slices.ContainsFunc(f.Files, func(x debian.File) bool { return strings.HasPrefix(x.Source, dir+"/") })
}

// firmwareFiles finds the wanted files in the unpacked packages; missing are those that none has.
func firmwareFiles(roots []string, wanted map[string][]string) (files []debian.File, missing []string, err error) {
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if !filepath.IsLocal(name) {
			return nil, nil, fmt.Errorf("find firmware %q of %v: it is a path that leaves the folder", name, wanted[name])
		}
		found := false
		for _, root := range roots {
			path, err := filepath.EvalSymlinks(filepath.Join(root, "lib/firmware", name))
			if err != nil || !strings.HasPrefix(path, root+"/") {
				continue // not there, or a link to a file of the machine that builds
			}
			files = append(files, debian.File{Source: path, Target: "usr/lib/firmware/" + name})
			found = true
			break
		}
		if !found {
			missing = append(missing, name)
		}
	}
	return files, missing, nil
}

// joined is the files of dir that match, in the order of their names, one behind the other.
func joined(dir string, match *regexp.Regexp) ([]byte, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list microcode: %v", err)
	}
	var all bytes.Buffer
	for _, e := range list {
		if !match.MatchString(e.Name()) || !e.Type().IsRegular() {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("read microcode: %v", err)
		}
		all.Write(data)
	}
	if all.Len() == 0 {
		return nil, fmt.Errorf("list microcode: %q has no file that matches %s", dir, match)
	}
	return all.Bytes(), nil
}
