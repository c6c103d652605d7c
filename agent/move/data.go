package move

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

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
	runtime containers
	given   *snapshot.Store
	out, in string
}

// containers are those of the host: agent/container's Runtime.
type containers interface {
	Holding(ctx context.Context, id wire.CTID, f func(*container.Hold) error) error
	Snapshots() *snapshot.Store
	Home(id wire.CTID) string
	LogDir(id wire.CTID) string
}

// arrival is the note of a move that has arrived, as long as its container is here.
type arrival struct {
	Move string `json:"move"`
}

// OpenData keeps what belongs to moves below dataDir.
func OpenData(r containers, dataDir string) (*Data, error) {
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
	var still func() (func() error, error)
	if h.Running() {
		still = func() (func() error, error) { return h.Still(ctx) }
	}
	return d.taken(id, wiresnapshot.Snapshot{Generation: h.Generation(), Image: h.Image(), Running: h.Running()}, parts, still, base)
}

// taken takes a snapshot of the parts.
func (d *Data) taken(id wire.CTID, meta wiresnapshot.Snapshot, parts []snapshot.Part, still func() (func() error, error),
	base wiresnapshot.ID) (*talk.Head, error) {
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
	s, err := d.given.Take(id, meta, parts, still, time.Now())
	if err != nil {
		return nil, err
	}
	head, err := d.head(id, s, base)
	if err == nil {
		for _, k := range d.kept(id) {
			head.Kept = append(head.Kept, talk.Kept{ID: k.ID, Taken: k.Taken})
		}
	}
	return head, err
}

// kept are a container's own snapshots, the oldest first. One that can't be read is none, as for whoever lists them.
func (d *Data) kept(id wire.CTID) []wiresnapshot.Snapshot {
	list, _ := d.runtime.Snapshots().List(id)
	slices.Reverse(list)
	return list
}

// About implements Disk.
func (d *Data) About(id wire.CTID, which wiresnapshot.ID) (*talk.Head, error) {
	s, parts, done, err := d.runtime.Snapshots().Open(id, which)
	if err != nil {
		return nil, err
	}
	defer done()
	head := &talk.Head{Snapshot: which, Generation: s.Generation, Meta: &s}
	for _, p := range parts {
		is, err := btrfs.SubvolumeIdentity(p.Dir)
		if err != nil {
			return nil, err
		}
		head.Parts = append(head.Parts, talk.Part{Volume: p.Volume, Is: is})
	}
	return head, nil
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
func (d *Data) Send(ctx context.Context, id wire.CTID, which, base talk.Of, volume string, w io.Writer) error {
	part, done, err := d.open(id, which, volume)
	if err != nil {
		return err
	}
	defer done()
	if base.ID == "" {
		return btrfs.Send(ctx, part.Dir, nil, w)
	}
	parent, done, err := d.open(id, base, volume)
	if err != nil {
		return err
	}
	defer done()
	if parent.Name != part.Name {
		return fmt.Errorf("snapshot %s of container %s has %q, and %s has %q", which.ID, id, part.Name, base.ID, parent.Name)
	}
	return btrfs.Send(ctx, part.Dir, parent.Dir, w)
}

// Log implements Disk.
func (d *Data) Log(id wire.CTID, w io.Writer) error { return ring.Send(d.runtime.LogDir(id), w) }

// open opens a part of a snapshot that is given.
func (d *Data) open(id wire.CTID, which talk.Of, volume string) (snapshot.Part, func(), error) {
	store := d.given
	if which.Kept {
		store = d.runtime.Snapshots()
	}
	_, parts, done, err := store.Open(id, which.ID)
	if err != nil {
		return snapshot.Part{}, nil, err
	}
	for _, p := range parts {
		if p.Volume == volume {
			return p, done, nil
		}
	}
	done()
	return snapshot.Part{}, nil, fmt.Errorf("snapshot %s of container %s has no part %q", which.ID, id, volume)
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
func (d *Data) Begin(id wire.CTID, need int64) (Copy, error) {
	// with its directory it is known to be here, in part: when Work does not name it any more, it is removed as any other
	if err := os.Mkdir(d.runtime.Home(id), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make directory of container %s: %w", id, err)
	}
	var free unix.Statfs_t
	if err := unix.Statfs(d.in, &free); err != nil {
		return nil, fmt.Errorf("look for room for container %s: %w", id, err)
	}
	if err := fits(need, int64(free.Bavail)*free.Bsize); err != nil {
		return nil, err
	}
	c := &incoming{d: d, id: id, dirs: map[Piece]*os.File{}, kept: map[wiresnapshot.ID]bool{}, held: map[Piece]int64{}}
	for _, k := range d.kept(id) { // of an agent that was killed
		c.kept[k.ID] = true
	}
	if err := c.dropKept(); err != nil {
		return nil, err
	}
	var err error
	c.coming, err = d.runtime.Snapshots().Coming(id)
	return c, err
}

// incoming is the Copy.
type incoming struct {
	d      *Data
	id     wire.CTID
	coming *snapshot.Coming
	dirs   map[Piece]*os.File
	kept   map[wiresnapshot.ID]bool // snapshots that came with it
	held   map[Piece]int64          // bytes that these may hold of a piece
}

func (p Piece) name() string {
	if p.Volume == "" {
		return volume.LayerName(p.Generation)
	}
	return volume.VolumeName(p.Volume)
}

// Apply implements Copy.
func (c *incoming) Apply(ctx context.Context, want host.Container, p Piece, at btrfs.Identity, r io.Reader) (btrfs.Identity, error) {
	room := roomFor(want, p.Volume)
	if room > 0 {
		room += c.held[p]
	}
	if c.dirs[p] == nil {
		dir, err := c.coming.Make(p.name(), room)
		if err != nil {
			return at, err
		}
		c.dirs[p] = dir
		for _, v := range want.Volumes {
			if v.Name == p.Volume && v.NoCOW {
				if err := volume.WriteInPlace(dir); err != nil {
					return at, err
				}
			}
		}
	} else if err := btrfs.LimitSubvolume(c.dirs[p], room); err != nil {
		return at, err
	}
	rules := stream.Rules{Has: want.Image.Has}
	if p.Volume == "" && p.Generation != want.Generation {
		rules.Has = nil // of another image: it is kept, and never run from here
	}
	return stream.Apply(ctx, r, c.dirs[p], at, rules)
}

// Keep implements Copy.
func (c *incoming) Keep(want host.Container, meta wiresnapshot.Snapshot, is map[Piece]btrfs.Identity) error {
	var parts []snapshot.Received
	for p, id := range is {
		parts = append(parts, snapshot.Received{Part: snapshot.Part{Name: p.name(), Volume: p.Volume, Dir: c.dirs[p]}, Is: id})
	}
	if err := c.coming.Keep(meta, parts); err != nil {
		return err
	}
	c.kept[meta.ID] = true
	for p := range is { // what it holds may come once more: after a restore, what is there goes on from an earlier one than the last
		c.held[p] += limit(want, p.Volume)
	}
	return nil
}

// Unkeep implements Copy.
func (c *incoming) Unkeep(which wiresnapshot.ID) error {
	_, err := c.d.runtime.Snapshots().Delete(c.id, which)
	if err == nil {
		delete(c.kept, which)
	}
	return err
}

// dropKept takes the snapshots away that came with what does not arrive. Those of one that has arrived stay.
func (c *incoming) dropKept() error {
	if c.d.runtime.Snapshots().Waits(c.id) {
		return nil
	}
	for k := range c.kept {
		if err := c.Unkeep(k); err != nil && !errors.Is(err, snapshot.ErrNone) {
			return err
		}
	}
	return nil
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
func (c *incoming) Remove(p Piece) error {
	if d := c.dirs[p]; d != nil {
		d.Close()
		delete(c.dirs, p)
	}
	return c.coming.Remove(p.name())
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
	return errors.Join(c.coming.Drop(), c.dropKept())
}
