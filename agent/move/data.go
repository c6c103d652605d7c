package move

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"hardnode.dev/agent/container"
	"hardnode.dev/agent/move/talk"
	"hardnode.dev/agent/snapshot"
	"hardnode.dev/agent/spawner/ring"
	"hardnode.dev/agent/volume"
	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/disk/btrfs/stream"
	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	wiresnapshot "hardnode.dev/internal/wire/snapshot"
)

var _ Disk = (*Data)(nil)

// Data is the Disk of a host. Make it with OpenData.
type Data struct {
	runtime *container.Runtime
	given   *snapshot.Store
	out, in string
}

// arrival is the note of a move that has arrived, as long as its container is here.
type arrival struct {
	Move string `json:"move"`
}

// OpenData keeps what belongs to moves below dataDir.
func OpenData(r *container.Runtime, dataDir string) (*Data, error) {
	d := &Data{runtime: r, out: filepath.Join(dataDir, "move", "out"), in: filepath.Join(dataDir, "move", "in")}
	d.given = snapshot.OpenAt(d.out)
	for _, dir := range []string{d.out, d.in} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make room for moves: %w", err)
		}
	}
	return d, d.given.SweepAll()
}

// Take implements Disk.
func (d *Data) Take(ctx context.Context, id wire.CTID, base wiresnapshot.ID, last bool) (head *talk.Head, err error) {
	err = d.runtime.Holding(ctx, id, func(h *container.Hold) error {
		if last && h.Running() {
			return ErrRuns
		}
		head, err = d.take(ctx, id, h, base)
		return err
	})
	if errors.Is(err, container.ErrNotFound) { // it never ran
		head, err = &talk.Head{Snapshot: wiresnapshot.ID(time.Now().UTC().Format("20060102-150405"))}, nil
	}
	if err != nil {
		return nil, err
	}
	if head.Last = last; last {
		if head.Log, err = ring.Bytes(d.runtime.LogDir(id)); err != nil {
			return nil, err
		}
	}
	return head, nil
}

func (d *Data) take(ctx context.Context, id wire.CTID, h *container.Hold, base wiresnapshot.ID) (*talk.Head, error) {
	parts, done, err := h.Parts()
	if err != nil {
		return nil, err
	}
	defer done()
	if err := d.given.Sweep(id); err != nil {
		return nil, err
	}
	list, err := d.given.List(id)
	if err != nil {
		return nil, err
	}
	for _, s := range list {
		if s.ID != base {
			if _, err := d.given.Delete(id, s.ID); err != nil {
				return nil, err
			}
		}
	}
	var still func() (func() error, error)
	if h.Running() {
		still = func() (func() error, error) { return h.Still(ctx) }
	}
	s, err := d.given.Take(id, wiresnapshot.Snapshot{Generation: h.Generation(), Image: h.Image(), Running: h.Running()}, parts, still,
		time.Now())
	if err != nil {
		return nil, err
	}
	return d.head(id, s, base)
}

// head says what a snapshot holds, and which of its streams go on from base.
func (d *Data) head(id wire.CTID, s wiresnapshot.Snapshot, base wiresnapshot.ID) (*talk.Head, error) {
	head := &talk.Head{Snapshot: s.ID, Generation: s.Generation}
	was := map[string]btrfs.Identity{}
	if base != "" {
		_, old, done, err := d.given.Open(id, base)
		if err != nil && !errors.Is(err, snapshot.ErrNone) {
			return nil, err
		}
		defer done()
		for _, p := range old {
			if was[p.Name], err = btrfs.SubvolumeIdentity(p.Dir); err != nil {
				return nil, err
			}
		}
	}
	bytes := map[string]int64{}
	for _, p := range s.Parts {
		bytes[p.Volume] = p.Bytes
	}
	_, parts, done, err := d.given.Open(id, s.ID)
	if err != nil {
		return nil, err
	}
	defer done()
	for _, p := range parts {
		is, err := btrfs.SubvolumeIdentity(p.Dir)
		if err != nil {
			return nil, err
		}
		head.Parts = append(head.Parts, talk.Part{Volume: p.Volume, Is: is, From: was[p.Name], Bytes: bytes[p.Volume]})
	}
	return head, nil
}

// Send implements Disk.
func (d *Data) Send(ctx context.Context, id wire.CTID, which, base wiresnapshot.ID, name string, w io.Writer) error {
	dir, done, err := d.open(id, which, name)
	if err != nil {
		return err
	}
	defer done()
	var parent *os.File
	if base != "" {
		var done func()
		if parent, done, err = d.open(id, base, name); err != nil {
			return err
		}
		defer done()
	}
	return btrfs.Send(ctx, dir, parent, w)
}

// Log implements Disk.
func (d *Data) Log(id wire.CTID, w io.Writer) error { return ring.Send(d.runtime.LogDir(id), w) }

// open opens a part of a snapshot that is given.
func (d *Data) open(id wire.CTID, which wiresnapshot.ID, name string) (*os.File, func(), error) {
	_, parts, done, err := d.given.Open(id, which)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range parts {
		if p.Volume == name {
			return p.Dir, done, nil
		}
	}
	done()
	return nil, nil, fmt.Errorf("snapshot %s of container %s has no part %q", which, id, name)
}

// Given implements Disk.
func (d *Data) Given() (ids []wire.CTID, err error) {
	entries, err := os.ReadDir(d.out)
	for _, e := range entries {
		if id, err := wire.ParseCTID(e.Name()); err == nil {
			ids = append(ids, id)
		}
	}
	return ids, err
}

// Drop implements Disk.
func (d *Data) Drop(id wire.CTID) error { return d.given.DropAll(id) }

func (d *Data) note(id wire.CTID) keep.Doc[arrival] {
	return keep.Doc[arrival]{Path: filepath.Join(d.in, id.String()), Version: 1}
}

// Arrived implements Disk.
func (d *Data) Arrived(id wire.CTID, move string) (bool, error) {
	a, found, err := d.note(id).Load()
	if found && a.Move == move || err != nil {
		return err == nil, err
	}
	if !d.runtime.Snapshots().Waits(id) {
		return false, nil
	}
	return true, d.settle(id, move) // the agent was killed in Arrive
}

// Forget implements Disk.
func (d *Data) Forget(id wire.CTID) error {
	if err := os.Remove(d.note(id).Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// settle notes that a move has arrived, and has what came be the container's own. Ready comes before the note: cut between them, it is as
// if both were there.
func (d *Data) settle(id wire.CTID, move string) error {
	if err := d.note(id).Save(arrival{move}); err != nil {
		return err
	}
	return d.runtime.Snapshots().Settle(id, d.runtime.Home(id))
}

// Begin implements Disk.
func (d *Data) Begin(id wire.CTID, generation int64) (Copy, error) {
	// with its directory it is known to be here, in part: when Work does not name it any more, it is removed as any other
	if err := os.Mkdir(d.runtime.Home(id), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make directory of container %s: %w", id, err)
	}
	coming, err := d.runtime.Snapshots().Coming(id)
	if err != nil {
		return nil, err
	}
	return &incoming{d: d, id: id, generation: generation, coming: coming, dirs: map[string]*os.File{}}, nil
}

// incoming is the Copy.
type incoming struct {
	d          *Data
	id         wire.CTID
	generation int64
	coming     *snapshot.Coming
	dirs       map[string]*os.File // by volume
}

func (c *incoming) name(vol string) string {
	if vol == "" {
		return volume.LayerName(c.generation)
	}
	return volume.VolumeName(vol)
}

// Apply implements Copy.
func (c *incoming) Apply(ctx context.Context, want host.Container, p talk.Part, at btrfs.Identity, r io.Reader) (btrfs.Identity, error) {
	if c.dirs[p.Volume] == nil {
		dir, err := c.coming.Make(c.name(p.Volume), roomFor(want, p.Volume))
		if err != nil {
			return at, err
		}
		c.dirs[p.Volume] = dir
		for _, v := range want.Volumes {
			if v.Name == p.Volume && v.NoCOW {
				if err := volume.WriteInPlace(dir); err != nil {
					return at, err
				}
			}
		}
	}
	return stream.Apply(ctx, r, c.dirs[p.Volume], at, stream.Rules{Has: want.Image.Has})
}

// roomFor is how much may come: of a delta, what is new comes before what it replaces goes. Its own quota it gets when it is started.
func roomFor(c host.Container, vol string) int64 {
	n := limit(c, vol)
	if n > 0 {
		n += n/8 + 1<<20
	}
	return n
}

// Remove implements Copy.
func (c *incoming) Remove(vol string) error {
	if d := c.dirs[vol]; d != nil {
		d.Close()
		delete(c.dirs, vol)
	}
	return c.coming.Remove(c.name(vol))
}

func (c *incoming) close() {
	for _, d := range c.dirs {
		d.Close()
	}
	clear(c.dirs)
}

// Log implements Copy.
func (c *incoming) Log(r io.Reader) error { return ring.Take(c.d.runtime.LogDir(c.id), r) }

// Arrive implements Copy.
func (c *incoming) Arrive(move string) error {
	c.close()
	if err := c.coming.Ready(); err != nil {
		return err
	}
	return c.d.settle(c.id, move)
}

// Drop implements Copy.
func (c *incoming) Drop() error {
	c.close()
	return c.coming.Drop()
}
