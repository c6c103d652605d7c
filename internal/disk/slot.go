package disk

import (
	"os"
	"path/filepath"

	"hardnode.dev/internal/disk/bootorder"
	"hardnode.dev/internal/disk/efi"
	"hardnode.dev/internal/wire/slots"
)

// BootedSlot is the slot that this boot is from, of the machine whose files lie below root; "" when it is from none.
func BootedSlot(vars efi.Vars, root string) slots.Name {
	cmdline, err := os.ReadFile(filepath.Join(root, "/proc/cmdline"))
	if err != nil { // no kernel of ours
		cmdline = nil
	}
	return bootorder.From(vars.Selected(), vars.Current(), string(cmdline))
}
