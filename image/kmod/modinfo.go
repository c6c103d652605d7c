// Package kmod chooses the kernel modules of an image and lays them out so that init needs no depmod.
//
// Owns: the table of modules, each with its reason, and the resolution of what they depend on.
// In: an unpacked kernel package (lib/modules/<release>/kernel/**.ko.xz).
// Out: a flat directory of modules with modules.dep (in loading order), modules.alias, modules.preload, modules.container and
// modules.late. What every host loads at its boot is decompressed there; the rest is as the package has it, which the kernel can load too.
// Never: loads a module, or changes one (signatures stay).
package kmod

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ulikunitz/xz"
)

// Info is what a module says of itself in its .modinfo section.
type Info struct {
	Depends []string // canonical names
	Soft    []string // "pre" soft dependencies, as they are written: modules or crypto aliases
	Aliases []string
	// Firmware is the files that the module may ask for, below /lib/firmware.
	Firmware []string
}

// Canonical is a module's name as the kernel writes it: underscores for hyphens.
func Canonical(name string) string { return strings.ReplaceAll(name, "-", "_") }

// parseInfo reads the NUL-separated key=value pairs of a .modinfo section.
func parseInfo(section []byte) Info {
	var in Info
	for pair := range bytes.SplitSeq(section, []byte{0}) {
		key, value, _ := strings.Cut(string(pair), "=")
		switch key {
		case "depends":
			for d := range strings.SplitSeq(value, ",") {
				if d != "" {
					in.Depends = append(in.Depends, Canonical(d))
				}
			}
		case "alias":
			in.Aliases = append(in.Aliases, value)
		case "firmware":
			in.Firmware = append(in.Firmware, value)
		case "softdep":
			if pre, ok := strings.CutPrefix(value, "pre: "); ok {
				in.Soft = append(in.Soft, strings.Fields(pre)...)
			}
		}
	}
	slices.Sort(in.Aliases)
	return in
}

func readInfo(module []byte) (Info, error) {
	f, err := elf.NewFile(bytes.NewReader(module))
	if err != nil {
		return Info{}, fmt.Errorf("read ELF: %v", err)
	}
	s := f.Section(".modinfo")
	if s == nil {
		return Info{}, fmt.Errorf("read ELF: no .modinfo section")
	}
	data, err := s.Data()
	if err != nil {
		return Info{}, fmt.Errorf("read .modinfo: %v", err)
	}
	return parseInfo(data), nil
}

// Firmware is the files that the modules in dir, a directory that Write made, may ask for: file → the modules that do.
func Firmware(dir string) (map[string][]string, error) {
	files, err := Files(dir)
	if err != nil {
		return nil, err
	}
	wanted := map[string][]string{}
	for _, path := range files {
		data, _, err := readModule(path)
		if err != nil {
			return nil, err
		}
		info, err := readInfo(data)
		if err != nil {
			return nil, fmt.Errorf("read module %q: %v", path, err)
		}
		name, _ := moduleName(path)
		for _, f := range info.Firmware {
			wanted[f] = append(wanted[f], name)
		}
	}
	return wanted, nil
}

// Files is the modules in dir, a directory that Write made.
func Files(dir string) ([]string, error) {
	var all []string
	for _, pattern := range []string{"*.ko", "*.ko.xz"} {
		some, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return nil, fmt.Errorf("list modules: %v", err)
		}
		all = append(all, some...)
	}
	return all, nil
}

// readModule reads a module, decompressing .ko.xz; packed is that file's content, nil for one that is not compressed.
func readModule(path string) (data, packed []byte, err error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read module: %v", err)
	}
	if filepath.Ext(path) != ".xz" {
		return raw, nil, nil
	}
	r, err := xz.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, nil, fmt.Errorf("decompress %q: %v", path, err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		return nil, nil, fmt.Errorf("decompress %q: %v", path, err)
	}
	return out, raw, nil
}
