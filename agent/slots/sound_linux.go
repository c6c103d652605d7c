package slots

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"

	"hardnode.dev/agent/partition"
	"hardnode.dev/internal/disk/bootorder"
	"hardnode.dev/internal/disk/fat"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire/slots"
)

// A power cut leaves files on a FAT whose blocks count as free: they read well until something else is written there. So before anything is
// written to an ESP in a boot, they are taken away; who needs one makes it anew.

// whole has nothing askew on the booted ESP, of what is made anew on it: the loader's entries, and the slot that is not booted.
func (k *Keeper) whole() error { return whole(partition.Of(k.home(), 1), k.booted(), k.log) }

func whole(esp string, booted slots.Name, log *slog.Logger) error {
	other := ""
	if booted == slots.A || booted == slots.B {
		other = bootorder.File(booted.Other())
	}
	return sound(esp, func(name string) bool { return isEntry(name) || strings.EqualFold(name, other) }, log)
}

// sound takes away what is askew on an ESP. It takes nothing away where a file that can't be made anew is among it: what shares its blocks
// would take them with it.
func sound(esp string, anew func(name string) bool, log *slog.Logger) error {
	f, err := os.Open(esp)
	if err != nil {
		return fmt.Errorf("look at the ESP: %w", err)
	}
	askew, err := fat.Askew(f)
	f.Close()
	if err != nil {
		log.Error("what is askew on the ESP is not known", "partition", esp, logging.Err, err)
		return nil
	}
	if len(askew) == 0 {
		return nil
	}
	if i := slices.IndexFunc(askew, func(name string) bool { return !anew(name) }); i >= 0 {
		log.Error("a file is askew on the ESP: install anew, or replace the disk", "partition", esp, "file", askew[i])
		return nil
	}
	log.Warn("a power cut left files askew on the ESP: they are taken away", "partition", esp, "files", askew)
	return partition.Mounted(esp, "vfat", 0, func(dir string) error { return taken(dir, askew) })
}
