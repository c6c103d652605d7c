//go:build guest

package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/disk/btrfs/stream"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/snapshot"
)

// TestPower: on each disk what was acknowledged is there, all of it is sound, and nothing is half made; then it goes on, round after the
// other, until the power is cut: HARDNODE_ROUNDS. A round is three files that are written and synced, a snapshot, and what makes another
// snapshot of its stream or has the container be as in it; in every third one the disk is full. HARDNODE_POWER has the number of the last
// step of each disk that was acknowledged, -1 for none. Without HARDNODE_ROUNDS all is deleted then, and no quota group is left. It says
// "ack DISK STEP" of each more, "full DISK STEP" of those that found no room, "healed DISK" of a superblock that was written in part, and
// "swept DISK HAD GONE" of the quota groups in the end.
func TestPower(t *testing.T) {
	acked := strings.Fields(os.Getenv("HARDNODE_POWER"))
	if len(acked) == 0 {
		t.Skip("HARDNODE_POWER is not set")
	}
	on := os.Getenv("HARDNODE_ROUNDS") != ""
	var all sync.WaitGroup
	for i, text := range acked {
		last, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			r := powered{T: t, disk: i, top: "/disk/" + strconv.Itoa(i), acked: last}
			if err := r.all(on); err != nil {
				t.Errorf("disk %d behind step %d: %v", i, last, err)
				fmt.Printf("failed %d: %v\n", i, err)
			}
		})
	}
	all.Wait()
}

// of is the container whose snapshots they are, round how many steps a round has, and window how many steps a file stays.
const (
	of     = wire.CTID(7)
	round  = 5
	window = 40
)

// powered is a disk whose power is cut.
type powered struct {
	*testing.T
	disk  int
	top   string
	acked int
	store *Store
	root  *os.File
}

func (p *powered) all(on bool) error {
	if err := errors.Join(p.mount(), p.whole()); err != nil {
		return err
	}
	defer p.root.Close()
	for n := p.acked + 1; on; n++ {
		if err := p.step(n); err != nil {
			return fmt.Errorf("step %d: %w", n, err)
		}
		fmt.Printf("ack %d %d\n", p.disk, n)
	}
	if err := p.emptied(); err != nil {
		return err
	}
	p.root.Close()
	return unix.Unmount(p.top, 0)
}

// emptied deletes all subvolumes: then the sweep that agents make leaves no quota group, whenever the power went.
func (p *powered) emptied() error {
	vol, err := os.Open(p.volume())
	if err != nil {
		return err
	}
	quota, err := btrfs.SubvolumeQuota(vol)
	if err = errors.Join(err, vol.Close()); err != nil {
		return err
	}
	home, err := os.Open(p.home())
	if err != nil {
		return err
	}
	defer home.Close()
	had := len(p.groups(quota))
	if err := errors.Join(p.store.DropAll(of), btrfs.DeleteSubvolume(home, "vol-data")); err != nil {
		return err
	}
	gone := 0
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) { // the kernel deletes behind its answer
		n, err := btrfs.DropGroups(p.root)
		gone += n
		left := p.groups(quota)
		switch err = errors.Join(err, btrfs.Sync(p.root)); {
		case err != nil:
			return err
		case had == 0:
			return errors.New("there were no quota groups")
		case len(left) == 0:
			fmt.Printf("swept %d %d %d\n", p.disk, had, gone)
			return nil
		case time.Now().After(end):
			return fmt.Errorf("without any subvolume the quota groups %s are left", left)
		}
	}
}

// groups are the quota groups beside that one, of subvolumes that are there or were, and of level 1; not the filesystem's own.
func (p *powered) groups(beside btrfs.Quota) (list []string) {
	entries, err := os.ReadDir(filepath.Dir(string(beside)))
	if err != nil {
		return []string{err.Error()}
	}
	for _, e := range entries {
		level, text, ok := strings.Cut(e.Name(), "_")
		id, err := strconv.ParseUint(text, 10, 48)
		if ok && err == nil && (level != "0" || id >= btrfs.FirstFreeObject) {
			list = append(list, e.Name())
		}
	}
	return list
}

func (p *powered) home() string   { return filepath.Join(p.top, "ct", of.String()) }
func (p *powered) volume() string { return filepath.Join(p.home(), "vol-data") }
func (p *powered) filler() string { return filepath.Join(p.top, "filler") }

// mount mounts the disk as a host does, and does what an agent does when it starts.
func (p *powered) mount() (err error) {
	if err := os.MkdirAll(p.top, 0o700); err != nil {
		return err
	}
	device := "/dev/vd" + string(rune('a'+p.disk))
	healed, err := btrfs.Heal(device)
	if err != nil {
		return err
	}
	if healed {
		fmt.Printf("healed %d\n", p.disk)
	}
	if err := unix.Mount(device, p.top, "btrfs", unix.MS_NOATIME|unix.MS_NODEV, "compress=zstd:1"); err != nil {
		return fmt.Errorf("mount %s: %w", device, err)
	}
	if p.root, err = os.Open(p.top); err != nil {
		return err
	}
	p.store = Open(p.top)
	if p.acked < 0 {
		if err := errors.Join(btrfs.EnableSimpleQuota(p.root), os.MkdirAll(p.home(), 0o700)); err != nil {
			return err
		}
	}
	if err := errors.Join(p.store.SweepAll(), p.store.Settle(of, p.home())); err != nil {
		return err
	}
	p.store.behind.Wait() // of what is left nothing is to be seen
	if err := os.Remove(p.filler()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if _, err := os.Stat(p.volume()); err == nil || p.acked >= 0 {
		return err
	}
	home, err := os.Open(p.home())
	if err != nil {
		return err
	}
	defer home.Close()
	return errors.Join(btrfs.CreateSubvolume(home, "vol-data"), btrfs.Sync(home))
}

// content is that of the file of a step, a different one of each.
func (p *powered) content(n int) []byte {
	line := fmt.Appendf(nil, "disk %d step %d\n", p.disk, n)
	return bytes.Repeat(line, 200+n*7919%4000)
}

func file(dir string, n int) string { return filepath.Join(dir, "step-"+strconv.Itoa(n)) }

// writes tells whether a step writes a file.
func writes(n int) bool { return n%round < 3 }

// holds looks for the files of the steps before a number, as many as must be there.
func (p *powered) holds(dir string, before int) error {
	for n := max(0, before-window+round); n < before; n++ {
		if !writes(n) {
			continue
		}
		got, err := os.ReadFile(file(dir, n))
		if err != nil {
			return err
		}
		if !bytes.Equal(got, p.content(n)) {
			return fmt.Errorf("%s has %d bytes, which are not what was written", file(dir, n), len(got))
		}
	}
	return nil
}

// whole looks at all there is.
func (p *powered) whole() error {
	if err := p.holds(p.volume(), p.acked+1); err != nil {
		return err
	}
	list, err := p.store.List(of)
	if err != nil {
		return err
	}
	had := false
	newest := p.acked - (p.acked%round+2)%round // the last step that took a snapshot and was acknowledged
	for _, s := range list {
		n, err := strconv.Atoi(s.Note)
		if err == nil {
			err = p.holds(filepath.Join(p.store.home(of), string(s.ID), "vol-data"), n)
		}
		if err != nil {
			return fmt.Errorf("snapshot %s of step %s: %w", s.ID, s.Note, err)
		}
		had = had || n == newest
	}
	if !had && newest >= 0 {
		return fmt.Errorf("the snapshot of step %d is not there, of %d", newest, len(list))
	}
	entries, err := os.ReadDir(p.store.home(of))
	for _, e := range entries {
		if snapshot.ID(e.Name()).Validate() != nil {
			return fmt.Errorf("%s is left", e.Name())
		}
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := p.agree(list); err != nil {
		return err
	}
	devices, err := btrfs.Devices(p.root)
	if err != nil {
		return err
	}
	for _, d := range devices {
		got, err := btrfs.Scrub(p.root, d.ID, 0, 1<<50)
		if err != nil {
			return err
		}
		if got.Unreadable != 0 || got.Corrected != 0 {
			return fmt.Errorf("scrub: %+v", got)
		}
	}
	return nil
}

// agree tells whether the snapshots' records, the subvolumes on the disk and their quota groups are of each other, also behind a sweep.
func (p *powered) agree(list []snapshot.Snapshot) error {
	if _, err := btrfs.DropGroups(p.root); err != nil {
		return err
	}
	want := map[string]bool{p.volume(): true}
	for _, s := range list {
		if len(s.Parts) != 1 {
			return fmt.Errorf("snapshot %s has the parts %+v", s.ID, s.Parts)
		}
		want[filepath.Join(p.store.home(of), string(s.ID), "vol-data")] = true
	}
	err := filepath.WalkDir(p.top, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() || path == p.top {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		is, err := btrfs.IsSubvolume(f)
		if err != nil || !is {
			return err
		}
		if !want[path] {
			return fmt.Errorf("the subvolume %s is of no record", path)
		}
		delete(want, path)
		if _, err := btrfs.SubvolumeBytes(f); err != nil { // its group is there
			return err
		}
		return fs.SkipDir
	})
	if err == nil && len(want) > 0 {
		err = fmt.Errorf("of the records' subvolumes these are not there: %v", slices.Sorted(maps.Keys(want)))
	}
	return err
}

// step does one.
func (p *powered) step(n int) error {
	full := n/round%3 == 2
	if n%round == 0 {
		if err := os.Remove(p.filler()); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if full && n%round == 2 {
		if err := p.fill(); err != nil {
			return err
		}
	}
	do := p.write
	switch {
	case n%round == 3:
		do = p.take
	case n%round == 4 && n/round%2 == 0:
		do = p.receive
	case n%round == 4:
		do = p.restore
	}
	err := do(n)
	if full && errors.Is(err, unix.ENOSPC) { // it is said, and with room it is done
		fmt.Printf("full %d %d: %v\n", p.disk, n, err)
		if err := errors.Join(os.Remove(p.filler()), btrfs.Sync(p.root)); err != nil {
			return err
		}
		err = do(n)
	}
	return err
}

// fill leaves no room for data.
func (p *powered) fill() error {
	f, err := os.Create(p.filler())
	if err != nil {
		return err
	}
	defer f.Close()
	at := int64(0)
	for step := int64(16 << 20); step >= 64<<10; {
		switch err := unix.Fallocate(int(f.Fd()), 0, at, step); {
		case errors.Is(err, unix.ENOSPC):
			step /= 4
		case err != nil:
			return err
		default:
			at += step
		}
	}
	return nil
}

func (p *powered) write(n int) error {
	if err := os.Remove(file(p.volume(), n-window)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.Create(file(p.volume(), n))
	if err != nil {
		return err
	}
	_, err = f.Write(p.content(n))
	return errors.Join(err, f.Sync(), f.Close())
}

// latest is the newest snapshot, and its volume.
func (p *powered) latest() (s snapshot.Snapshot, vol *os.File, err error) {
	list, err := p.store.List(of)
	if err == nil && len(list) == 0 {
		err = errors.New("there is no snapshot")
	}
	if err != nil {
		return s, nil, err
	}
	vol, err = os.Open(filepath.Join(p.store.home(of), string(list[0].ID), "vol-data"))
	return list[0], vol, err
}

// thin keeps the newest snapshots only.
func (p *powered) thin() error {
	list, err := p.store.List(of)
	for len(list) > 4 && err == nil {
		_, err = p.store.Delete(of, list[len(list)-1].ID)
		list = list[:len(list)-1]
	}
	return err
}

func (p *powered) take(n int) error {
	vol, err := os.Open(p.volume())
	if err != nil {
		return err
	}
	defer vol.Close()
	if err := p.store.Room(of); err != nil {
		return err
	}
	meta := snapshot.Snapshot{Note: strconv.Itoa(n)}
	if _, err := p.store.Take(of, meta, []Part{{"vol-data", "data", vol}}, nil, time.Now()); err != nil {
		return err
	}
	return p.thin()
}

// receive makes a snapshot of the stream of the latest.
func (p *powered) receive(int) error {
	s, vol, err := p.latest()
	if err != nil {
		return err
	}
	defer vol.Close()
	coming, err := p.store.Coming(of)
	if err != nil {
		return err
	}
	defer coming.Drop()
	dir, err := coming.Make("vol-data", 0)
	if err != nil {
		return err
	}
	defer dir.Close()
	ctx := context.Background()
	r, w := io.Pipe()
	go func() { w.CloseWithError(btrfs.Send(ctx, vol, nil, w)) }()
	is, err := stream.Apply(ctx, r, dir, btrfs.Identity{}, stream.Rules{})
	r.CloseWithError(err)
	if err == nil {
		err = btrfs.SetReceived(dir, is)
	}
	if err != nil {
		return err
	}
	meta := snapshot.Snapshot{Taken: time.Now(), Note: s.Note}
	if _, err := coming.Done(meta, []Part{{"vol-data", "data", dir}}); err != nil {
		return err
	}
	return p.thin()
}

func (p *powered) restore(int) error {
	s, vol, err := p.latest()
	if err != nil {
		return err
	}
	vol.Close()
	as := func(name string) string { return name }
	if err := p.store.Prepare(of, of, s.ID, p.home(), as); err != nil {
		return err
	}
	if err := p.store.Ready(of); err != nil {
		return err
	}
	return p.store.Settle(of, p.home())
}
