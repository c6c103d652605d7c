//go:build guest

package container_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/container"
	"hardnode.dev/agent/container/command"
	"hardnode.dev/agent/jemcall"
	"hardnode.dev/agent/snapshot/answer"
	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	wiresnapshot "hardnode.dev/internal/wire/snapshot"
)

func init() {
	container.Asking = func(r *container.Runtime) func(context.Context, wire.CTID, wiresnapshot.Ask) (wiresnapshot.Answer, error) {
		return (&answer.Answerer{Runtime: r, Store: r.Snapshots(), Log: logging.New(io.Discard, "test", slog.LevelInfo)}).Ask
	}
}

// rig is a host that runs containers and is asked for snapshots.
type rig struct {
	*testing.T
	r     *container.Runtime
	a     *answer.Answerer
	image wire.Digest
	was   []bool // of each restore: the files were of another container, or of a backup
}

func newRig(t *testing.T) *rig {
	t.Helper()
	container.SpawnerUp(t)
	_, digest := container.ImageFile(t, "box")
	return (&rig{T: t, image: digest}).again()
}

// again is the next agent of the same host.
func (g *rig) again() *rig {
	log := logging.New(io.Discard, "test", slog.LevelInfo)
	r, err := container.New(container.Options{Log: log})
	must(g.T, err)
	var calls jemcall.Calls
	jem := func(ctx context.Context, id wire.CTID, action string) (string, error) {
		reply, err := calls.Do(ctx, id, host.JEMRequest{Module: "backup", Action: action}, r.Told(ctx, id), r.Exec)
		return reply.Message, err
	}
	next := &rig{T: g.T, r: r, a: &answer.Answerer{Runtime: r, Store: r.Snapshots(), JEM: jem, Log: log}, image: g.image}
	next.a.Restored = func(_ wire.CTID, elsewhere bool) { next.was = append(next.was, elsewhere) }
	return next
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// box is a container with a volume.
func (g *rig) box(id wire.CTID, generation int64, disk int64) container.StartSpec {
	return container.StartSpec{
		Container: host.Container{CTID: id, Env: "test", Layer: "cp", Hostname: "node" + id.String(), Generation: generation, Run: true,
			Image: host.Image{Name: "box", Digest: g.image}, Profile: host.ProfileApp,
			Process: host.Process{Argv: []string{"sh", "-c", "trap exit TERM; while :; do sleep 1000 & wait; done"}, StopAfter: 5},
			Limits:  host.Limits{MemoryMax: 256 << 20, PIDs: 64, DiskBytes: disk},
			Volumes: []host.Volume{{Name: "data", Path: "/srv", Bytes: disk}}},
		UIDBase: uint32(id) * 65536, ImagePath: "/data/box.erofs", Resolv: []byte("x"), Hosts: []byte("x"),
	}
}

func (g *rig) start(s container.StartSpec) {
	g.Helper()
	_, err := g.r.Start(deadline(g.T), s)
	must(g.T, err)
	g.Cleanup(func() {
		if err := g.r.Remove(deadline(g.T), s.CTID, false); err != nil {
			g.Error(err)
		}
		if _, err := os.Lstat("/data/snap/" + s.CTID.String()); !errors.Is(err, fs.ErrNotExist) {
			g.Errorf("snapshots of the removed container %s are there: %v", s.CTID, err)
		}
	})
}

func (g *rig) sh(id wire.CTID, script string) string {
	g.Helper()
	var out, talk bytes.Buffer
	e, err := g.r.Exec(deadline(g.T), id, host.ExecSpec{Argv: []string{"sh", "-c", script}}, command.Stdio{Out: &out, Err: &talk})
	must(g.T, err)
	if e.Error != "" {
		g.Fatal(e.Error)
	}
	return strings.TrimSpace(out.String() + talk.String())
}

func (g *rig) says(id wire.CTID, script, want string) {
	g.Helper()
	if got := g.sh(id, script); got != want {
		g.Errorf("%s: got %q, want %q", script, got, want)
	}
}

func (g *rig) ask(id wire.CTID, q wiresnapshot.Ask) wiresnapshot.Answer {
	g.Helper()
	out, err := g.a.Ask(deadline(g.T), id, q)
	must(g.T, err)
	return out
}

func (g *rig) refuses(id wire.CTID, q wiresnapshot.Ask, want string) {
	g.Helper()
	if _, err := g.a.Ask(deadline(g.T), id, q); err == nil || !strings.Contains(err.Error(), want) {
		g.Errorf("%+v: got %v, want %q", q, err, want)
	}
}

const mib = 1 << 20

// TestSnapshot: a snapshot has layer and volumes of one moment; restored, stopped or running, all is as it was, and what was there is kept.
func TestSnapshot(t *testing.T) {
	g := newRig(t)
	g.refuses(501, wiresnapshot.Ask{Action: wiresnapshot.Take}, "has no data on this host yet")
	s := g.box(501, 1, 64*mib)
	g.start(s)
	g.sh(501, "echo old > /top; echo old > /srv/file; sync")
	one := g.ask(501, wiresnapshot.Ask{Action: wiresnapshot.Take, Note: "first"})
	if len(one.Snapshots) != 1 || one.Snapshots[0].Said != "no database that JEM knows runs here" || len(one.Notes) != 0 ||
		one.Snapshots[0].ID != one.Done || one.Snapshots[0].Note != "first" || !one.Snapshots[0].Running ||
		one.Snapshots[0].Image != g.image || len(one.Snapshots[0].Parts) != 2 || one.Snapshots[0].Pause == 0 {
		t.Errorf("taken: %+v", one)
	}
	if f, err := os.ReadFile("/sys/fs/cgroup/ct/501/cgroup.freeze"); err != nil || strings.TrimSpace(string(f)) != "0" {
		t.Errorf("after it the container is frozen: %q %v", f, err)
	}
	if err := os.WriteFile(filepath.Join("/data/snap/501", string(one.Done), "vol-data", "file"), nil, 0o600); err == nil {
		t.Error("a snapshot can be written to")
	}
	g.sh(501, "echo new > /top; echo new > /srv/file; echo more > /srv/more; sync")
	g.refuses(501, wiresnapshot.Ask{Action: wiresnapshot.Restore, ID: "20200101-000000"}, "there is no such snapshot")
	back := g.ask(501, wiresnapshot.Ask{Action: wiresnapshot.Restore, ID: one.Done})
	if len(back.Snapshots) != 2 || back.Kept == "" || back.Snapshots[0].Before != one.Done {
		t.Errorf("restored: %+v", back)
	}
	g.start(s) // as agent/apply does
	g.says(501, "cat /top /srv/file; ls /srv", "old\nold\nfile\none\ntwo")
	if !slices.Equal(g.was, []bool{false}) {
		t.Errorf("its own files are said to be another container's: %v", g.was)
	}
	g.ask(501, wiresnapshot.Ask{Action: wiresnapshot.Restore, ID: back.Kept, Only: true})
	g.start(s)
	g.says(501, "cat /top /srv/file /srv/more", "old\nnew\nmore")

	must(t, g.r.Stop(deadline(t), 501))
	again := g.ask(501, wiresnapshot.Ask{Action: wiresnapshot.Restore, ID: back.Kept})
	g.start(s)
	g.says(501, "cat /top /srv/file", "new\nnew")
	g.ask(501, wiresnapshot.Ask{Action: wiresnapshot.Delete, ID: again.Kept})
	g.refuses(501, wiresnapshot.Ask{Action: wiresnapshot.Delete, ID: again.Kept}, "there is no such snapshot")
	dry := g.ask(501, wiresnapshot.Ask{Action: wiresnapshot.Prune, Rule: wiresnapshot.Rule{Weekly: 1}, DryRun: true})
	gone := g.ask(501, wiresnapshot.Ask{Action: wiresnapshot.Prune, Rule: wiresnapshot.Rule{Weekly: 1}})
	if !slices.Equal(dry.Gone, gone.Gone) || len(gone.Snapshots)+len(gone.Gone) != len(dry.Snapshots) {
		t.Errorf("pruned: %+v, dry %+v", gone, dry)
	}

	// Another generation has another layer: the old one's is not put under it, the volumes are.
	must(t, g.r.Stop(deadline(t), 501), g.r.Remove(deadline(t), 501, true))
	s.Generation = 2
	g.start(s)
	last := gone.Snapshots[0].ID
	g.refuses(501, wiresnapshot.Ask{Action: wiresnapshot.Restore, ID: last}, "restore its volumes alone with --volumes")
	g.says(501, "echo x > /srv/x; cat /srv/file", "new") // it was not stopped for that
	g.ask(501, wiresnapshot.Ask{Action: wiresnapshot.Restore, ID: last, Only: true})
	g.start(s)
	g.says(501, "ls /srv/x 2>/dev/null; ls /", g.sh(501, "ls /"))
}

// TestSnapshotHook: JEM runs the container's hooks before and after a snapshot; one that fails is said, and the snapshot is there.
func TestSnapshotHook(t *testing.T) {
	g := newRig(t)
	g.start(g.box(507, 1, 64*mib))
	hook := func(name, text string) {
		g.sh(507, "mkdir -p /etc/jem/hooks; printf '#!/bin/sh\\n"+text+"\\n' > /etc/jem/hooks/"+name+"; chmod 755 /etc/jem/hooks/"+name)
	}
	hook("backup-before.pre", "echo ran >> /tmp/before")
	hook("backup-after.post", "echo ran >> /tmp/after")
	g.ask(507, wiresnapshot.Ask{Action: wiresnapshot.Take})
	g.says(507, "cat /tmp/before /tmp/after", "ran\nran")
	g.ask(507, wiresnapshot.Ask{Action: wiresnapshot.Take, NoHook: true})
	g.says(507, "cat /tmp/before /tmp/after", "ran\nran")
	hook("backup-before.pre", "echo no; exit 3")
	out := g.ask(507, wiresnapshot.Ask{Action: wiresnapshot.Take})
	if len(out.Snapshots) != 3 || len(out.Notes) != 1 || !strings.HasPrefix(out.Notes[0], "jem backup before failed: ") ||
		out.Snapshots[0].Said != out.Notes[0] {
		t.Errorf("a hook that fails: %+v", out)
	}
	g.says(507, "cat /tmp/before /tmp/after", "ran\nran\nran") // what was begun is ended
	t.Logf("a hook that fails: %s", out.Notes)
}

// TestSnapshotClone: a snapshot of one container is what another one becomes, and each goes on with its own.
func TestSnapshotClone(t *testing.T) {
	g := newRig(t)
	of, to := g.box(508, 1, 64*mib), g.box(509, 3, 64*mib)
	of.Volumes = append(of.Volumes, host.Volume{Name: "more", Path: "/more", Bytes: 8 * mib})
	g.start(of)
	g.start(to)
	g.sh(508, "echo theirs > /top; echo theirs > /srv/file; dd if=/dev/zero of=/srv/big bs=1M count=20 2>/dev/null; sync")
	g.sh(509, "echo own > /top; echo own > /srv/file; sync")
	one := g.ask(508, wiresnapshot.Ask{Action: wiresnapshot.Take, NoHook: true}).Done
	g.refuses(509, wiresnapshot.Ask{Action: wiresnapshot.Restore, ID: one}, "there is no such snapshot")
	g.refuses(509, wiresnapshot.Ask{Action: wiresnapshot.Restore, ID: one, From: 4711}, "there is no such snapshot")
	g.says(509, "cat /top", "own") // it runs on
	out := g.ask(509, wiresnapshot.Ask{Action: wiresnapshot.Restore, ID: one, From: 508})
	if len(out.Notes) != 1 || out.Notes[0] != "volume more is left out: container 509 has none of that name" {
		t.Errorf("cloned: %+v", out)
	}
	g.start(to)
	g.says(509, "cat /top /srv/file; hostname", "theirs\ntheirs\nnode509")
	if !slices.Equal(g.was, []bool{true}) {
		t.Errorf("the clone's files are not said to be another container's: %v", g.was)
	}
	g.sh(509, "echo changed > /srv/file; sync")
	g.says(508, "cat /srv/file", "theirs")
	// its volume counts what it writes, within its own quota
	if s := g.sh(509, "dd if=/dev/zero of=/srv/full bs=1M count=100 2>&1; ls -l /srv/full"); !strings.Contains(s, "uota exceeded") {
		t.Errorf("the clone's volume has no quota: %s", s)
	}
	g.says(508, "dd if=/dev/zero of=/srv/more bs=1M count=20 2>/dev/null && echo fits", "fits")
	g.sh(509, "rm /srv/full")
	g.ask(509, wiresnapshot.Ask{Action: wiresnapshot.Restore, ID: out.Kept})
	g.start(to)
	g.says(509, "cat /top /srv/file", "own\nown")
	must(t, g.r.Stop(deadline(t), 509))
	g.refuses(509, wiresnapshot.Ask{Action: wiresnapshot.Restore, ID: one, From: 508}, "restore its volumes alone with --volumes")
	g.ask(509, wiresnapshot.Ask{Action: wiresnapshot.Restore, ID: one, From: 508, Only: true})
	g.start(to)
	g.says(509, "cat /top /srv/file", "own\ntheirs")
}

// lines counts those of a file of a snapshot.
func (g *rig) lines(id wire.CTID, which wiresnapshot.ID, file string) int {
	g.Helper()
	b, err := os.ReadFile(filepath.Join("/data/snap", id.String(), string(which), file))
	must(g.T, err)
	return bytes.Count(b, []byte("\n"))
}

// TestSnapshotMoment: layer and volume are from one moment while both are written to, and the processes stand still no longer than they may
// with 64 MiB dirty: 200 ms (TestSnapshotFigures), three times that on a busy machine.
func TestSnapshotMoment(t *testing.T) {
	g := newRig(t)
	s := g.box(502, 1, 256*mib)
	s.Process.Argv = []string{"sh", "-c", "while :; do echo >> /srv/n; echo >> /n; done"}
	g.start(s)
	var pauses []time.Duration
	last := 0
	for range 5 {
		out := g.dirtySnapshot(502)
		pauses = append(pauses, time.Duration(out.Snapshots[0].Pause)*time.Microsecond)
		inVolume, inLayer := g.lines(502, out.Done, "vol-data/n"), g.lines(502, out.Done, "layer-1/u/n")
		if d := inVolume - inLayer; d < 0 || d > 1 || inVolume <= last {
			t.Errorf("the volume is from moment %d, the layer from %d, the snapshot before from %d", inVolume, inLayer, last)
		}
		last = inVolume
		g.ask(502, wiresnapshot.Ask{Action: wiresnapshot.Delete, ID: out.Done})
	}
	slices.Sort(pauses)
	t.Logf("pauses with 64 MiB dirty: %v", pauses)
	if pauses[len(pauses)/2] > 600*time.Millisecond {
		t.Errorf("the median pause is %s, want 600 ms at most", pauses[len(pauses)/2])
	}

	// The same without standing still: what is counted above tells it.
	different := func() bool {
		var is bool
		must(t, g.r.Holding(deadline(t), 502, func(h *container.Hold) error {
			parts, done, err := h.Parts()
			if err != nil {
				return err
			}
			defer done()
			one, err := g.a.Store.Take(502, wiresnapshot.Snapshot{}, parts, nil, time.Now())
			if err == nil {
				d := g.lines(502, one.ID, "vol-data/n") - g.lines(502, one.ID, "layer-1/u/n")
				is = d < 0 || d > 1
				_, err = g.a.Store.Delete(502, one.ID)
			}
			return err
		}))
		return is
	}
	for n := 0; !different(); n++ {
		if n == 50 {
			t.Fatal("50 snapshots of a running container are all from one moment: this test sees nothing")
		}
	}
}

// dirtySnapshot takes one when 64 MiB are dirty.
func (g *rig) dirtySnapshot(id wire.CTID) wiresnapshot.Answer {
	g.Helper()
	g.sh(id, "dd if=/dev/zero of=/dirty bs=1M count=32 2>/dev/null; dd if=/dev/zero of=/srv/dirty bs=1M count=32 2>/dev/null")
	return g.ask(id, wiresnapshot.Ask{Action: wiresnapshot.Take, NoHook: true})
}

// TestSnapshotHolder is no test, but what TestSnapshotKill kills.
func TestSnapshotHolder(t *testing.T) {
	id, err := wire.ParseCTID(os.Getenv("HARDNODE_HOLD"))
	if err != nil {
		t.Skip("HARDNODE_HOLD is not set")
	}
	g := (&rig{T: t}).again()
	must(t, g.r.Holding(deadline(t), id, func(h *container.Hold) error {
		if _, err := h.Still(deadline(t)); err != nil {
			return err
		}
		fmt.Println("stands still")
		select {}
	}))
}

// TestSnapshotKill: an agent that is killed while a container stands still leaves it to the spawner, which has it go on at once; one that
// hangs, too, and what is done then is not from one moment.
func TestSnapshotKill(t *testing.T) {
	g := newRig(t)
	g.start(g.box(506, 1, 64*mib))
	frozen := func() bool {
		b, err := os.ReadFile("/sys/fs/cgroup/ct/506/cgroup.freeze")
		must(t, err)
		return strings.TrimSpace(string(b)) == "1"
	}
	holder := exec.Command("/proc/self/exe", "-test.run=^TestSnapshotHolder$")
	holder.Env = append(os.Environ(), "HARDNODE_HOLD=506")
	out, err := holder.StdoutPipe()
	must(t, err, holder.Start())
	for lines := bufio.NewScanner(out); ; {
		if !lines.Scan() {
			holder.Wait()
			t.Fatal("the holder ended")
		}
		if strings.Contains(lines.Text(), "stands still") {
			break
		}
	}
	if !frozen() {
		t.Error("nothing stands still")
	}
	killed := time.Now()
	must(t, holder.Process.Kill())
	holder.Wait()
	for frozen() {
		if time.Since(killed) > time.Minute {
			t.Fatal("it stands still for ever")
		}
		time.Sleep(time.Millisecond)
	}
	t.Logf("it goes on %s after the kill", time.Since(killed).Round(time.Millisecond))
	g.says(506, "echo goes on", "goes on")

	must(t, g.r.Holding(deadline(t), 506, func(h *container.Hold) error {
		end, err := h.Still(deadline(t))
		if err != nil {
			return err
		}
		for began := time.Now(); frozen(); time.Sleep(time.Millisecond) {
			if time.Since(began) > time.Minute {
				t.Fatal("it stands still for ever")
			}
		}
		if err := end(); err == nil || !strings.Contains(err.Error(), "the longest they may") {
			t.Errorf("after the longest rest: %v", err)
		}
		return nil
	}))
}

// TestSnapshotCut: wherever an agent is killed, there is the old state or the new one, whole, and nothing stands still.
func TestSnapshotCut(t *testing.T) {
	g := newRig(t)
	s := g.box(503, 1, 64*mib)
	g.start(s)
	write := func(text string) { g.sh(503, "echo "+text+" > /top; echo "+text+" > /srv/file; sync") }
	write("old")
	old := g.ask(503, wiresnapshot.Ask{Action: wiresnapshot.Take}).Done
	write("new")
	home := "/data/ct/503"
	as := func(name string) string { return name }
	stop := func() { must(t, g.r.Stop(deadline(t), 503)) }
	is := func(want string) {
		t.Helper()
		g = g.again()
		g.start(s)
		g.says(503, "cat /top /srv/file", want+"\n"+want)
		for _, dir := range []string{"/data/snap/503/restoring", "/data/snap/503/ready", "/data/snap/503/former"} {
			if _, err := os.Lstat(dir); err == nil {
				t.Errorf("%s is left", dir)
			}
		}
	}

	// While a snapshot is taken: the processes stand still, and half of it is there.
	must(t, os.WriteFile("/sys/fs/cgroup/ct/503/cgroup.freeze", []byte("1"), 0))
	must(t, os.MkdirAll("/data/snap/503/new-20200101-000000", 0o700))
	half, err := os.Open("/data/snap/503/new-20200101-000000")
	must(t, err)
	src, err := os.Open(home + "/layer-1")
	must(t, err)
	must(t, btrfs.Snapshot(src, half, "layer-1", true), src.Close(), half.Close())
	g = g.again()
	g.says(503, "echo goes on", "goes on")
	if _, err := os.Lstat("/data/snap/503/new-20200101-000000"); err == nil {
		t.Error("half a snapshot is left")
	}

	// Before a restore is ready.
	stop()
	must(t, g.a.Store.Prepare(503, 503, old, home, as))
	is("new")
	prepare := func() {
		t.Helper()
		write("new")
		stop()
		must(t, g.a.Store.Prepare(503, 503, old, home, as), g.a.Store.Ready(503))
	}
	// Once it is, and after each of its steps.
	snap := "/data/snap/503/"
	steps := []func() error{
		func() error { return os.Mkdir(snap+"former", 0o700) },
		func() error { return os.Rename(home+"/layer-1", snap+"former/layer-1") },
		func() error { return os.Rename(snap+"ready/layer-1", home+"/layer-1") },
		func() error { return os.Rename(home+"/vol-data", snap+"former/vol-data") },
		func() error { return os.Rename(snap+"ready/vol-data", home+"/vol-data") },
		func() error { return os.Remove(snap + "ready") },
	}
	for n := range len(steps) + 1 {
		prepare()
		for _, step := range steps[:n] {
			must(t, step())
		}
		is("old")
	}
	// An error in the middle has all put back, and the restore is over.
	prepare()
	immutable := func(is bool) {
		t.Helper()
		d, err := os.Open(home + "/vol-data")
		must(t, err)
		flags, err := unix.IoctlGetInt(int(d.Fd()), unix.FS_IOC_GETFLAGS)
		must(t, err)
		const flag = 0x10 // FS_IMMUTABLE_FL
		if flags &^= flag; is {
			flags |= flag
		}
		must(t, unix.IoctlSetPointerInt(int(d.Fd()), unix.FS_IOC_SETFLAGS, flags), d.Close())
	}
	immutable(true)
	if err := g.a.Store.Settle(503, home); err == nil || !strings.Contains(err.Error(), `move "vol-data"`) {
		t.Errorf("a volume that can't be moved: %v", err)
	}
	immutable(false)
	is("new")
	// While one is deleted.
	must(t, os.Rename("/data/snap/503/"+string(old), "/data/snap/503/gone-"+string(old)))
	g = g.again()
	if out := g.ask(503, wiresnapshot.Ask{Action: wiresnapshot.List}); len(out.Snapshots) != 0 {
		t.Errorf("listed: %+v", out)
	}
	if list, err := os.ReadDir("/data/snap/503"); err != nil || len(list) != 0 {
		t.Errorf("left: %v %v", list, err)
	}
}

// TestSnapshotQuota: what a snapshot holds counts for the volume that wrote it, through restores too: nobody gets more room by them; and it
// is given back when neither volume nor snapshot hold it.
func TestSnapshotQuota(t *testing.T) {
	g := newRig(t)
	s := g.box(504, 1, 32*mib)
	g.start(s)
	use := func() int64 {
		t.Helper()
		all, err := g.r.Observe(deadline(t))
		must(t, err)
		for _, o := range all {
			if o.CTID == 504 {
				if o.InVolumes[0].Limit != 32*mib {
					t.Errorf("the limit is %d", o.InVolumes[0].Limit)
				}
				return o.InVolumes[0].Bytes
			}
		}
		return -1
	}
	g.sh(504, "dd if=/dev/urandom of=/srv/a bs=1M count=20; sync")
	one := g.ask(504, wiresnapshot.Ask{Action: wiresnapshot.Take}).Done
	for n := range 3 { // each time 20 MiB are there, and 12 MiB more may be written
		out := g.sh(504, "dd if=/dev/urandom of=/srv/b bs=1M count=20 2>&1; sync; ls -l /srv/b")
		if !strings.Contains(out, "uota exceeded") || use() > 32*mib || use() < 30*mib {
			t.Errorf("round %d: %s; counts %d KiB", n, out, use()>>10)
		}
		g.sh(504, "rm /srv/b; sync")
		back := g.ask(504, wiresnapshot.Ask{Action: wiresnapshot.Restore, ID: one})
		g.start(s)
		g.ask(504, wiresnapshot.Ask{Action: wiresnapshot.Delete, ID: back.Kept})
		t.Logf("after restore %d it counts %d KiB", n, use()>>10)
	}
	g.ask(504, wiresnapshot.Ask{Action: wiresnapshot.Delete, ID: one})
	g.sh(504, "rm /srv/a; sync")
	for end := time.Now().Add(time.Minute); use() > 2*mib && time.Now().Before(end); { // the kernel deletes subvolumes by and by
		dir, err := os.Open("/data")
		must(t, err, btrfs.Sync(dir), dir.Close())
		time.Sleep(10 * time.Millisecond)
	}
	if n := use(); n > 2*mib {
		t.Errorf("what nobody holds counts %d KiB", n>>10)
	}
}

// TestSnapshotFigures: how long snapshot, clone and restore of a layer of 2 GiB take, and how long the processes stand still with 64 MiB
// dirty; `make soak`.
func TestSnapshotFigures(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: `make soak PKG=./qemu-tests/container` does it")
	}
	g := newRig(t)
	s := g.box(505, 1, 6<<30)
	g.start(s)
	g.sh(505, "for i in $(seq 1 2048); do dd if=/dev/zero of=/f$i bs=1M count=1 2>/dev/null; done; sync")
	median := func(what string, list []time.Duration, most time.Duration) {
		slices.Sort(list)
		t.Logf("%s: median of %d: %s, largest %s", what, len(list), list[len(list)/2], list[len(list)-1])
		if list[len(list)/2] > most {
			t.Errorf("%s takes longer than %s", what, most)
		}
	}
	var take, clone, restore, pauses []time.Duration
	for range 9 {
		began := time.Now()
		one := g.ask(505, wiresnapshot.Ask{Action: wiresnapshot.Take, NoHook: true})
		take = append(take, time.Since(began))
		if n := one.Snapshots[0].Bytes(); n < 2<<30 {
			t.Fatalf("the snapshot has %d MiB", n>>20)
		}
		must(t, g.r.Stop(deadline(t), 505))
		began = time.Now()
		must(t, g.a.Store.Prepare(505, 505, one.Done, "/data/ct/505", func(n string) string { return n }))
		clone = append(clone, time.Since(began))
		must(t, g.a.Store.Ready(505), g.a.Store.Settle(505, "/data/ct/505"))
		restore = append(restore, time.Since(began))
		g.start(s)
		g.says(505, "ls / | grep -c ^f", "2048")
		pauses = append(pauses, time.Duration(g.dirtySnapshot(505).Snapshots[0].Pause)*time.Microsecond)
		for _, o := range g.ask(505, wiresnapshot.Ask{Action: wiresnapshot.List}).Snapshots {
			g.ask(505, wiresnapshot.Ask{Action: wiresnapshot.Delete, ID: o.ID})
		}
	}
	median("snapshot", take, 100*time.Millisecond)
	median("clone", clone, 100*time.Millisecond)
	median("restore", restore, 100*time.Millisecond)
	median("processes stand still with 64 MiB dirty", pauses, 200*time.Millisecond)
}
