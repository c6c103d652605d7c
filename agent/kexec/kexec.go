// Package kexec has this host's kernel start its next system itself, without the firmware and the boot loader.
//
// Owns: whether that can be; what is loaded for it: kernel, initramfs and arguments of the system that the loader would take next.
// In: the slots, a slot's system, what the kernel says of itself.
// Out: a system that the kernel has taken, and that counts as if the loader had taken it; a refusal with its reason (system.ErrNotKexec),
// before anything was touched.
// Never: leaves the machine (init does), or loads another file than was read back from the slot when it was written.
//
// The loader's count comes before the system is started: when it does not come up, whatever resets the machine brings the firmware and the
// loader, and with them the other slot.
package kexec

import (
	"fmt"

	"hardnode.dev/agent/system"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/slots"
)

// Kernel is what the kernel that runs says of itself.
type Kernel struct {
	Able   bool // it starts other systems, if it is given one
	Closed bool // it was told to take none any more (kernel.kexec_load_disabled)
}

// refuse says why not, for people.
func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{system.ErrNotKexec}, args...)...)
}

// Decide is the slot that is started next, which is the one that the loader would take; or why it is not started without the firmware.
func Decide(s slots.Status, k Kernel) (next slots.Slot, err error) {
	var booted slots.Slot
	for _, x := range s.Slots {
		if x.Booted {
			booted = x
		}
		if x.Next {
			next = x
		}
	}
	switch {
	case !s.Installed:
		return next, refuse("this host was not booted from an installed disk: its firmware starts what its medium or the network serves")
	case s.Problem != "":
		return next, refuse("the slots can't be read: %s", s.Problem)
	case s.Busy != "":
		return next, refuse("%s", s.Busy)
	case booted.Name != slots.A && booted.Name != slots.B:
		return next, refuse("this host was not booted from slot a or b")
	case booted.State == slots.Trying:
		return next, refuse("slot %s is being tried; wait until it is committed, or the host has gone back", booted.Name)
	}
	return next, start(next, k)
}

// start says why a slot's system is not started by the kernel.
func start(s slots.Slot, k Kernel) error {
	switch {
	case s.Name != slots.A && s.Name != slots.B || s.State == slots.Empty:
		return refuse("neither slot a nor slot b would be booted next; see the slots (hnctl host slots)")
	case !k.Able:
		return refuse("the kernel that runs does not do that (CONFIG_KEXEC_FILE)")
	case k.Closed:
		return refuse("the kernel that runs was told not to (kernel.kexec_load_disabled)")
	}
	return nil
}

// arguments are those of a slot's system, as its file has them, for a kernel that no loader has chosen.
func arguments(cmdline string, slot slots.Name) string {
	if cmdline != "" {
		cmdline += " "
	}
	return cmdline + boot.SlotArgument + string(slot)
}
