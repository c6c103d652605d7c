package mirror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/disk"
	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/disk/layout"
	"hardnode.dev/internal/disk/mirror"
	"hardnode.dev/internal/run"
)

const sysBlock = "/sys/class/block"

// look sees how the disks below STATE and DATA are.
func look(state, data string) (v view, err error) {
	v.mirrored = true
	for _, at := range []string{state, data} {
		dir, err := os.Open(at)
		if err != nil {
			return view{}, err
		}
		list, err := btrfs.Devices(dir)
		whole, e := btrfs.Mirrored(dir)
		if err := errors.Join(err, e, dir.Close()); err != nil {
			return view{}, err
		}
		v.mirrored = v.mirrored && whole
		for _, d := range list {
			v.add(d)
			if at == data {
				v.used, v.size, v.free = max(v.used, d.Used), d.Bytes, d.Bytes-d.Used
			}
		}
	}
	if len(v.there()) == 1 && !v.there()[0].note.In() {
		v.single = true
	}
	if len(v.there()) == 1 && v.there()[0].disk == "" { // in memory, or a disk without partitions
		return view{}, nil
	}
	return v, nil
}

// add notes a device of a filesystem at the disk that it is on.
func (v *view) add(d btrfs.Device) {
	h := half{used: d.Used, errors: d.Errors}
	if h.disk = wholeOf(d.Path); disk.DeviceUUID(d.Path) == d.UUID && d.Path != "" {
		h.there = true
		h.note = noteOf(h.disk)
	}
	i := slices.IndexFunc(v.halves, func(o half) bool { return o.disk == h.disk })
	if i < 0 {
		v.halves = append(v.halves, h)
		return
	}
	o := &v.halves[i]
	o.there = o.there && h.there
	o.used += h.used
	o.errors += h.errors
}

// wholeOf is the disk that a device is on; "" when it is on none that is there. STATE may lie on a mapping of its partition.
func wholeOf(device string) string {
	if whole, partition := disk.On(sysBlock, device); device != "" && partition {
		return whole
	}
	return ""
}

// noteOf is what a disk says of its mirror; the zero value when it says nothing.
func noteOf(path string) mirror.Note {
	f, err := os.Open(path)
	if err != nil {
		return mirror.Note{}
	}
	defer f.Close()
	n, _ := disk.ReadMirror(f)
	return n
}

// prepared takes away the note that the disk is being prepared: another one says what it is now.
func prepared(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(layout.SetNote(f, disk.NotBegun), f.Close())
}

// mostSteps is more than a filesystem that comes to its end takes.
const mostSteps = 20

// fill makes a mounted filesystem lie on the kept disk and on a device, and on nothing else.
func fill(ctx context.Context, at, kept, device string, log *slog.Logger) error {
	dir, err := os.Open(at)
	if err != nil {
		return err
	}
	defer dir.Close()
	for n := 0; n < mostSteps; {
		list, err := btrfs.Devices(dir)
		if err != nil {
			return err
		}
		whole, err := btrfs.Mirrored(dir)
		if err != nil {
			return err
		}
		s := mirror.Next(roles(list, kept, device), whole)
		log.Info("fill a disk", "filesystem", at, "step", s.Do, "device", s.ID)
		switch s.Do {
		case mirror.Add:
			err = btrfs.AddDevice(dir, device)
		case mirror.Remove:
			err = btrfs.RemoveDevice(dir, s.ID)
		case mirror.Convert:
			err = btrfs.Mirror(dir)
		case mirror.Whole:
			return btrfs.Sync(dir)
		}
		switch {
		case errors.Is(err, btrfs.ErrBusy) || errors.Is(err, unix.EINPROGRESS): // a mount goes on with what a cut ended
			if !run.Wait(ctx, time.Second) {
				return ctx.Err()
			}
		case err != nil:
			return err
		default:
			n++
		}
	}
	return fmt.Errorf("it is not whole after %d steps; see the host's log", mostSteps)
}

// roles says what each device is to the filesystem.
func roles(list []btrfs.Device, kept, device string) (all []mirror.Member) {
	joins := disk.DeviceUUID(device)
	for _, d := range list {
		m := mirror.Member{ID: d.ID, Role: mirror.Gone}
		switch {
		case joins != "" && d.UUID == joins:
			m.Role = mirror.Joins
		case d.Path != "" && wholeOf(d.Path) == kept && disk.DeviceUUID(d.Path) == d.UUID:
			m.Role = mirror.Kept
		}
		all = append(all, m)
	}
	return all
}
