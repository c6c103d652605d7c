package slots

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/partition"
	"hardnode.dev/internal/disk"
	"hardnode.dev/internal/disk/bootorder"
	"hardnode.dev/internal/disk/efi"
	"hardnode.dev/internal/wire/slots"
)

// ErrWaiting: STATE, with what is known of the slots, is there only when the host has a configuration.
var ErrWaiting = errors.New("this host waits for its configuration; its slots are looked after when it has one: give it one first")

// Waiting is an installed host that waits for its configuration: nothing is asked of its slots, nor is any of them judged.
type Waiting struct{ disk string }

// NewWaiting finds the installed disk that this boot is from, if there is one.
func NewWaiting() Waiting {
	booted := disk.Booted("/sys/class/block", "/dev", efi.Vars{Dir: efi.Dir}.Partition())
	if booted == "" {
		return Waiting{}
	}
	f, err := os.Open(booted)
	if err != nil {
		return Waiting{}
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return Waiting{}
	}
	if c, err := disk.Inspect(f, size); err != nil || !c.Installed {
		return Waiting{}
	}
	return Waiting{booted}
}

// Status is what can be said of the slots.
func (w Waiting) Status() slots.Status {
	if w.disk == "" {
		return slots.Status{}
	}
	return slots.Status{Disk: w.disk, Problem: ErrWaiting.Error()}
}

// Refuse is why nothing can be asked of the slots.
func (w Waiting) Refuse() error {
	if w.disk == "" {
		return NotInstalled
	}
	return ErrWaiting
}

// Up has the system that was booted booted again as often as it may be (bootorder.Waited): it came up.
func (w Waiting) Up(log *slog.Logger) error {
	if w.disk == "" {
		return nil
	}
	booted, esp := disk.BootedSlot(efi.Vars{Dir: efi.Dir}, "/"), partition.Of(w.disk, 1)
	if err := whole(esp, booted, log); err != nil {
		return err
	}
	return partition.Mounted(esp, "vfat", unix.MS_RDONLY, func(dir string) error {
		was, err := entries(dir, log)
		if err != nil {
			return err
		}
		want := bootorder.Waited(was, booted)
		if sameEntries(was, want) {
			return nil
		}
		if err := writable(dir); err != nil {
			return err
		}
		return writeEntries(filepath.Join(dir, bootorder.Entries), want)
	})
}
