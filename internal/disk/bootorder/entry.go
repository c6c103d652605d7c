// Package bootorder decides which system an installed host boots, in the words of its boot loader.
//
// Owns: the files of an ESP, the loader's entries and what their names count, which slot comes first.
// In: the entries as they are, which one this boot is from, how well it is.
// Out: entries as they should be; what is known of each slot.
// Never: reads or writes a disk.
//
// Sources: the UAPI Group's Boot Loader Specification (type #1 entries, sort-key, boot counting), systemd-boot(7) and
// loader.conf(5) of version 252.
package bootorder

import (
	"fmt"
	"strconv"
	"strings"

	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/form"
	"hardnode.dev/internal/wire/slots"
)

// The files of an ESP, from its root on.
const (
	Systems  = "EFI/hardnode"                    // a.efi, b.efi, rescue.efi
	Entries  = "loader/entries"                  // of the loader
	Loader   = "EFI/systemd/systemd-bootx64.efi" // the boot loader
	Settings = "loader/loader.conf"              // of the loader
	// SettingsText: nobody is asked anything, and nobody at the keyboard changes what is booted.
	SettingsText = "timeout 0\neditor no\nauto-entries no\nauto-firmware no\n"
	// Keys is the folder whose keys the loader gives to firmware in setup mode, and then reboots, where the settings say so: EnrollText.
	Keys       = "loader/keys/auto"
	EnrollText = "secure-boot-enroll force\n"
	// Shell is what a UEFI shell runs by itself: firmware that lost its boot order, and whose loader came back since it could not load what
	// it counted, ends there. ShellText starts the loader again, which takes the next one, and once more after that.
	Shell     = "startup.nsh"
	ShellText = "@echo -off\r\nfor %t in 1 2\r\nfor %d in 0 1 2 3 4 5 6 7 8 9\r\nif exist FS%d:\\EFI\\hardnode\\rescue.efi then\r\n" +
		"FS%d:\\EFI\\BOOT\\BOOTX64.EFI\r\nendif\r\nendfor\r\nendfor\r\n"
)

// RescueEntry is the name of the firmware's boot entry that starts the rescue system without the loader.
const RescueEntry = "Hardnode, rescue"

// From is the slot that a boot is from, by the loader's entry, the firmware's and the kernel's arguments; "" when it is from none. The
// firmware's goes before the loader's: a loader that could not load what it selected has left the name of that. A system that another
// kernel started finds what both have left for that one.
func From(selected, current, cmdline string) slots.Name {
	for word := range strings.FieldsSeq(cmdline) {
		if slot, ok := strings.CutPrefix(word, boot.SlotArgument); ok && (slot == string(slots.A) || slot == string(slots.B)) {
			return slots.Name(slot)
		}
	}
	if strings.HasPrefix(current, RescueEntry) { // of either disk
		return slots.Rescue
	}
	e, _ := Parse(selected, "")
	return e.Slot
}

// File is where a slot's system lies.
func File(slot slots.Name) string { return Systems + "/" + string(slot) + ".efi" }

// Of is the slot whose system lies in a file; false when it is none's.
func Of(file string) (slots.Name, bool) {
	for _, slot := range []slots.Name{slots.A, slots.B, slots.Rescue} {
		if file == File(slot) {
			return slot, true
		}
	}
	return "", false
}

// Uncounted is the number of boots left of an entry that is booted for ever.
const Uncounted = -1

// Entry is one of the loader's. All of it but the version is in the name of its file: another place or another count is another file, so
// that no file is ever written over.
type Entry struct {
	Slot    slots.Name
	Rank    int // what comes first: 1 before 2
	Version string
	Left    int // boots before the loader takes another entry, or Uncounted
	Done    int // boots since it was counted
}

const (
	namePrefix = "hardnode-"
	nameSuffix = ".conf"
)

// Name is the entry's file. The loader changes it at each boot: hardnode-1-a+1.conf becomes hardnode-1-a+0-1.conf.
func (e Entry) Name() string {
	head := fmt.Sprintf("%s%d-%s", namePrefix, e.Rank, e.Slot)
	switch {
	case e.Left == Uncounted:
		return head + nameSuffix
	case e.Done == 0:
		return fmt.Sprintf("%s+%d%s", head, e.Left, nameSuffix)
	}
	return fmt.Sprintf("%s+%d-%d%s", head, e.Left, e.Done, nameSuffix)
}

// Text is the entry's content. The sort-key decides: without it the loader would prefer later versions.
func (e Entry) Text() string {
	return fmt.Sprintf("title Hardnode %s (%s)\nversion %s\nsort-key hardnode-%d\nefi /%s\n", e.Version, e.Slot, e.Version, e.Rank,
		File(e.Slot))
}

var nameForm = form.New(`^hardnode-([1-9])-(a|b|rescue)(?:\+([0-9]{1,3})(?:-([0-9]{1,3}))?)?(?:\.conf)?$`)

// Parse reads an entry of ours by its name, which the loader also gives without what it counts; false: it is somebody else's.
func Parse(name, text string) (e Entry, ok bool) {
	m := nameForm.FindStringSubmatch(strings.ToLower(name))
	if m == nil {
		return e, false
	}
	number := func(s string) int { n, _ := strconv.Atoi(s); return n } // digits, or nothing
	e = Entry{Slot: slots.Name(m[2]), Rank: number(m[1]), Left: Uncounted}
	if m[3] != "" {
		e.Left, e.Done = number(m[3]), number(m[4])
	}
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, "version "); ok {
			e.Version = strings.TrimSpace(v)
		}
	}
	return e, true
}
