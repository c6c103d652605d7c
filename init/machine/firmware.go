package machine

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"hardnode.dev/init/sys"
	"hardnode.dev/internal/disk"
	"hardnode.dev/internal/disk/efi"
	"hardnode.dev/internal/wire/slots"
)

// firmwareModules are what a machine with UEFI firmware is administered with: its variables, the ESP, the medium that it was installed
// from.
var firmwareModules = []string{"efivarfs", "vfat", "nls_cp437", "nls_ascii", "isofs"}

// stepFirmware makes the variables of UEFI firmware reachable, and finds out which partition this boot is from.
func (m *Machine) stepFirmware(context.Context) (string, error) {
	if _, err := os.Stat("/sys/firmware/efi"); err != nil {
		return "BIOS, or none", nil
	}
	for _, name := range firmwareModules {
		if err := m.need(name, ""); err != nil {
			return "", err
		}
	}
	// Left writable: the agent keeps the boot order. The kernel itself protects variables whose loss stops machines (efivarfs.rst).
	if err := sys.Mount("efivarfs", efi.Dir, "efivarfs", tight, ""); err != nil && !errors.Is(err, unix.EBUSY) {
		return "", err
	}
	if _, err := os.Stat("/sys/class/tpm/tpm0"); err == nil { // what an encrypted STATE needs, and an installation that makes one
		for _, name := range []string{"xts", "dm_crypt"} {
			if err := m.need(name, ""); err != nil {
				return "", err
			}
		}
	}
	vars, note := efi.Vars{Dir: efi.Dir}, "UEFI"
	if m.partition = vars.Partition(); m.partition != "" {
		note = "UEFI, booted from partition " + m.partition
	}
	if m.rescue = m.partition != "" && disk.BootedSlot(vars, "/") == slots.Rescue; m.rescue {
		note += ": this is the rescue system"
	}
	if s := vars.SecureBoot(); s != "" {
		note += fmt.Sprintf("; secure boot: %s, lockdown: %s", s, efi.Lockdown(""))
	}
	return note, nil
}
