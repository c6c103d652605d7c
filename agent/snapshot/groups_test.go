package snapshot

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/testkit/loop"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/snapshot"
)

// groupsIn is the variable by which the test's own program is told where to restore and remove until it is killed.
const groupsIn = "HARDNODE_GROUPS_IN"

// TestGroups: a program that restores containers and removes them is killed in the middle, again and again; when all of them are gone, no
// quota group is left, and before that none that a container counts in has gone.
func TestGroups(t *testing.T) {
	if at := os.Getenv(groupsIn); at != "" {
		g := groups{at, Open(at)}
		for err := error(nil); ; err = g.life() {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	g := onLoop(t)
	kills := 0
	for range 6 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestGroups$")
		cmd.Env = append(os.Environ(), groupsIn+"="+g.at)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		lines, most := bufio.NewScanner(out), rand.IntN(60)
		for n := 0; n < most && lines.Scan(); n++ {
			if line := lines.Text(); !strings.HasPrefix(line, "did ") {
				for lines.Scan() { // the reason stands below
					line += "\n" + lines.Text()
				}
				t.Fatal(line)
			}
		}
		time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond) // also in the middle of a step
		cmd.Process.Kill()
		cmd.Wait()
		kills++
		g.store = Open(g.at) // what an agent does when it starts
		if err := g.start(); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.remove(); err != nil {
		t.Fatal(err)
	}
	root, err := os.Open(g.at)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	gone := 0
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) { // the kernel takes its time to delete a subvolume
		n, err := btrfs.DropGroups(root)
		gone += n
		left, lerr := g.left(root)
		if err := errors.Join(err, lerr, btrfs.Sync(root)); err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("quota groups are left: %q", left)
		}
	}
	t.Logf("killed %d times; %d groups were taken away at the end", kills, gone)
}

// TestHalfDeleted: when not all of a container's snapshots can be deleted, what is left of one is no snapshot, and goes with the next try.
func TestHalfDeleted(t *testing.T) {
	g := onLoop(t)
	s, err := g.store.Take(1, snapshot.Snapshot{}, nil, nil, time.Now())
	stays := filepath.Join(g.store.home(1), string(s.ID), "stays", "file") // a directory with something in it can't be deleted
	if err := errors.Join(err, os.MkdirAll(stays, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := g.store.DropAll(1); err == nil {
		t.Fatal("it says that all is deleted")
	}
	if list, err := g.store.List(1); len(list) != 0 || err != nil {
		t.Errorf("it lists %v, %v", list, err)
	}
	left, err := filepath.Glob(filepath.Join(g.store.home(1), going+"*"))
	if err != nil || len(left) != 1 {
		t.Fatal(left, err)
	}
	if err := errors.Join(os.RemoveAll(filepath.Join(left[0], "stays")), g.store.DropAll(1)); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(g.store.home(1)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

// groups are containers with a volume each that is restored and removed.
type groups struct {
	at    string
	store *Store
}

func onLoop(t *testing.T) groups {
	at := loop.Btrfs(t, 512<<20)
	return groups{at, Open(at)}
}

func (g groups) home(id wire.CTID) string { return filepath.Join(g.at, "ct", id.String()) }

// most is how many containers there are at once.
const most = 3

// start is what an agent does when it starts.
func (g groups) start() error {
	errs := []error{g.store.SweepAll()}
	for id := wire.CTID(1); id <= most; id++ {
		errs = append(errs, g.store.Settle(id, g.home(id)))
	}
	root, err := os.Open(g.at)
	if err != nil {
		return err
	}
	defer root.Close()
	_, err = btrfs.DropGroups(root)
	return errors.Join(append(errs, err)...)
}

// remove removes all containers.
func (g groups) remove() error {
	var errs []error
	for id := wire.CTID(1); id <= most; id++ {
		if home, err := os.Open(g.home(id)); err == nil {
			if err := btrfs.DeleteSubvolume(home, "vol-data"); !errors.Is(err, os.ErrNotExist) {
				errs = append(errs, err)
			}
			home.Close()
		}
		if _, err := os.Stat(g.store.home(id)); err == nil {
			errs = append(errs, g.store.DropAll(id))
		}
	}
	return errors.Join(errs...)
}

// left are the quota groups but that of the filesystem's own top.
func (g groups) left(root *os.File) (left []string, err error) {
	q, err := btrfs.SubvolumeQuota(root)
	if err != nil {
		return nil, err
	}
	list, err := filepath.Glob(filepath.Join(filepath.Dir(string(q)), "[0-9]*_[0-9]*"))
	for _, l := range list {
		if l != string(q) {
			left = append(left, filepath.Base(l))
		}
	}
	return left, err
}

// life is one of a container: made if it is not there, written to, kept, restored, and now and then removed. It says each thing it did.
func (g groups) life() error {
	id := 1 + wire.CTID(rand.IntN(most))
	did := func(what string, err error) error {
		if err == nil {
			fmt.Println("did", what)
		}
		return err
	}
	if err := os.MkdirAll(g.home(id), 0o700); err != nil {
		return err
	}
	home, err := os.Open(g.home(id))
	if err != nil {
		return err
	}
	defer home.Close()
	if err := btrfs.CreateSubvolume(home, "vol-data"); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	vol, err := os.Open(filepath.Join(g.home(id), "vol-data"))
	if err != nil {
		return err
	}
	defer vol.Close()
	const limit = 8 << 20
	file := filepath.Join(vol.Name(), "file")
	if err := errors.Join(btrfs.LimitSubvolume(vol, limit), os.WriteFile(file, make([]byte, 64<<10), 0o600)); err != nil {
		return err
	}
	s, err := g.store.Take(id, snapshot.Snapshot{}, []Part{{"vol-data", "data", vol}}, nil, time.Now())
	if did("take", err) != nil {
		return err
	}
	if err := did("prepare", g.store.Prepare(id, id, s.ID, g.home(id), func(n string) string { return n })); err != nil {
		return err
	}
	if err := did("ready", g.store.Ready(id)); err != nil {
		return err
	}
	if err := did("settle", g.store.Settle(id, g.home(id))); err != nil {
		return err
	}
	back, err := os.Open(vol.Name())
	if err != nil {
		return err
	}
	defer back.Close()
	if _, err := btrfs.DropGroups(home); err != nil {
		return err
	}
	if err := btrfs.LimitSubvolume(back, limit); err != nil { // what it counts in is there
		return err
	}
	switch rand.IntN(4) {
	case 0:
		return did("remove", errors.Join(btrfs.DeleteSubvolume(home, "vol-data"), g.store.DropAll(id)))
	case 1:
		_, err := g.store.Delete(id, s.ID)
		return did("delete", err)
	}
	return g.store.Room(id)
}
