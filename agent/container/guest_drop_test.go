//go:build guest

package container

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/plan"
	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/snapshot"
)

// tree is all that a directory holds, one line a file: its type and mode, owners, links, device, time and content. What is in it may be
// deeper than a path is long.
func tree(t *testing.T, path string) string {
	t.Helper()
	var b strings.Builder
	dir, err := os.Open(path)
	if err == nil {
		err = branch(&b, dir, ".")
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func branch(b *strings.Builder, dir *os.File, at string) error {
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range append([]string{"."}, names...) {
		var st unix.Stat_t
		if err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
		fmt.Fprintf(b, "%q %o %d:%d %d %x %d.%09d", at+"/"+name, st.Mode, st.Uid, st.Gid, st.Nlink, st.Rdev, st.Mtim.Sec, st.Mtim.Nsec)
		kind := st.Mode & unix.S_IFMT
		if kind == unix.S_IFLNK {
			var to [unix.PathMax]byte
			n, err := unix.Readlinkat(int(dir.Fd()), name, to[:])
			if err != nil {
				return err
			}
			fmt.Fprintf(b, " %q", to[:n])
		}
		var f *os.File
		if name != "." && kind == unix.S_IFDIR || kind == unix.S_IFREG && st.Size > 0 {
			fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
			if err != nil {
				return err
			}
			f = os.NewFile(uintptr(fd), name)
		}
		if f != nil && kind == unix.S_IFREG {
			sum := sha256.New()
			_, err := io.Copy(sum, f)
			if f.Close(); err != nil {
				return err
			}
			fmt.Fprintf(b, " %x", sum.Sum(nil))
		}
		b.WriteString("\n")
		if f != nil && kind == unix.S_IFDIR {
			if err := branch(b, f, at+"/"+name); err != nil {
				return err
			}
		}
	}
	return nil
}

// next is what an agent does next with a container, by what it sees of it.
func next(t *testing.T, r *Runtime, c host.Container) plan.Step {
	t.Helper()
	all, err := r.Observe(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[wire.CTID]plan.Seen{}
	for _, o := range all {
		if o.CTID == c.CTID {
			seen[o.CTID] = plan.Seen{CTID: o.CTID, Generation: o.Generation, Boot: o.Spec.Boot, Running: o.State == StateRunning,
				Orphan: o.State == StateOrphan, Volumes: o.Volumes}
		}
	}
	out := plan.Decide(plan.Input{Work: &host.Work{Containers: []host.Container{c}}, Seen: seen, Now: time.Now(),
		Images: map[wire.Digest]plan.Image{c.Image.Digest: {Present: true}}})
	if len(out.Steps) == 0 {
		return plan.Step{}
	}
	return out.Steps[0]
}

// drops does the step that deletes volumes, and wants it to be of these.
func drops(t *testing.T, r *Runtime, c host.Container, names ...string) {
	t.Helper()
	step := next(t, r, c)
	if step.Kind != plan.Drop || !slices.Equal(step.Volumes, names) {
		t.Fatalf("the next step is %+v, want one that drops %q", step, names)
	}
	began := time.Now()
	if err := r.DropVolumes(deadline(t), c.CTID, step.Volumes); err != nil {
		t.Fatal(err)
	}
	t.Logf("dropped %q within %s", names, time.Since(began).Round(time.Millisecond))
	for _, name := range names {
		if _, err := os.Lstat(r.Home(c.CTID) + "/vol-" + name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("volume %q is there: %v", name, err)
		}
	}
	if step := next(t, r, c); step.Kind != "" {
		t.Errorf("then the next step is %+v, want none", step)
	}
}

// quotaOf is the quota group of a container's volume.
func quotaOf(t *testing.T, r *Runtime, id wire.CTID, name string) btrfs.Quota {
	t.Helper()
	dir, err := r.Volume(id, name)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	q, err := btrfs.SubvolumeQuota(dir)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := q.Limit(); err != nil || n == 0 {
		t.Errorf("volume %q has the quota %d: %v", name, n, err)
	}
	return q
}

// groupGoes waits until a quota group is gone: the kernel deletes subvolumes by and by, and their groups with them.
func groupGoes(t *testing.T, what string, q btrfs.Quota, sweep func(*os.File) error) {
	t.Helper()
	dir, err := os.Open("/data")
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for ctx := deadline(t); ; run.Wait(ctx, 100*time.Millisecond) {
		if err := errors.Join(btrfs.Sync(dir), sweep(dir)); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(string(q)); errors.Is(err, fs.ErrNotExist) {
			return
		}
		if ctx.Err() != nil {
			t.Errorf("the quota group of %s is there for ever", what)
			return
		}
	}
}

// meanTree fills the volume at /var/mean with what is tedious to delete, beside many files: directories deeper than a path is long, links
// that lead out of it, odd names, directories nobody may enter, and a file with a hole.
const meanTree = `set -e; mkdir /var/mean/odd; cd /var/mean/odd; one=$(printf %0200d 7); p=$one; for i in $(seq 18); do p=$p/$one; done
mkdir -p $p; cd $p; mkdir -p $p; echo deep > deep; cd /var/mean/odd; ln -s / top; ln -s ../../../../../../etc up; mkfifo pipe
echo x > "$(printf 'a\nb\377')"; mkdir shut; echo x > shut/in; chmod 0 shut/in shut; dd if=/dev/zero of=hole bs=1M seek=40 count=1
chown -h 33:44 top; chmod 6755 hole; sync`

// many makes 10,000 files in a new directory.
func many(t *testing.T, path string) {
	t.Helper()
	err := os.Mkdir(path, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for n := range 10000 {
		fd, err := unix.Openat(int(dir.Fd()), strconv.Itoa(n), unix.O_WRONLY|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(fd)
	}
}

// TestDropVolumes: of three volumes the dropped one goes, of a stopped container and of one that runs without it, with all that it holds
// and with its quota; a snapshot of it stays whole, and the others are as they were. It does not go under what was started with it.
func TestDropVolumes(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	s := box(t, 343, forever)
	s.Boot, s.Limits.PIDs = 1, 256
	s.Volumes = []host.Volume{{Name: "data", Path: "/srv", Bytes: 64 << 20}, {Name: "mean", Path: "/var/mean", Bytes: 64 << 20},
		{Name: "more", Path: "/var/more", Bytes: 16 << 20}}
	mustStart(t, r, s)
	home := r.Home(343)
	many(t, home+"/vol-mean/many")
	if out, code := sh(t, r, 343, meanTree); code != 0 {
		t.Fatalf("fill it: %d %s", code, out)
	}
	if out, code := sh(t, r, 343, "set -e; cd /srv; echo three > three; chown 33:44 three; ln three four; ln -s /proc out; mkfifo pipe; "+
		"chmod 4711 one; dd if=/dev/urandom of=much bs=1M count=4 2>/dev/null; echo m > /var/more/m; sync"); code != 0 {
		t.Fatalf("fill the others: %d %s", code, out)
	}
	data, mean, more := tree(t, home+"/vol-data"), tree(t, home+"/vol-mean/odd"), tree(t, home+"/vol-more")
	same := func(when string, want map[string]string) {
		t.Helper()
		for dir, want := range want {
			if got := tree(t, dir); got != want {
				t.Errorf("%s %s is not as it was: %d bytes of lines, %d before", when, dir, len(got), len(want))
			}
		}
	}
	ask := Asking(r)
	one, err := ask(deadline(t), 343, snapshot.Ask{Action: snapshot.Take, NoHook: true})
	if err != nil {
		t.Fatal(err)
	}
	ofMean, ofMore := quotaOf(t, r, 343, "mean"), quotaOf(t, r, 343, "more")

	// It runs with them: the agent stops it first, and whoever asks is refused before anything of the list goes.
	c := s.Container
	c.Boot, c.Volumes, c.Dropped = 2, []host.Volume{s.Volumes[0], s.Volumes[2]}, []string{"mean"}
	if step := next(t, r, c); step.Kind != plan.Stop {
		t.Errorf("of one that runs with it, the next step is %+v, want a stop", step)
	}
	err = r.DropVolumes(deadline(t), 343, []string{"never", "mean"})
	if !errors.Is(err, ErrRunning) || !strings.Contains(err.Error(), `"mean"`) {
		t.Errorf("of one that runs with it: %v, want ErrRunning", err)
	}
	if got, _ := sh(t, r, 343, "ls /var/mean/many | wc -l"); got != "10000" {
		t.Errorf("refused, and it holds %q files", got)
	}

	// It is stopped.
	if err := r.Stop(deadline(t), 343); err != nil {
		t.Fatal(err)
	}
	stopped := c
	stopped.Run = false
	drops(t, r, stopped, "mean")
	snap := "/data/snap/343/" + string(one.Done)
	same("stopped,", map[string]string{home + "/vol-data": data, home + "/vol-more": more, snap + "/vol-mean/odd": mean})
	if list, err := os.ReadDir(snap + "/vol-mean/many"); err != nil || len(list) != 10000 {
		t.Errorf("the snapshot has %d of 10,000 files: %v", len(list), err)
	}
	if err := r.DropVolumes(deadline(t), 343, []string{"mean", "never"}); err != nil {
		t.Errorf("what is not there: %v", err)
	}
	if err := r.DropVolumes(deadline(t), 344, []string{"data"}); err != nil {
		t.Errorf("of a container that never was: %v", err)
	}
	if _, err := os.Lstat(r.Home(344)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a container that never was has a directory: %v", err)
	}
	if n, err := ofMean.Referenced(); err != nil || n < 1<<20 {
		t.Errorf("what the snapshot holds counts %d bytes: %v", n, err)
	}
	if _, err := ask(deadline(t), 343, snapshot.Ask{Action: snapshot.Delete, ID: one.Done}); err != nil {
		t.Fatal(err)
	}
	groupGoes(t, "a volume that a snapshot held", ofMean, func(dir *os.File) error { // as agent/scrub does
		_, err := btrfs.DropGroups(dir)
		return err
	})

	// It runs without it.
	s.Container = c
	if _, err := r.Start(deadline(t), s); err != nil {
		t.Fatal(err)
	}
	c.Boot, c.Volumes, c.Dropped = 3, c.Volumes[:1], []string{"mean", "more"}
	if step := next(t, r, c); step.Kind != plan.Stop {
		t.Errorf("of one that runs with the second, the next step is %+v, want a stop", step)
	}
	if err := r.Stop(deadline(t), 343); err != nil {
		t.Fatal(err)
	}
	s.Container = c
	o, err := r.Start(deadline(t), s)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := sh(t, r, 343, "ls -d /var/mean /var/more 2>/dev/null; cat /srv/four"); !strings.HasSuffix(got, "three") {
		t.Errorf("in one that runs without them: %q", got)
	}
	drops(t, r, c, "more")
	same("running,", map[string]string{home + "/vol-data": data})
	groupGoes(t, "a volume that nothing held", ofMore, func(*os.File) error { return nil })
	if got, _ := sh(t, r, 343, "echo new > /srv/new && cat /srv/new"); got != "new" {
		t.Errorf("after it the container writes %q", got)
	}
	all, err := r.Observe(deadline(t))
	if err != nil || len(all) != 1 || all[0].PID != o.PID || !slices.Equal(all[0].Volumes, []string{"data"}) || all[0].Trouble != "" {
		t.Errorf("after it: %+v %v, want process %d and one volume", all, err, o.PID)
	}
}

// TestDropVolumesKilled: an agent that is killed between two volumes leaves the second whole, and the next one goes on with it; a volume of
// the name of one that was dropped begins anew.
func TestDropVolumesKilled(t *testing.T) {
	const id, said = 345, "one is gone"
	if os.Getenv("HARDNODE_DROP") != "" {
		r, err := New(Options{Log: slog.New(haltAt{said: said, at: "volume dropped"})})
		if err == nil {
			err = r.DropVolumes(deadline(t), id, []string{"data", "more"})
		}
		t.Fatalf("it was not killed: %v", err)
	}
	i := spawnerUp(t)
	r := newRuntime(t)
	s := box(t, id, forever)
	s.Volumes = []host.Volume{{Name: "data", Path: "/srv", Bytes: 16 << 20}, {Name: "keep", Path: "/var/keep", Bytes: 16 << 20},
		{Name: "more", Path: "/var/more", Bytes: 16 << 20}}
	mustStart(t, r, s)
	if out, code := sh(t, r, id, "rm /srv/one; for v in /srv /var/keep /var/more; do echo $v > $v/x || exit; done; sync"); code != 0 {
		t.Fatalf("fill them: %s", out)
	}
	if err := r.Stop(deadline(t), id); err != nil {
		t.Fatal(err)
	}
	home := r.Home(id)
	keep, more := tree(t, home+"/vol-keep"), tree(t, home+"/vol-more")

	agent := exec.Command("/proc/self/exe", "-test.run=^TestDropVolumesKilled$")
	agent.Env = append(os.Environ(), "HARDNODE_DROP=1")
	out, err := agent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	defer agent.Process.Kill()
	for lines := bufio.NewScanner(out); ; {
		if !lines.Scan() {
			t.Fatalf("the agent ended before it was killed: %v", agent.Wait())
		}
		if lines.Text() == said {
			break
		}
	}
	agent.Process.Kill()
	agent.Wait()
	i.kill()
	i.start()
	if _, err := os.Lstat(home + "/vol-data"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was dropped is there: %v", err)
	}
	r = newRuntime(t)
	c := s.Container
	c.Run, c.Volumes, c.Dropped = false, s.Volumes[1:2], []string{"data", "more"}
	for dir, want := range map[string]string{"keep": keep, "more": more} {
		if got := tree(t, home+"/vol-"+dir); got != want {
			t.Errorf("after the kill volume %q is\n%s\nand was\n%s", dir, got, want)
		}
	}
	drops(t, r, c, "more")
	if got := tree(t, home+"/vol-keep"); got != keep {
		t.Errorf("in the end volume keep is\n%s\nand was\n%s", got, keep)
	}
	if _, err := r.Start(deadline(t), s); err != nil {
		t.Fatal(err)
	}
	if got, _ := sh(t, r, id, "ls /srv; ls /var/more; cat /var/keep/x"); got != "one\ntwo\n/var/keep" {
		t.Errorf("started with them again, they hold %q", got)
	}
}

// haltAt is a log whose writer is told when something is logged, and waits for ever.
type haltAt struct{ said, at string }

func (h haltAt) Enabled(context.Context, slog.Level) bool { return true }
func (h haltAt) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h haltAt) WithGroup(string) slog.Handler            { return h }
func (h haltAt) Handle(_ context.Context, r slog.Record) error {
	if r.Message == h.at {
		fmt.Println(h.said)
		select {}
	}
	return nil
}
