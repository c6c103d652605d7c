//go:build guest

package mirror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/install"
	"hardnode.dev/agent/partition"
	"hardnode.dev/agent/volume"
	"hardnode.dev/internal/disk"
	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/disk/mirror"
	"hardnode.dev/internal/disk/pick"
	wish "hardnode.dev/internal/wire/install"
	"hardnode.dev/internal/wire/storage"
)

// rig is a host on two disks, as far as its disks go.
type rig struct {
	*testing.T
	m         *Mirror
	data      string
	state     string
	installer *install.Installer
}

func run1(ctx context.Context, argv ...string) (string, error) {
	out, err := exec.CommandContext(ctx, filepath.Base(argv[0]), argv[1:]...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%v: %w: %s", argv, err, out)
	}
	return string(out), err
}

// newRig installs a host on disks, as an installation does: a mirror on two.
func newRig(t *testing.T, disks ...string) *rig {
	top := t.TempDir()
	r := &rig{T: t, data: filepath.Join(top, "data"), state: filepath.Join(top, "state"), installer: install.New(install.Options{})}
	for _, d := range []string{r.data, r.state} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	found := r.found()
	var states, datas []string
	for _, d := range disks {
		at := slices.IndexFunc(found, func(f pick.Found) bool { return f.Path == d })
		if at < 0 {
			t.Fatalf("disk %s is not there: %+v", d, found)
		}
		if err := r.installer.Prepare(t.Context(), found[at]); err != nil {
			t.Fatal(err)
		}
		states, datas = append(states, partition.Of(d, 2)), append(datas, partition.Of(d, 3))
	}
	n := mirror.New()
	must(t, disk.MakeLabelled(t.Context(), run1, disk.StateLabel, states...))
	must(t, disk.Make(t.Context(), run1, datas...))
	for _, d := range disks {
		if len(disks) > 1 {
			must(t, disk.WriteMirror(d, n))
		}
		must(t, prepared(d))
	}
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (r *rig) found() []pick.Found {
	r.Helper()
	found, err := r.installer.Look()
	must(r.T, err)
	return found
}

// boot does what init does: it chooses, notes, mounts.
func (r *rig) boot(want string) disk.Choice {
	r.Helper()
	disks, err := disk.Scan("/sys/class/block", "/dev")
	must(r.T, err)
	c, err := disk.Choose(disk.Wish{}, disks)
	must(r.T, err)
	if got := strings.Join(c.Data, " "); got != want {
		r.Fatalf("DATA is taken from %s (%s), want %s", got, c.Reason, want)
	}
	if c.Mirror.Alone {
		must(r.T, disk.WriteMirror(c.Mirror.Use[0].Disk, c.Mirror.Use[0].Note.GoneAlone()))
	}
	must(r.T, disk.MountData(c.Devices, r.data, r.state))
	r.m = New(Options{State: r.state, Data: r.data, Look: r.installer.Look, Prepare: r.installer.Prepare,
		Systems: func(string) error { return nil }, Order: func() error { return nil }, Lags: func() string { return "" },
		Open:    func(p string) (string, error) { return p, nil },
		InPlace: func() ([]string, error) { return volume.InPlace(r.data) }, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	return c
}

func (r *rig) down() {
	r.Helper()
	must(r.T, unix.Unmount(r.data, 0))
	must(r.T, unix.Unmount(r.state, 0))
}

// write fills files that are read back later.
func (r *rig) write(name string) {
	r.Helper()
	for _, top := range []string{r.data, r.state} {
		for i := range 8 {
			text := strings.Repeat(fmt.Sprintf("%s %d\n", name, i), 64<<10)
			must(r.T, partition.Write(filepath.Join(top, fmt.Sprintf("%s-%d", name, i)), text))
		}
	}
}

// reads reads them, from the disks.
func (r *rig) reads(names ...string) {
	r.Helper()
	must(r.T, os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0))
	for _, top := range []string{r.data, r.state} {
		for _, name := range names {
			for i := range 8 {
				got, err := os.ReadFile(filepath.Join(top, fmt.Sprintf("%s-%d", name, i)))
				if want := strings.Repeat(fmt.Sprintf("%s %d\n", name, i), 64<<10); err != nil || string(got) != want {
					r.Fatalf("%s/%s-%d holds %d bytes, %v", top, name, i, len(got), err)
				}
			}
		}
	}
}

// pull takes a disk out of the running machine; put puts all back.
func (r *rig) pull(d string) {
	r.Helper()
	dev, err := filepath.EvalSymlinks("/sys/class/block/" + filepath.Base(d) + "/device")
	must(r.T, err)
	must(r.T, os.WriteFile(filepath.Join(filepath.Dir(dev), "remove"), []byte("1"), 0))
	r.until("disk "+d+" is gone", func() bool { _, err := os.Stat(d); return err != nil })
}

func (r *rig) put(d string) {
	r.Helper()
	must(r.T, os.WriteFile("/sys/bus/pci/rescan", []byte("1"), 0))
	r.until("disk "+d+" is there", func() bool { _, err := os.Stat(partition.Of(d, 3)); return err == nil })
}

func (r *rig) until(what string, ok func() bool) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Minute)
	defer cancel()
	for !ok() {
		select {
		case <-ctx.Done():
			r.Fatalf("%s: not so after 2 minutes: %+v", what, r.m.Status())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// notices looks once, as Run does.
func (r *rig) notices() {
	r.Helper()
	v, err := look(r.state, r.data)
	must(r.T, err)
	must(r.T, r.m.gone(v))
	r.m.mu.seen = v
	r.m.goOn(r.Context(), v)
}

func (r *rig) is(want storage.State) storage.Status {
	r.Helper()
	s := r.m.Status()
	r.Logf("storage: %s: %+v", s.Line(), s.Disks)
	if s.State != want {
		r.Fatalf("the disks are %s (%+v), want %s", s.State, s, want)
	}
	return s
}

func (r *rig) replaces(want storage.Replace) {
	r.Helper()
	_, err := r.m.Replace(r.Context(), want)
	must(r.T, err)
	r.whole()
}

// whole waits until they are.
func (r *rig) whole() {
	r.Helper()
	r.until("the disks are whole", func() bool {
		s := r.m.Status()
		if s.Failed != "" {
			r.Fatalf("replacing failed: %s", s.Failed)
		}
		return s.State == storage.Whole
	})
}

// refuses has a wish refused.
func (r *rig) refuses(want storage.Replace, why string) {
	r.Helper()
	if s, err := r.m.Replace(r.Context(), want); err == nil || !strings.Contains(err.Error(), why) {
		r.Fatalf("%+v: %+v, %v; want %q", want, s, err, why)
	}
}

var errCut = errors.New("cut off here")

// cut has a wish carried out until something fails.
func (r *rig) cut(want storage.Replace) {
	r.Helper()
	_, err := r.m.Replace(r.Context(), want)
	must(r.T, err)
	r.until("it fails", func() bool { return r.m.Status().Failed != "" })
	if why := r.m.Status().Failed; !strings.Contains(why, errCut.Error()) {
		r.Fatalf("it failed elsewhere: %s", why)
	}
}

// TestAdded: a host that was installed on one disk gets a second one. Cut off at each step it boots, with what it had, and the same command
// goes on; at the end the second disk has all.
func TestAdded(t *testing.T) {
	r := newRig(t, "/dev/vda")
	add := storage.Replace{Add: true, Disk: wish.Rule{Path: "/dev/vdb"}}
	r.boot("/dev/vda3")
	r.notices()
	r.is(storage.Single)
	r.write("first")
	r.refuses(storage.Replace{Disk: add.Disk}, "this host lies on one disk, so it has none to replace")
	r.refuses(storage.Replace{Add: true}, "2 disks would do")
	r.refuses(storage.Replace{Add: true, Disk: wish.Rule{Path: "/dev/vda"}, Wipe: "/dev/vda"}, "this host lies on it")
	db := filepath.Join(r.data, "ct/102/vol-db")
	must(t, os.MkdirAll(db, 0o700))
	dir, err := os.Open(db)
	must(t, err)
	must(t, errors.Join(btrfs.SetNoCOW(dir), dir.Close()))
	r.refuses(add, "volume db of node 102")
	must(t, os.Remove(db))
	plan, err := r.m.Replace(t.Context(), storage.Replace{Add: true, Disk: add.Disk, DryRun: true})
	if err != nil || len(plan.Steps) != 6 || plan.State != storage.Single || noteOf("/dev/vda").In() || noteOf("/dev/vdb").In() {
		t.Fatalf("the plan is %+v, %v", plan, err)
	}

	// Cut off when it is partitioned: nothing is known of a second disk.
	prepare := r.m.o.Prepare
	r.m.o.Prepare = func(ctx context.Context, d pick.Found) error { return errors.Join(prepare(ctx, d), errCut) }
	r.cut(add)
	r.is(storage.Single)
	r.down()
	// After the notes: the host is one on two disks, and one of them has nothing.
	r.boot("/dev/vda3")
	r.m.o.Open = func(string) (string, error) { return "", errCut }
	r.cut(add)
	r.notices()
	r.is(storage.Degraded)
	r.down()
	// When STATE is mirrored, and DATA is not.
	r.boot("/dev/vda3")
	if n := noteOf("/dev/vda"); !n.Alone {
		t.Fatalf("the disk that is left says %+v", n)
	}
	r.m.o.InPlace = func() ([]string, error) { return nil, errCut }
	r.cut(storage.Replace{Disk: add.Disk}) // it is a host on two disks now
	r.is(storage.Filling)
	r.down()
	// When DATA has its second device, is being written onto both, and that device is gone at the next boot.
	c := r.boot("/dev/vda3")
	if len(c.Mirror.Left) != 1 {
		t.Fatalf("what is left: %+v", c.Mirror)
	}
	r.write("alone")
	r.m.o.InPlace = func() ([]string, error) {
		data, err := os.Open(r.data)
		must(t, err)
		defer data.Close()
		must(t, btrfs.AddDevice(data, "/dev/vdb3"))
		return nil, errors.Join(r.balances(data), errCut)
	}
	r.cut(add)
	r.down()
	r.pull("/dev/vdb")
	r.boot("/dev/vda3")
	r.reads("first", "alone")
	r.write("without")
	r.notices()
	r.is(storage.Degraded)
	r.put("/dev/vdb")

	// The same, and both are there at the next boot: the agent goes on by itself.
	r.m.o.Systems = func(string) error { return errCut }
	r.cut(add)
	r.is(storage.Filling)
	r.down()
	if c := r.boot("/dev/vda3 /dev/vdb3"); !c.Degraded || !c.Mirror.Filling {
		t.Fatalf("a disk that is being filled counts as whole: %+v", c)
	}
	r.notices()
	if _, err := r.m.Replace(t.Context(), add); err != nil && !strings.Contains(err.Error(), "both are there") {
		t.Fatalf("the same command again: %v", err)
	}
	r.whole()
	r.refuses(add, "and both are there; more than two can't be")
	data, err := os.Open(r.data)
	must(t, err)
	if two, err := btrfs.DataMirrored(data); err != nil || !two {
		t.Errorf("data lies on two disks, and databases could be written in place: %v", err)
	}
	must(t, data.Close())
	r.write("both")
	r.down()

	// The first disk is gone: the second one has all.
	r.pull("/dev/vda")
	r.boot("/dev/vdb3")
	r.reads("first", "alone", "without", "both")
	r.notices()
	r.is(storage.Degraded)
	r.down()
	r.put("/dev/vda")
}

// balances begins to write DATA onto both devices, and has that stopped at once, as an unmount does: the next mount goes on with it.
func (r *rig) balances(data *os.File) error {
	done := make(chan error, 1)
	go func() { done <- btrfs.Mirror(data) }()
	const pause = 0x40049421 // BTRFS_IOC_BALANCE_CTL; 1 is BTRFS_BALANCE_CTL_PAUSE
	for {
		err := unix.IoctlSetInt(int(data.Fd()), pause, 1)
		select {
		case end := <-done:
			r.Logf("the balance was stopped: %v; it ended with: %v", err, end)
			return nil
		default:
		}
	}
}

// TestDisks: a host on two disks loses one while it runs, goes on, and is whole again with another one; the old one is not taken when it
// comes back; what is on the new one is all; the old one is taken again when its name is typed.
func TestDisks(t *testing.T) {
	r := newRig(t, "/dev/vda", "/dev/vdb")
	r.boot("/dev/vda3 /dev/vdb3")
	r.notices()
	r.is(storage.Whole)
	if _, err := r.m.Replace(t.Context(), storage.Replace{}); err == nil || !strings.Contains(err.Error(), "both disks are there") {
		t.Fatalf("whole disks are to be replaced: %v", err)
	}
	r.write("first")
	data, err := os.Open(r.data)
	must(r.T, err)
	if two, err := btrfs.DataMirrored(data); err != nil || !two {
		t.Errorf("data lies on two disks, and databases could be written in place: %v", err)
	}
	must(r.T, data.Close())

	r.pull("/dev/vdb")
	r.write("alone")
	r.notices()
	r.is(storage.Degraded)
	if n := noteOf("/dev/vda"); !n.Alone || len(n.History) != 2 {
		t.Fatalf("the disk that is left says %+v", n)
	}
	if p := r.m.Problem(); p == nil || !strings.Contains(p.Reason, "the other disk is gone") {
		t.Fatalf("the problem is %+v", p)
	}
	began := time.Now()
	r.replaces(storage.Replace{})
	t.Logf("filled in %s", time.Since(began))
	r.notices()
	s := r.is(storage.Whole)
	if len(s.Disks) != 2 || s.Disks[1].Path != "/dev/vdc" || s.Disks[1].Serial != "third" {
		t.Fatalf("the disks are %+v", s.Disks)
	}
	if r.m.Problem() != nil {
		t.Fatalf("the problem is %+v", r.m.Problem())
	}
	r.write("again")
	r.reads("first", "alone", "again")
	r.down()

	r.put("/dev/vdb")
	c := r.boot("/dev/vda3 /dev/vdc3")
	if len(c.Mirror.Left) != 1 || c.Mirror.Left[0].Disk != "/dev/vdb" {
		t.Fatalf("what is left: %+v", c.Mirror.Left)
	}
	r.down()

	// The first disk dies: what was filled has all.
	r.pull("/dev/vda")
	r.boot("/dev/vdc3")
	r.reads("first", "alone", "again")
	r.write("third")
	r.notices()
	r.is(storage.Degraded)
	if _, err := r.m.Replace(t.Context(), storage.Replace{}); err == nil || !strings.Contains(err.Error(),
		"disk /dev/vdb: it holds what this host held before") {
		t.Fatalf("the old disk is taken though its name was not typed: %v", err)
	}
	plan, err := r.m.Replace(t.Context(), storage.Replace{Wipe: "/dev/vdb", DryRun: true})
	if err != nil || len(plan.Steps) != 6 || plan.State != storage.Degraded {
		t.Fatalf("the plan is %+v, %v", plan, err)
	}
	r.replaces(storage.Replace{Wipe: "/dev/vdb"})
	r.reads("first", "alone", "again", "third")
	r.down()

	// A boot without one of them, and a replacement that is cut off after its note.
	r.pull("/dev/vdc")
	r.boot("/dev/vdb3")
	r.reads("first", "alone", "again", "third")
	r.down()
	r.put("/dev/vda")
	r.put("/dev/vdc")
	c = r.boot("/dev/vdb3")
	if len(c.Mirror.Left) != 2 {
		t.Fatalf("what is left: %+v", c.Mirror.Left)
	}
	fails := fmt.Errorf("cut off here")
	r.m.o.Systems = func(string) error { return fails }
	want := storage.Replace{Disk: wish.Rule{Path: "/dev/vda"}, Wipe: "/dev/vda"}
	_, err = r.m.Replace(t.Context(), want)
	must(t, err)
	r.until("it fails", func() bool { return strings.Contains(r.m.Status().Failed, "cut off here") })
	r.is(storage.Filling)
	r.down()
	c = r.boot("/dev/vdb3 /dev/vda3")
	if !c.Degraded || !c.Mirror.Filling {
		t.Fatalf("a disk that is being filled counts as whole: %+v", c)
	}
	r.replaces(storage.Replace{})
	r.down()
	r.boot("/dev/vda3 /dev/vdb3")
	r.reads("first", "alone", "again", "third")
	r.down()
}
