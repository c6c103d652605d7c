package mirror

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"hardnode.dev/agent/partition"
	"hardnode.dev/internal/disk"
	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/disk/mirror"
	"hardnode.dev/internal/disk/pick"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire/storage"
)

// The steps of filling a disk, from 1.
const (
	stepPartition = 1 + iota
	stepNote
	stepState
	stepData
	stepSystems
	stepOrder
)

// steps are they, for people. had and has are the sizes of DATA before and after, in bytes.
func steps(kept, target string, had, has int64) []string {
	data := "copy DATA onto it"
	if has < had {
		data += ", which is the smaller one: DATA has room for " + pick.Size(has) + " then, not " + pick.Size(had)
	}
	return []string{"partition " + target + ": all that it holds is lost", "write down that it is being filled from " + kept,
		"copy STATE onto it", data, "copy the systems and the boot loader onto it",
		"write down that it has all, and enter it into the firmware's boot order"}
}

// work is one disk that is filled.
type work struct {
	kept   half
	target pick.Found
	goesOn bool // the disk is a part of the mirror already: its filling was cut short
	size   int64
}

// Replace begins to fill a disk in the place of the one that is gone or was never there, or plans it (DryRun). Its error is a refusal; what
// fails later is in Status. Cut off anywhere, the same wish goes on with it; while it is under way it is answered as if it began.
func (m *Mirror) Replace(ctx context.Context, want storage.Replace) (storage.Status, error) {
	if joins, err := m.joins(want); joins || err != nil {
		return m.Status(), err
	}
	w, err := m.plan(want)
	if err != nil {
		return m.Status(), err
	}
	has := pick.Layout(w.target.Bytes)[2].Bytes
	m.mu.Lock()
	if m.mu.busy {
		m.mu.Unlock()
		return m.Status(), errBusy
	}
	m.mu.steps, m.mu.step, m.mu.failed = steps(w.kept.disk, w.target.Path, w.size, has), 0, ""
	if !want.DryRun {
		m.mu.busy, m.mu.step, m.mu.target, m.mu.tried = true, stepPartition, w.target, true
	}
	m.mu.Unlock()
	if want.DryRun {
		return m.Status(), nil
	}
	go func() { // bounded by what the disk takes; the agent's end leaves it to the next one
		err := m.carry(context.WithoutCancel(ctx), w)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.mu.busy, m.mu.step = false, 0
		if err != nil {
			m.mu.failed = fmt.Sprintf("disk %s: %v", w.target.Path, err)
			m.log.Error("fill a disk", logging.Err, err, "disk", w.target.Path)
			return
		}
		m.log.Info("the disks are whole", "disk", w.target.Path, "filled from", w.kept.disk)
	}()
	return m.Status(), nil
}

var errBusy = errors.New("a disk is being filled; wait for it (hnctl host disk show)")

// joins tells whether what is wished is under way.
func (m *Mirror) joins(want storage.Replace) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch d := m.mu.target; {
	case !m.mu.busy:
		return false, nil
	case pick.Matches(want.Disk, d) && (want.Wipe == "" || want.Wipe == d.Path):
		return true, nil
	default:
		return false, fmt.Errorf("%w; it is %s, and another one is wished", errBusy, d.Path)
	}
}

// plan decides.
func (m *Mirror) plan(want storage.Replace) (w work, err error) {
	if err := want.Validate(); err != nil {
		return w, fmt.Errorf("%w: %v", pick.NotTaken, err)
	}
	v, err := look(m.o.State, m.o.Data)
	if err != nil {
		return w, err
	}
	if w.kept, err = v.source(want.Add); err != nil {
		return w, err
	}
	if v.single {
		encrypted, err := disk.Encrypted(partition.Of(w.kept.disk, 2))
		if err != nil {
			return w, err
		}
		inPlace, err := m.o.InPlace()
		if err := errors.Join(err, v.second(encrypted, inPlace)); err != nil {
			return w, err
		}
	}
	found, err := m.o.Look()
	if err != nil {
		return w, err
	}
	w.size = v.size
	for i := range found {
		d := &found[i]
		h, member := v.of(d.Path)
		switch {
		case member && h.note.Filling:
			w.goesOn = true
			w.target = *d
		case member && v.single:
			d.Used = "this host lies on it"
		case member:
			d.Used = "it is one of this host's two disks"
		case !w.kept.note.In() || noteOf(d.Path).ID() != w.kept.note.ID():
		case noteOf(d.Path).Filling:
			d.Content.Begun = disk.Begun
		default:
			d.Content.Holds = "what this host held before it went on without this disk"
		}
	}
	if w.goesOn {
		if !pick.Matches(want.Disk, w.target) {
			return w, fmt.Errorf("disk %s is being filled, and the wish means another one; take it out, or name it", w.target.Path)
		}
		return w, nil
	}
	w.target, err = pick.Replacement(want.Disk, want.Wipe, found, v.used)
	return w, err
}

// mostListed is how many things an error lists.
const mostListed = 10

// second says why a host on one disk can't be given another one, with the next step. inPlace is what its DATA has that is written in place.
func (v view) second(encrypted bool, inPlace []string) error {
	// A block group is written anew onto both disks before its room is given back. The kernel makes them of a tenth of a filesystem, and
	// of 1 GiB at most (fs/btrfs/volumes.c, init_alloc_chunk_ctl_policy_regular).
	room := min(v.size/10, 1<<30)
	switch {
	case encrypted:
		return errors.New("STATE of this host is encrypted, and a mirror of two disks can't be yet; to have one, install it anew on two " +
			"disks without install.encrypt")
	case v.free < room:
		return fmt.Errorf("DATA of this host has %s that no block group takes, and %s are needed to write what it holds onto two disks; "+
			"delete what is not needed: the host gives room back within an hour (hnctl host disk show)", pick.Size(v.free), pick.Size(room))
	}
	return mirrors(inPlace)
}

// mirrors says why DATA is not mirrored while something of it is written in place.
func mirrors(inPlace []string) error {
	if len(inPlace) == 0 {
		return nil
	}
	list := strings.Join(inPlace[:min(len(inPlace), mostListed)], ", ")
	if more := len(inPlace) - mostListed; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Errorf("what is written in place (nodatacow) has no checksums, so that after a fault nobody could say which disk is right: "+
		"%s; move these nodes to other hosts (hnctl node move) or delete them, and delete the snapshots; a volume that comes back "+
		"to a host on two disks is not written in place", list)
}

// carry does it.
func (m *Mirror) carry(ctx context.Context, w work) error {
	path := w.target.Path
	if !w.goesOn {
		if err := m.o.Prepare(ctx, w.target); err != nil {
			return err
		}
		m.step(stepNote)
		old, joining := w.kept.note.Joined() // of a host on one disk, a cut between the two leaves it as it was
		if err := disk.WriteMirror(path, joining); err != nil {
			return err
		}
		if err := disk.WriteMirror(w.kept.disk, old); err != nil {
			return err
		}
		if err := prepared(path); err != nil {
			return err
		}
		w.kept.note = old
	}
	m.step(stepState)
	device, err := m.o.Open(partition.Of(path, 2))
	if err != nil {
		return fmt.Errorf("open STATE: %w", err)
	}
	if err := fill(ctx, m.o.State, w.kept.disk, device, m.log); err != nil {
		return fmt.Errorf("copy STATE: %w", err)
	}
	m.step(stepData)
	if err := m.mayMirror(); err != nil {
		return err
	}
	if err := fill(ctx, m.o.Data, w.kept.disk, partition.Of(path, 3), m.log); err != nil {
		return fmt.Errorf("copy DATA: %w", err)
	}
	m.step(stepSystems)
	if err := m.o.Systems(path); err != nil {
		return fmt.Errorf("copy the systems: %w", err)
	}
	m.step(stepOrder)
	if err := disk.WriteMirror(path, mirror.Note{History: w.kept.note.History}); err != nil {
		return err
	}
	if err := m.o.Order(); err != nil { // the disk boots without it too
		m.log.Warn("enter the disks into the firmware's boot order", logging.Err, err)
	}
	return nil
}

// mayMirror looks once more, just before DATA gets its second device: from then on nothing new is written in place (volume.WriteInPlace).
func (m *Mirror) mayMirror() error {
	dir, err := os.Open(m.o.Data)
	if err != nil {
		return err
	}
	defer dir.Close()
	if two, err := btrfs.DataMirrored(dir); err != nil || two {
		return err
	}
	inPlace, err := m.o.InPlace()
	return errors.Join(err, mirrors(inPlace))
}

func (m *Mirror) step(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.step = n
	m.log.Info("fill a disk", "step", m.mu.steps[n-1])
}
