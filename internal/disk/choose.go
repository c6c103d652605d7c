package disk

import (
	"fmt"
	"slices"
	"strings"

	"hardnode.dev/internal/disk/mirror"
)

// Disk is one block device as it was found.
type Disk struct {
	Path    string // /dev/vda
	Bytes   int64
	Content Content
	// Busy: something else uses it (mounted, a partition of it is), or it is read-only or removable: never DATA unless named.
	Busy string
	// State and Of are those of a partition with DATA: the partition with STATE beside it, and the disk both are on. Half is what that disk
	// says of the mirror that it is in, if it is in one; the whole disk says it too, for when its DATA can't be read.
	State, Of string
	Half      mirror.Half
}

var ours = Content{Data: true, Holds: "DATA of a Hardnode host"}

// Action is what becomes of the chosen disk.
type Action string

// The actions.
const (
	Mount  Action = "mount"  // it is our DATA already
	Format Action = "format" // it is blank, half made, or named by wipe
	RAM    Action = "ram"    // no disk: DATA on zram
)

// Devices are where DATA and STATE lie: a device each, or two when they are mirrored.
type Devices struct {
	Data     []string
	State    []string // none: it is a part of DATA
	Degraded bool     // a device of theirs is not among them
}

// Choice is a decision with its reason. It has no devices for RAM.
type Choice struct {
	Action Action
	Devices
	Reason string
	// Mirror is which disks of a mirror are used; the zero value when there is none.
	Mirror mirror.Choice
}

func one(path string) Devices { return Devices{Data: []string{path}} }

// Wish is what the configuration says of DATA.
type Wish struct {
	Data, Wipe string // storage.data ("", "auto", "none" or a device) and storage.wipe
	Install    bool   // the host is to be installed: no disk is formatted here
	Booted     string // the disk that this boot is from, when it is an installed one
}

// Choose decides where DATA lies.
// An error is for the operator: it names the disk, what it holds and the next step; nothing has been touched.
func Choose(w Wish, disks []Disk) (Choice, error) {
	if i := slices.IndexFunc(disks, func(d Disk) bool { return d.Of != "" && d.Of == w.Booted }); i >= 0 {
		return installed(disks[i], disks)
	}
	if w.Install {
		return Choice{Action: RAM, Reason: "this host is to be installed: until then it keeps nothing"}, nil
	}
	return choose(w.Data, w.Wipe, disks)
}

// installed takes the DATA of an installed host.
func installed(d Disk, disks []Disk) (Choice, error) {
	if d.Half.Note.In() {
		return mirrored(d.Half.Note.ID(), disks)
	}
	if d.State == "" {
		return Choice{}, fmt.Errorf("disk %s: has DATA of an installed host on %s, and no STATE; boot the medium and install again, with "+
			"install.wipe set to %s to lose what it holds", d.Of, d.Path, d.Of)
	}
	return Choice{Action: Mount, Devices: Devices{Data: []string{d.Path}, State: []string{d.State}},
		Reason: "it holds the DATA of this installed host"}, nil
}

// mirrored takes the DATA of a host that is installed on two disks.
func mirrored(id string, disks []Disk) (c Choice, err error) {
	var halves []mirror.Half
	for _, d := range disks {
		listed := slices.ContainsFunc(disks, func(p Disk) bool { return d.Of == "" && p.Of == d.Path })
		if d.Half.Note.ID() == id && !listed {
			halves = append(halves, d.Half)
		}
	}
	c.Action = Mount
	if c.Mirror, err = mirror.Choose(halves); err != nil {
		return Choice{}, err
	}
	for _, h := range c.Mirror.Use {
		d := disks[slices.IndexFunc(disks, func(d Disk) bool { return d.Of == h.Disk })]
		c.Data, c.State = append(c.Data, d.Path), append(c.State, d.State)
	}
	c.Degraded = c.Mirror.Alone || c.Mirror.Filling
	c.Reason = "they hold the DATA of this installed host"
	switch {
	case c.Mirror.Alone:
		c.Reason = "degraded: it holds the DATA of this installed host, and the other disk of its mirror is gone"
	case c.Mirror.Filling:
		c.Reason = "degraded: the second of them is being filled"
	}
	for _, l := range c.Mirror.Left {
		c.Reason += "; disk " + l.Disk + ": " + l.Reason
	}
	return c, nil
}

func choose(want, wipe string, disks []Disk) (Choice, error) {
	if wipe != "" && wipe != want {
		return Choice{}, fmt.Errorf("storage.wipe names %q and storage.data %q: they must be the same device", wipe, want)
	}
	switch want {
	case "none":
		return Choice{Action: RAM, Reason: "storage.data is none: nothing on this host outlives a reboot"}, nil
	case "", "auto":
		return auto(disks)
	}
	i := slices.IndexFunc(disks, func(d Disk) bool { return d.Path == want })
	if i < 0 {
		return Choice{}, fmt.Errorf("disk %s: is not there (found: %s); correct storage.data", want, list(disks))
	}
	d := disks[i]
	switch {
	case d.Content.Data:
		return Choice{Action: Mount, Devices: one(d.Path), Reason: "it holds this host's DATA"}, nil
	case d.Busy != "":
		return Choice{}, fmt.Errorf("disk %s: %s; choose another disk in storage.data", d.Path, d.Busy)
	case d.Content.Blank:
		return Choice{Action: Format, Devices: one(d.Path), Reason: "it is blank"}, nil
	case d.Content.HalfMade:
		return Choice{Action: Format, Devices: one(d.Path), Reason: "its formatting was cut short"}, nil
	case wipe == want:
		return Choice{Action: Format, Devices: one(d.Path), Reason: "storage.wipe names it; it held " + d.Content.Holds}, nil
	}
	return Choice{}, fmt.Errorf("disk %s: holds %s, so it is not formatted; empty it, choose another disk, or set storage.wipe to %s to "+
		"lose what it holds", d.Path, d.Content.Holds, d.Path)
}

func auto(disks []Disk) (Choice, error) {
	var ours, free []Disk
	for _, d := range disks {
		switch {
		case d.Content.Data:
			ours = append(ours, d)
		case d.Busy == "" && (d.Content.Blank || d.Content.HalfMade):
			free = append(free, d)
		}
	}
	switch {
	case len(ours) == 1 && ours[0].Of != "", len(ours) > 1 && ours[0].Half.Note.In() && !slices.ContainsFunc(ours, func(d Disk) bool {
		return d.Half.Note.ID() != ours[0].Half.Note.ID()
	}):
		return installed(ours[0], disks)
	case len(ours) == 1:
		return Choice{Action: Mount, Devices: one(ours[0].Path), Reason: "it holds this host's DATA"}, nil
	case len(ours) > 1:
		return Choice{}, fmt.Errorf("disks %s: each holds DATA of a Hardnode host; name one in storage.data", list(ours))
	case len(free) == 1:
		return Choice{Action: Format, Devices: one(free[0].Path), Reason: "it is the only blank disk"}, nil
	case len(free) > 1:
		return Choice{}, fmt.Errorf("disks %s: each is blank; name one in storage.data", list(free))
	case len(disks) == 0:
		return Choice{Action: RAM, Reason: "there is no disk: nothing on this host outlives a reboot"}, nil
	}
	return Choice{}, fmt.Errorf(
		"no blank disk: found %s; empty one, name one in storage.wipe and storage.data, or set storage.data to none", list(disks))
}

func list(disks []Disk) string {
	if len(disks) == 0 {
		return "no disk"
	}
	all := make([]string, len(disks))
	for i, d := range disks {
		all[i] = fmt.Sprintf("%s (%s)", d.Path, d.Content.Holds)
		if d.Busy != "" {
			all[i] = fmt.Sprintf("%s (%s)", d.Path, d.Busy)
		}
	}
	return strings.Join(all, ", ")
}
