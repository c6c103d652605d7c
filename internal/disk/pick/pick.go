// Package pick decides which disk a host's system is installed to, and how that disk is laid out.
//
// Owns: which disk a rule means; what keeps a disk from being installed to; where the partitions lie.
// In: the disks as they were found, the wish, what this boot is from.
// Out: a plan; a refusal that names the disk, the reason and the next step.
// Never: looks at a disk itself, or takes one that holds something unless its path was typed.
package pick

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"hardnode.dev/internal/disk"
	"hardnode.dev/internal/wire/install"
)

// Found is one disk of the machine.
type Found struct {
	install.Disk
	Content  disk.Content
	ReadOnly bool
	Sector   int64  // bytes of a logical sector
	Used     string // what uses it, for people: "it is the boot medium", "this host's DATA is on it"; never installed to
	Unread   string // why it could not be read
}

// Machine is what an installation depends on beside disks.
type Machine struct {
	UEFI bool
	// InMemory: this host's DATA is in memory, so that nothing of it is left behind on another disk.
	InMemory  bool
	Installed string // the disk that this boot is from; "": a medium
	Source    string // where the system is taken from, for people
	Bytes     int64  // of the system
	Identity  string // of the disk that this wish makes (its GUID): one of that identity was made by the same wish
}

// Sizes of partitions, in bytes. An ESP has room for three systems that are three times as large as today's.
const (
	miB       = int64(1) << 20
	edge      = miB
	ESPSize   = 1024 * miB // bytes of an installed disk's ESP
	stateSize = 512 * miB
	leastData = 2048 * miB
	// Least is the smallest disk that is installed to.
	Least = 2*edge + ESPSize + stateSize + leastData
)

// Refusal is why there is no plan.
var Refusal = errors.New("not installed")

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %s", Refusal, fmt.Sprintf(format, args...))
}

// Blocked is why a disk can't be installed to, with the next step; "" when it can. A wipe that names it counts.
func Blocked(d Found, wipe, identity string) string {
	named := wipe == d.Path
	switch {
	case d.Used != "":
		return d.Used + "; choose another disk"
	case d.Unread != "":
		return "it can't be read: " + d.Unread + "; replace it, or choose another disk"
	case d.ReadOnly:
		return "it is read-only; take its write protection off, or choose another disk"
	case d.Sector != 512:
		return fmt.Sprintf("its sectors have %d bytes, and 512 are needed; set it to 512 with its maker's tool, or choose another disk",
			d.Sector)
	case d.Bytes < Least:
		return fmt.Sprintf("it is too small: %s, and at least %s are needed; choose another disk", Size(d.Bytes), Size(Least))
	case d.Content.Begun != disk.NotBegun:
		return ""
	case d.Content.Installed && identity != "" && strings.EqualFold(d.Content.Identity, identity):
		return "it was installed with this very configuration; take the boot medium out, or put the disk before it in the firmware's " +
			"boot order"
	case d.Content.Blank, d.Content.HalfMade, named:
		return ""
	}
	return fmt.Sprintf("it holds %s; choose another disk, or set install.wipe to %s to lose what it holds", d.Content.Holds, d.Path)
}

// Matches tells whether a rule means a disk.
func Matches(r install.Rule, d Found) bool {
	like := func(pattern, text string) bool {
		if pattern == "" {
			return true
		}
		ok, err := path.Match(strings.ReplaceAll(strings.ToLower(pattern), "/", "\x00"), strings.ReplaceAll(strings.ToLower(text), "/",
			"\x00"))
		return ok && err == nil
	}
	giB := int64(1) << 30
	return (r.Path == "" || r.Path == d.Path) &&
		(r.ID == "" || slices.ContainsFunc(d.IDs, func(id string) bool { return like(path.Base(r.ID), id) })) &&
		like(r.Model, d.Model) && like(r.Serial, d.Serial) && (r.Transport == "" || r.Transport == d.Transport) &&
		d.Bytes >= r.MinGiB*giB && (r.MaxGiB == 0 || d.Bytes <= r.MaxGiB*giB)
}

// Decide makes the plan of a wish.
func Decide(want install.Spec, disks []Found, m Machine) (install.Plan, error) {
	switch {
	case m.Installed != "":
		return install.Plan{}, refuse("this host was booted from %s, where it is installed already; `hnctl host slots` shows its systems",
			m.Installed)
	case !m.UEFI:
		return install.Plan{}, refuse("this machine was started by a BIOS, and an installed disk needs UEFI; switch the firmware to " +
			"UEFI and " +
			"boot the medium again, or go on booting from it")
	case !m.InMemory:
		return install.Plan{}, refuse("this host keeps its DATA on a disk, which would be left behind; boot it with storage.data none " +
			"and " +
			"install then")
	case m.Source == "":
		return install.Plan{}, refuse("the system that this host was booted from is not found; name a file with it in install.uki")
	}
	d, err := choose(want, disks, m.Identity)
	if err != nil {
		return install.Plan{}, err
	}
	p := install.Plan{Disk: d.Disk, Source: m.Source, Partitions: layout(d.Bytes)}
	if need := 3 * m.Bytes; need > ESPSize {
		return install.Plan{}, refuse("the system has %s, and the ESP of %s must have room for three", Size(m.Bytes), Size(ESPSize))
	}
	if !d.Content.Blank && d.Content.Begun == disk.NotBegun {
		p.Wipes = d.Content.Holds
	}
	p.Steps = steps(p, d, m)
	return p, nil
}

// choose finds the one disk that is meant.
func choose(want install.Spec, disks []Found, identity string) (Found, error) {
	var meant, free []Found
	for _, d := range disks {
		if !Matches(want.Disk, d) {
			continue
		}
		meant = append(meant, d)
		if Blocked(d, want.Wipe, identity) == "" {
			free = append(free, d)
		}
	}
	if want.Wipe != "" && !slices.ContainsFunc(meant, func(d Found) bool { return d.Path == want.Wipe }) {
		return Found{}, refuse("install.wipe names %s, which is not a disk that install.disk means (%s); correct one of them", want.Wipe,
			list(meant))
	}
	begun := slices.DeleteFunc(slices.Clone(free), func(d Found) bool { return d.Content.Begun == disk.NotBegun })
	named := slices.DeleteFunc(slices.Clone(free), func(d Found) bool { return d.Path != want.Wipe })
	switch {
	case len(meant) == 0:
		return Found{}, refuse("no disk is as install.disk says; there is: %s; correct install.disk", list(disks))
	case len(named) == 1:
		return named[0], nil
	case len(begun) == 1: // of the disks that are free it is this one that was chosen before
		return begun[0], nil
	case len(free) == 1:
		return free[0], nil
	case len(free) > 1:
		return Found{}, refuse("%d disks would do: %s; say in install.disk which one is meant", len(free), list(free))
	case len(meant) == 1:
		return Found{}, refuse("disk %s: %s", meant[0].Path, Blocked(meant[0], want.Wipe, identity))
	}
	var why []string
	for _, d := range meant {
		why = append(why, "disk "+d.Path+": "+Blocked(d, want.Wipe, identity))
	}
	return Found{}, refuse("no disk is free: %s", strings.Join(why, ". "))
}

// layout is where partitions lie on a disk of that size, each on a border of 1 MiB.
func layout(size int64) []install.Partition {
	last := (size - edge) / miB * miB
	return []install.Partition{{Name: "ESP", Start: edge, Bytes: ESPSize}, {Name: "STATE", Start: edge + ESPSize, Bytes: stateSize},
		{Name: "DATA", Start: edge + ESPSize + stateSize, Bytes: last - edge - ESPSize - stateSize}}
}

func steps(p install.Plan, d Found, m Machine) []string {
	var list []string
	if d.Content.Begun != disk.NotBegun {
		list = append(list, "take up the installation that was cut short")
	} else if p.Wipes != "" {
		list = append(list, "wipe "+d.Path+": "+p.Wipes+" is lost")
	} else {
		list = append(list, "mark "+d.Path+" as being installed to")
	}
	var parts []string
	for _, x := range p.Partitions {
		parts = append(parts, x.Name+" "+Size(x.Bytes))
	}
	return append(list, "partition it: "+strings.Join(parts, ", "), "make the filesystems", "copy this host's state and configuration",
		"copy the system into slot a, the rescue system, and the boot loader: from "+m.Source, "check what was written",
		"enter it into the firmware's boot order", "reboot from it")
}

func list(disks []Found) string {
	if len(disks) == 0 {
		return "no disk"
	}
	var all []string
	for _, d := range disks {
		all = append(all, strings.Join(slices.DeleteFunc([]string{d.Path, d.Model, d.Serial, Size(d.Bytes)},
			func(s string) bool { return s == "" }), " "))
	}
	return strings.Join(all, ", ")
}

// Size is a number of bytes for people.
func Size(n int64) string {
	if n >= 10<<30 {
		return fmt.Sprintf("%d GiB", n>>30)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
