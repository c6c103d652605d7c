package mirror

import (
	"context"
	"errors"
	"fmt"

	"hardnode.dev/agent/partition"
	"hardnode.dev/internal/disk"
	"hardnode.dev/internal/disk/mirror"
	"hardnode.dev/internal/disk/pick"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire/storage"
)

// The steps of a replacement, from 1.
const (
	stepPartition = 1 + iota
	stepNote
	stepState
	stepData
	stepSystems
	stepOrder
)

func steps(kept, target string) []string {
	return []string{"partition " + target + ": all that it holds is lost", "write down that it is being filled from " + kept,
		"copy STATE onto it", "copy DATA onto it", "copy the systems and the boot loader onto it",
		"write down that it has all, and enter it into the firmware's boot order"}
}

// work is one replacement.
type work struct {
	kept   half
	target pick.Found
	goesOn bool // the disk is a part of the mirror already: its filling was cut short
}

// Replace begins to fill a disk in the place of the one that is gone, or plans it (DryRun). Its error is a refusal; what fails later is in
// Status. Cut off anywhere, the same wish goes on with it.
func (m *Mirror) Replace(ctx context.Context, want storage.Replace) (storage.Status, error) {
	w, err := m.plan(want)
	if err != nil {
		return m.Status(), err
	}
	m.mu.Lock()
	if m.mu.busy {
		m.mu.Unlock()
		return m.Status(), errors.New("a disk is being filled; wait for it (hnctl host disk show)")
	}
	m.mu.steps, m.mu.step, m.mu.failed = steps(w.kept.disk, w.target.Path), 0, ""
	if !want.DryRun {
		m.mu.busy, m.mu.step = true, stepPartition
	}
	m.mu.Unlock()
	if want.DryRun {
		return m.Status(), nil
	}
	go func() { // bounded by what the disk takes; the agent's end leaves it to the next wish
		err := m.carry(context.WithoutCancel(ctx), w)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.mu.busy, m.mu.step = false, 0
		if err != nil {
			m.mu.failed = fmt.Sprintf("disk %s: %v", w.target.Path, err)
			m.log.Error("replace a disk", logging.Err, err, "disk", w.target.Path)
			return
		}
		m.log.Info("the disks are whole again", "disk", w.target.Path, "filled from", w.kept.disk)
	}()
	return m.Status(), nil
}

// plan decides.
func (m *Mirror) plan(want storage.Replace) (w work, err error) {
	if err := want.Validate(); err != nil {
		return w, fmt.Errorf("%w: %v", pick.Refusal, err)
	}
	v, err := look(m.o.State, m.o.Data)
	if err != nil {
		return w, err
	}
	if w.kept, err = v.source(); err != nil {
		return w, err
	}
	found, err := m.o.Look()
	if err != nil {
		return w, err
	}
	for i := range found {
		d := &found[i]
		h, member := v.of(d.Path)
		switch {
		case member && h.note.Filling:
			w.goesOn = true
			w.target = *d
		case member:
			d.Used = "it is one of this host's two disks"
		case noteOf(d.Path).ID() != w.kept.note.ID():
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

// carry does it.
func (m *Mirror) carry(ctx context.Context, w work) error {
	path := w.target.Path
	if !w.goesOn {
		if err := m.o.Prepare(ctx, w.target); err != nil {
			return err
		}
		m.step(stepNote)
		old, joining := w.kept.note.Joined()
		if err := disk.WriteMirror(w.kept.disk, old); err != nil {
			return err
		}
		if err := disk.WriteMirror(path, joining); err != nil {
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

func (m *Mirror) step(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.step = n
	m.log.Info("replace a disk", "step", m.mu.steps[n-1])
}
