package mirror

import (
	"errors"
	"fmt"
	"slices"

	"hardnode.dev/internal/disk/mirror"
	"hardnode.dev/internal/disk/pick"
	"hardnode.dev/internal/wire/storage"
)

// half is one disk of the mirror, as the mounted filesystems have it.
type half struct {
	disk   string // "": it was gone before the boot
	note   mirror.Note
	there  bool
	errors uint64
	used   int64 // what of it is allotted
}

// view is what was seen at one look.
type view struct {
	halves   []half
	single   bool  // it lies on one disk
	mirrored bool  // all that is written lies on both
	used     int64 // what a disk must have room for in DATA
	size     int64 // of DATA on a disk; where it lies on two, on one of them
	free     int64 // what of that no block group takes
}

func (v view) of(path string) (half, bool) {
	i := slices.IndexFunc(v.halves, func(h half) bool { return h.disk == path && h.there })
	if i < 0 {
		return half{}, false
	}
	return v.halves[i], true
}

// there are the halves that are there.
func (v view) there() []half {
	return slices.DeleteFunc(slices.Clone(v.halves), func(h half) bool { return !h.there })
}

// alone is the one disk that is left of a mirror; nil when that is not so.
func (v view) alone() *half {
	if there := v.there(); !v.single && len(there) == 1 {
		return &there[0]
	}
	return nil
}

// filling tells whether a disk is there that has not all yet.
func (v view) filling() bool {
	return slices.ContainsFunc(v.there(), func(h half) bool { return h.note.Filling })
}

// source is the disk that another one is filled from; the error says why none is to be. add: also that of a host on one disk.
func (v view) source(add bool) (half, error) {
	there := v.there()
	whole := slices.DeleteFunc(slices.Clone(there), func(h half) bool { return h.note.Filling })
	switch {
	case len(v.halves) == 0:
		return half{}, errors.New("this host was not booted from an installed disk; install it first (hnctl host install)")
	case v.single && !add:
		return half{}, errors.New("this host lies on one disk, so it has none to replace; hnctl host disk add gives it a second one")
	case v.single:
		return there[0], nil
	case len(whole) == 0:
		return half{}, errors.New("no disk is there that has all")
	case len(whole) > 1 && add:
		return half{}, fmt.Errorf("this host lies on two disks (%s, %s), and both are there; more than two can't be", whole[0].disk,
			whole[1].disk)
	case len(whole) > 1:
		return half{}, fmt.Errorf("both disks are there (%s, %s); take out the one that is to be replaced", whole[0].disk, whole[1].disk)
	}
	return whole[0], nil
}

// describe puts what was seen into words. found may be none: then disks that are not used are not listed.
func (v view) describe(s *storage.Status, found []pick.Found, busy bool) {
	there := v.there()
	filling := slices.IndexFunc(there, func(h half) bool { return h.note.Filling })
	switch {
	case len(v.halves) == 0:
		s.State = storage.None
		return
	case v.single:
		s.State = storage.Single
		return
	case busy || filling >= 0:
		s.State = storage.Filling
		if !busy {
			s.Reason = "the filling of disk " + there[filling].disk + " was cut short; go on with hnctl host disk replace"
		}
	case len(there) < 2:
		s.State = storage.Degraded
		s.Reason = "the other disk is gone; put another one in, then hnctl host disk replace"
	case !v.mirrored:
		s.State = storage.Degraded
		s.Reason = "not all lies on both disks; take one out and put it in again with hnctl host disk replace"
	default:
		s.State = storage.Whole
	}
	for _, h := range v.halves {
		d := storage.Half{Path: h.disk, Use: storage.Used, Errors: int64(h.errors)}
		switch {
		case !h.there:
			d.Use = storage.Gone
		case h.note.Filling:
			d.Use = storage.Fills
			s.Percent = v.percent(h)
		case h.errors > 0:
			d.Use, d.Reason = storage.Failing, fmt.Sprintf("%d reads or writes of it failed; replace it", h.errors)
			if s.Reason == "" {
				s.Reason = "disk " + h.disk + ": " + d.Reason
			}
		}
		if i := slices.IndexFunc(found, func(f pick.Found) bool { return f.Path == h.disk }); i >= 0 && h.there {
			d.Model, d.Serial, d.Bytes = found[i].Model, found[i].Serial, found[i].Bytes
		}
		if h.there || !slices.ContainsFunc(s.Disks, func(x storage.Half) bool { return x.Use == storage.Gone && x.Path == d.Path }) {
			s.Disks = append(s.Disks, d)
		}
	}
	for _, f := range found {
		n := noteOf(f.Path)
		if _, member := v.of(f.Path); member || len(there) == 0 || n.ID() != there[0].note.ID() {
			continue
		}
		why := "it has missed something; take it in again with hnctl host disk replace --wipe " + f.Path
		if n.Filling {
			why = "its filling was cut short; go on with hnctl host disk replace"
		}
		s.Disks = append(s.Disks, storage.Half{Path: f.Path, Model: f.Model, Serial: f.Serial, Bytes: f.Bytes, Use: storage.Left,
			Reason: why})
	}
}

// percent is how much of what the other disk holds is on this one.
func (v view) percent(h half) int {
	for _, o := range v.there() {
		if !o.note.Filling && o.used > 0 {
			return int(min(99, 100*h.used/o.used))
		}
	}
	return 0
}
