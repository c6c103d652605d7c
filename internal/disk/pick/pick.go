// Package pick decides which disk a host's system is installed to, and how that disk is laid out.
//
// Owns: which disk a rule means; what keeps a disk from being installed to; where the partitions lie.
// In: the disks as they were found, the wish, what this boot is from.
// Out: a plan; a refusal that names the disk, the reason and the next step.
// Never: looks at a disk itself, or takes one that holds something unless its path was typed.
package pick

import (
	"cmp"
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
	// Identity are those of the disks that this wish makes (their GUIDs): one of that identity was made by the same wish
	Identity []string
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

// NotTaken is why no disk takes the place of another one.
var NotTaken = errors.New("no disk is taken")

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %s", Refusal, fmt.Sprintf(format, args...))
}

// Blocked is why a disk can't be installed to, with the next step; "" when it can. A wipe that names it counts.
func Blocked(d Found, wipes, identity []string) string {
	named := slices.Contains(wipes, d.Path)
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
	case d.Content.Installed && slices.ContainsFunc(identity, func(id string) bool { return strings.EqualFold(d.Content.Identity, id) }):
		return "it was installed with this very configuration; take the boot medium out, or put the disk before it in the firmware's " +
			"boot order"
	case d.Content.Blank, d.Content.HalfMade, named:
		return ""
	}
	return fmt.Sprintf("it holds %s; choose another disk, or name this one as wipe (%s) to lose what it holds", d.Content.Holds, d.Path)
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
	chosen, err := chosen(want, disks, m.Identity)
	if err != nil {
		return install.Plan{}, err
	}
	var targets []install.Target
	for _, d := range chosen {
		t := install.Target{Disk: d.Disk, Partitions: Layout(d.Bytes)}
		if !d.Content.Blank && d.Content.Begun == disk.NotBegun {
			t.Wipes = d.Content.Holds
		}
		targets = append(targets, t)
	}
	p := install.Plan{Disk: targets[0].Disk, Wipes: targets[0].Wipes, Partitions: targets[0].Partitions, Source: m.Source}
	if len(targets) > 1 {
		p.Second = &targets[1]
	}
	if need := 3 * m.Bytes; need > ESPSize {
		return install.Plan{}, refuse("the system has %s, and the ESP of %s must have room for three", Size(m.Bytes), Size(ESPSize))
	}
	p.Steps = steps(p, chosen, m)
	return p, nil
}

// Replacement is the disk that takes the place of one that is gone, or was never there. used is how many bytes of DATA it must have room
// for.
func Replacement(rule install.Rule, wipe string, disks []Found, used int64) (Found, error) {
	var wipes []string
	if wipe != "" {
		wipes = []string{wipe}
	}
	one, err := choose("disk", rule, 1, wipes, disks, nil)
	if err != nil {
		return Found{}, fmt.Errorf("%w: %s", NotTaken, strings.TrimPrefix(err.Error(), Refusal.Error()+": "))
	}
	if parts := Layout(one[0].Bytes); parts[2].Bytes < used {
		return Found{}, fmt.Errorf("%w: disk %s: it is too small: %s, and what DATA of the other disk takes needs %s; choose a larger one",
			NotTaken, one[0].Path, Size(one[0].Bytes), Size(one[0].Bytes-parts[2].Bytes+used))
	}
	return one[0], nil
}

// chosen are the one or two disks that are meant.
func chosen(want install.Spec, disks []Found, identity []string) ([]Found, error) {
	if want.Mirror {
		return choose("install.disk", want.Disk, 2, want.Wiped(), disks, identity)
	}
	if len(want.Disks) == 0 {
		return choose("install.disk", want.Disk, 1, want.Wiped(), disks, identity)
	}
	var both []Found
	for i, r := range want.Disks {
		var wipes []string // what is not among the disks of this rule is the other's
		for _, w := range want.Wiped() {
			if slices.ContainsFunc(disks, func(d Found) bool { return d.Path == w && Matches(r, d) }) {
				wipes = append(wipes, w)
			}
		}
		rest := slices.DeleteFunc(slices.Clone(disks), func(d Found) bool { return len(both) > 0 && d.Path == both[0].Path })
		one, err := choose(fmt.Sprintf("install.disks[%d]", i), r, 1, wipes, rest, identity)
		if err != nil {
			return nil, err
		}
		both = append(both, one...)
	}
	for _, w := range want.Wiped() {
		if !slices.ContainsFunc(both, func(d Found) bool { return d.Path == w }) {
			return nil, refuse("wipe names %s, which is not a disk that install.disks means (%s); correct one of them", w,
				list(both))
		}
	}
	return both, nil
}

// choose finds the n disks that a rule means, which is called name.
func choose(name string, rule install.Rule, n int, wipes []string, disks []Found, identity []string) ([]Found, error) {
	var meant, free []Found
	for _, d := range disks {
		if !Matches(rule, d) {
			continue
		}
		meant = append(meant, d)
		if Blocked(d, wipes, identity) == "" {
			free = append(free, d)
		}
	}
	for _, w := range wipes {
		if !slices.ContainsFunc(meant, func(d Found) bool { return d.Path == w }) {
			return nil, refuse("wipe names %s, which is not a disk that %s means (%s); correct one of them", w, name, list(meant))
		}
	}
	begun := slices.DeleteFunc(slices.Clone(free), func(d Found) bool { return d.Content.Begun == disk.NotBegun })
	named := slices.DeleteFunc(slices.Clone(free), func(d Found) bool { return !slices.Contains(wipes, d.Path) })
	switch {
	case len(meant) == 0:
		return nil, refuse("no disk is as %s says; there is: %s; correct %s", name, list(disks), name)
	case len(named) == n:
		return named, nil
	case len(begun) == n: // of the disks that are free it is these that were chosen before
		return begun, nil
	case len(free) == n:
		return free, nil
	case len(free) > n:
		return nil, refuse("%d disks would do: %s; say in %s which is meant", len(free), list(free), name)
	case len(meant) == 1 && n == 1:
		return nil, refuse("disk %s: %s", meant[0].Path, Blocked(meant[0], wipes, identity))
	}
	var why []string
	for _, d := range meant {
		if b := Blocked(d, wipes, identity); b != "" {
			why = append(why, "disk "+d.Path+": "+b)
		}
	}
	if len(free) > 0 {
		return nil, refuse("two disks are wanted, and one would do: %s; %s", list(free), cmp.Or(strings.Join(why, ". "),
			"there is no other; attach one, or say mirror: false"))
	}
	return nil, refuse("no disk is free: %s", strings.Join(why, ". "))
}

// Layout is where partitions lie on a disk of that size, each on a border of 1 MiB.
func Layout(size int64) []install.Partition {
	last := (size - edge) / miB * miB
	return []install.Partition{{Name: "ESP", Start: edge, Bytes: ESPSize}, {Name: "STATE", Start: edge + ESPSize, Bytes: stateSize},
		{Name: "DATA", Start: edge + ESPSize + stateSize, Bytes: last - edge - ESPSize - stateSize}}
}

func steps(p install.Plan, chosen []Found, m Machine) []string {
	var first, parts []string
	for i, t := range p.Targets() {
		switch {
		case chosen[i].Content.Begun != disk.NotBegun:
			first = append(first, "take up the installation that was cut short")
		case t.Wipes != "":
			first = append(first, "wipe "+t.Disk.Path+": "+t.Wipes+" is lost")
		default:
			first = append(first, "mark "+t.Disk.Path+" as being installed to")
		}
		var sizes []string
		for _, x := range t.Partitions {
			sizes = append(sizes, x.Name+" "+Size(x.Bytes))
		}
		parts = append(parts, strings.Join(sizes, ", "))
	}
	list := []string{strings.Join(slices.Compact(first), ", "), "partition it: " + parts[0], "make the filesystems",
		"copy this host's state and configuration", "copy the system into slot a, the rescue system, and the boot loader: from " + m.Source,
		"check what was written", "enter it into the firmware's boot order", "reboot from it"}
	if p.Second != nil {
		list[1] = "partition them: " + strings.Join(slices.Compact(parts), "; ")
		list[2] = "make the filesystems: an ESP on each, STATE and DATA mirrored"
		list[4] = "copy the system into slot a, the rescue system, and the boot loader, onto one disk after the other: from " + m.Source
		list[6] = "enter both into the firmware's boot order"
		list[7] = "reboot from them"
	}
	return list
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
