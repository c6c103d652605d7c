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

// TestBehind: a restore does not wait until what it replaced is deleted; whoever sweeps does.
func TestBehind(t *testing.T) {
	must := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	g := onLoop(t)
	must(os.MkdirAll(g.home(1), 0o700))
	home, err := os.Open(g.home(1))
	must(err)
	defer home.Close()
	must(btrfs.CreateSubvolume(home, "vol-data"))
	file := filepath.Join(g.home(1), "vol-data", "file")
	vol, err := os.Open(filepath.Dir(file))
	must(err, os.WriteFile(file, []byte("old"), 0o600))
	s, err := g.store.Take(1, snapshot.Snapshot{}, []Part{{"vol-data", "data", vol}}, nil, time.Now())
	must(err, vol.Close(), os.WriteFile(file, []byte("new"), 0o600))
	must(g.store.Prepare(1, 1, s.ID, g.home(1), func(n string) string { return n }), g.store.Ready(1))

	g.store.deletes.Lock() // as if it took long
	err = g.store.Settle(1, g.home(1))
	text, rerr := os.ReadFile(file)
	list, lerr := g.store.List(1)
	beside, gerr := filepath.Glob(filepath.Join(g.store.home(1), going+"*", "vol-data", "file"))
	g.store.deletes.Unlock()
	must(err, rerr, lerr, gerr)
	if string(text) != "old" || g.store.Waits(1) || len(list) != 1 || len(beside) != 1 {
		t.Errorf("after the restore the file says %q, there are %d snapshots, and beside them %q", text, len(list), beside)
	}
	must(g.store.Room(1))
	if left, err := os.ReadDir(g.store.home(1)); err != nil || len(left) != 1 {
		t.Errorf("behind a sweep there are %v, %v", left, err)
	}
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

// TestCut: when the power goes before a snapshot is acknowledged and something else was committed last, there is no such snapshot or the
// whole of it: its name is never on the disk without what it says of itself, however much that is.
func TestCut(t *testing.T) {
	must := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	g := onLoop(t)
	must(os.MkdirAll(g.home(1), 0o700), os.MkdirAll(g.home(2), 0o700))
	home, err := os.Open(g.home(1))
	must(err)
	defer home.Close()
	other, err := os.Open(g.home(2))
	must(err)
	defer other.Close()
	must(btrfs.CreateSubvolume(home, "vol-data"), btrfs.CreateSubvolume(other, "vol-data"))
	vol, err := os.Open(filepath.Join(home.Name(), "vol-data"))
	must(err)
	defer vol.Close()
	others, err := os.Open(filepath.Join(other.Name(), "vol-data"))
	must(err)
	defer others.Close()
	must(os.WriteFile(filepath.Join(vol.Name(), "file"), []byte("text"), 0o600))
	note := make([]byte, 20_000) // more than btrfs puts into its tree itself, however it is compressed
	for i := range note {
		note[i] = 'a' + byte(rand.IntN(26))
	}
	var named []snapshot.ID
	for _, n := range []string{"short", string(note)} {
		s, err := g.store.name(1, snapshot.Snapshot{Note: n}, []Part{{"vol-data", "data", vol}}, nil, time.Now())
		must(err)
		named = append(named, s.ID)
	}
	must(btrfs.Snapshot(others, other, "beside", true)) // it commits, and writes what is dirty of its own alone
	cut := groups{at: loop.Cut(t, g.at)}
	cut.store = Open(cut.at)
	must(cut.store.SweepAll())
	list, err := cut.store.List(1)
	if err != nil || len(list) != 2 {
		t.Fatalf("of %v there are %d: %v", named, len(list), err)
	}
	for i, s := range list {
		text, err := os.ReadFile(filepath.Join(cut.store.home(1), string(s.ID), "vol-data", "file"))
		if err != nil || string(text) != "text" || s.ID != named[1-i] || len(s.Parts) != 1 || s.Parts[0].Volume != "data" {
			t.Errorf("snapshot %+v holds %q: %v", s, text, err)
		}
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
	g.store.behind.Wait() // another process comes
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
