// Package efi reads and writes the variables of UEFI firmware that say what is booted, and what may be.
//
// Owns: the form of boot entries; which entries and which order an installed host has; what the boot loader leaves in variables; the form
// of what secure boot believes.
// In: the kernel's efivarfs; where the boot loaders lie.
// Out: variables; the partition and the entry that this boot is from.
// Never: touches a variable of somebody else, but for the boot order, in which others keep their place behind ours.
//
// Sources: UEFI Specification 2.10, 3.1.3 (load options), 3.3 (boot order), 10.3.5 (media device paths); the kernel's efivarfs.rst; the
// Boot Loader Interface (systemd.io) for the loader's variables.
package efi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf16"
)

// Dir is where init mounts efivarfs.
const Dir = "/sys/firmware/efi/efivars"

// Vendors of variables.
const (
	global = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
	loader = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
)

// kept is a variable that outlives a boot and that firmware and system see.
const kept = 7

// Vars are the variables below a folder.
type Vars struct{ Dir string }

// There tells whether the machine was started by UEFI firmware and its variables can be reached.
func (v Vars) There() bool {
	names, err := os.ReadDir(v.Dir)
	return err == nil && len(names) > 0
}

// read is a variable without its attributes; fs.ErrNotExist when it is not there.
func (v Vars) read(name, vendor string) ([]byte, error) {
	raw, err := os.ReadFile(filepath.Join(v.Dir, name+"-"+vendor))
	if err != nil {
		return nil, fmt.Errorf("read the firmware's variable %s: %w", name, err)
	}
	if len(raw) < 4 {
		return nil, fmt.Errorf("read the firmware's variable %s: it has %d bytes, want 4 and more", name, len(raw))
	}
	return raw[4:], nil
}

// write replaces a variable: one write of attributes and value.
func (v Vars) write(name string, value []byte) error {
	f, err := os.OpenFile(filepath.Join(v.Dir, name+"-"+global), os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("write the firmware's variable %s: %w", name, err)
	}
	_, err = f.Write(append(binary.LittleEndian.AppendUint32(nil, kept), value...))
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write the firmware's variable %s: %w", name, err)
	}
	return nil
}

// text is a variable of the boot loader; "" when it is not there.
func (v Vars) text(name string) string {
	raw, err := v.read(name, loader)
	if err != nil {
		return ""
	}
	return text16(raw)
}

// Partition is the GUID of the partition that this boot is from, in capitals; "" when the firmware did not boot from one.
func (v Vars) Partition() string { return strings.ToUpper(v.text("LoaderDevicePartUUID")) }

// Image is the file that the firmware loaded, from the partition's root on, with "/".
func (v Vars) Image() string { return slashes(v.text("LoaderImageIdentifier")) }

// Selected is the loader's entry that this boot is from; "" without a loader.
func (v Vars) Selected() string { return v.text("LoaderEntrySelected") }

// Current is the name of the firmware's entry that this boot is from; "" when it is not known.
func (v Vars) Current() string {
	n, err := v.read("BootCurrent", global)
	if err != nil || len(n) < 2 {
		return ""
	}
	raw, err := v.read(fmt.Sprintf("Boot%04X", binary.LittleEndian.Uint16(n)), global)
	if err != nil {
		return ""
	}
	return nameOf(raw)
}

// Counted is the file of that entry whose name counts boots, as the loader left it; "" when the entry is not counted.
func (v Vars) Counted() string { return slashes(v.text("LoaderBootCountPath")) }

func slashes(s string) string { return strings.TrimPrefix(strings.ReplaceAll(s, `\`, "/"), "/") }

// text16 reads UTF-16 up to its zero.
func text16(raw []byte) string {
	var units []uint16
	for i := 0; i+1 < len(raw); i += 2 {
		u := binary.LittleEndian.Uint16(raw[i:])
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units))
}

// bytes16 is UTF-16 with its zero.
func bytes16(s string) (raw []byte) {
	for _, u := range append(utf16.Encode([]rune(s)), 0) {
		raw = binary.LittleEndian.AppendUint16(raw, u)
	}
	return raw
}

// missing tells whether a variable is not there.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
