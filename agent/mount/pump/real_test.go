package pump_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/mount/pump"
	"hardnode.dev/agent/mount/serve"
	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/disk/btrfs"
)

const quota = 64 << 20

// real is a volume on a real btrfs, mounted by a real kernel with its ids mapped: 0 in the volume is base at the mount.
type real struct {
	t      *testing.T
	volume string // the served subvolume
	at     string // where it is mounted
	self   string // this program, where everybody can run it
	dev    *os.File
	dial   pump.Dial
	times  pump.Times
	pump   *pump.Pump
	stop   func() // ends the pump, as a kill of its process would

	mu struct {
		sync.Mutex
		conns []net.Conn
		dead  bool
	}
}

const base = 1 << 17

func need(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Skipf("%v: %v: %s", args, err, out)
	}
}

// cut ends the connections; dead says whether there will be others.
func (r *real) cut(dead bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.dead = dead
	for _, c := range r.mu.conns {
		c.Close()
	}
	r.mu.conns = nil
}

// btrfsVolume makes a file system with a subvolume that has a quota.
func btrfsVolume(t *testing.T) *os.File {
	t.Helper()
	dir := folder(t)
	disk, data := filepath.Join(dir, "disk"), filepath.Join(dir, "data")
	if err := errors.Join(os.Mkdir(data, 0o755), os.WriteFile(disk, nil, 0o600), os.Truncate(disk, 512<<20)); err != nil {
		t.Fatal(err)
	}
	need(t, "mkfs.btrfs", "-q", disk)
	need(t, "mount", "-o", "loop", disk, data)
	t.Cleanup(func() { exec.Command("umount", data).Run() })
	top, err := os.Open(data)
	if err != nil {
		t.Fatal(err)
	}
	defer top.Close()
	if err := btrfs.EnableSimpleQuota(top); err != nil {
		t.Skip(err)
	}
	if err := btrfs.CreateSubvolume(top, "vol"); err != nil {
		t.Fatal(err)
	}
	root, err := sys.OpenDir(filepath.Join(data, "vol"))
	if err == nil {
		err = btrfs.LimitSubvolume(root, quota)
	}
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func newReal(t *testing.T, times pump.Times, readOnly bool) *real {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("it mounts file systems: it needs root")
	}
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skip("/dev/fuse: ", err)
	}
	r := &real{t: t, at: folder(t), dev: os.NewFile(uintptr(fd), "/dev/fuse")}
	t.Cleanup(func() { r.dev.Close() })
	root := btrfsVolume(t)
	r.volume, r.self = root.Name(), filepath.Join(folder(t), "self")
	if b, err := os.ReadFile("/proc/self/exe"); err != nil || os.WriteFile(r.self, b, 0o755) != nil {
		t.Fatal(err)
	}
	v, err := serve.Open(root, serve.Options{Has: func(id uint32) bool { return id < 1<<16 },
		Space: func() (int64, int64, error) { return quota, 0, nil }})
	if err != nil {
		t.Fatal(err)
	}
	s := serve.NewSession(v, readOnly, 7)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); s.Close() })
	dial := func(context.Context) (net.Conn, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.mu.dead {
			return nil, errors.New("nobody is there")
		}
		a, b := net.Pipe()
		r.mu.conns = append(r.mu.conns, a, b)
		go s.Serve(ctx, b)
		return a, nil
	}
	tree, err := sys.NewMount("fuse", sys.NoSuid|sys.NoDev, [2]string{"source", "vol"}, [2]string{"fd", fmt.Sprint(fd)},
		[2]string{"rootmode", "40000"}, [2]string{"user_id", "0"}, [2]string{"group_id", "0"}, [2]string{"default_permissions", ""},
		[2]string{"allow_other", ""})
	if err != nil {
		t.Skip(err)
	}
	defer tree.Close()
	r.dial, r.times = dial, times
	r.begin(false)
	<-r.pump.Ready()
	ns := userNamespace(t)
	defer ns.Close()
	if err := errors.Join(sys.MapIDs(tree, ns), sys.Attach(tree, r.at)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.pump.End()
		unix.Unmount(r.at, unix.MNT_DETACH)
		r.stop()
	})
	return r
}

// begin runs a pump, be it after another one.
func (r *real) begin(resume bool) {
	fd, err := unix.FcntlInt(r.dev.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	unix.SetNonblock(fd, true)
	dev := os.NewFile(uintptr(fd), "/dev/fuse")
	p := pump.New(dev, r.dial, r.times, nil)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := p.Run(ctx); err != nil {
			r.t.Error(err)
		}
	}()
	if resume {
		if err := p.Resume(); err != nil {
			r.t.Error(err)
		}
	}
	r.pump, r.stop = p, func() { cancel(); <-done; dev.Close() }
}

// userNamespace has 65536 ids from base on.
func userNamespace(t *testing.T) *os.File {
	t.Helper()
	cmd := exec.Command("sleep", "60")
	cmd.SysProcAttr = within(0)
	if err := cmd.Start(); err != nil {
		t.Skip("a user namespace: ", err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return ns
}

// does runs a shell at the mount, as an id of the container's.
func (r *real) does(id int, script string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-ec", `cd "$AT"; `+script)
	cmd.Env = append(os.Environ(), "VOLUME="+r.volume, "AT="+r.at, "SELF="+r.self)
	cmd.SysProcAttr = within(id)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// within is a process of the container's.
func within(id int) *syscall.SysProcAttr {
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: base, Size: 1 << 16}}
	return &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids, GidMappingsEnableSetgroups: true,
		Credential: &syscall.Credential{Uid: uint32(id), Gid: uint32(id)}, Pdeathsig: syscall.SIGKILL}
}

// folder is one that everybody can reach.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (r *real) must(id int, script string) {
	r.t.Helper()
	if out, err := r.does(id, script); err != nil {
		r.t.Errorf("%s: %v\n%s", script, err, out)
	}
}

// owner is whom the volume's own file system has for a file.
func (r *real) owner(name string) string {
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(r.volume, name), &st); err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d:%d %o", st.Uid, st.Gid, st.Mode&0o7777)
}

func TestReal(t *testing.T) {
	r := newReal(t, pump.Usual, false)
	if err := os.Chmod(r.volume, 0o777); err != nil {
		t.Fatal(err)
	}
	r.must(33, "umask 0; echo a > a; mkdir -m 775 d; ln -s a l; mkfifo p; ln a h; test $(cat l) = a; test $(stat -c %h a) = 2")
	for name, want := range map[string]string{"a": "33:33 666", "d": "33:33 775", "l": "33:33 777", "p": "33:33 666"} {
		if got := r.owner(name); got != want {
			t.Errorf("%s is of %s on the disk, want %s", name, got, want)
		}
	}
	r.must(0, "test $(stat -c %u:%g a) = 33:33")
	if out, err := r.does(44, "echo x > d/x"); err == nil {
		t.Errorf("somebody wrote in another's directory: %s", out)
	}
	r.must(0, "chown 5:6 a; chmod 640 a; chgrp 77 d; chmod g+s d")
	r.must(33, "touch d/g")
	for name, want := range map[string]string{"a": "5:6 640", "d/g": "33:77 644"} {
		if got := r.owner(name); got != want {
			t.Errorf("%s is of %s on the disk, want %s", name, got, want)
		}
	}
	if out, err := r.does(0, "mknod null c 1 3"); err == nil {
		t.Errorf("a device was made: %s", out)
	}
	r.must(0, `exec 3<>d/g; echo one >&3; rm d/g; echo two >&3; test $(stat -Lc %s /proc/self/fd/3) = 8`)
	r.must(0, "mkdir many; for i in $(seq 500); do : > many/$i; done; test $(ls many | wc -l) = 500; test $(ls -l many | wc -l) = 501; "+
		"mv many d/few; test $(ls d/few | wc -l) = 500; rm -r d; ! test -e d")
	r.must(0, "head -c 9000000 /dev/urandom > b; cmp b $VOLUME/b")
	r.must(0, "touch -d 2001-02-03T04:05:06.789Z t; test $(stat -c %Y $VOLUME/t) = 981173106; truncate -s 5 t; fallocate -l 1M t; sync t")
	r.must(0, fmt.Sprintf("test $(df -B1 --output=size . | tail -1) = %d", quota))
	r.must(0, "flock f -c 'flock -n f true && exit 1 || true'")
	r.must(0, "seq 100000 > s; dd if=s of=s2 bs=7777 status=none; cmp s s2; "+
		"(for i in 1 2 3 4; do (for j in $(seq 50); do echo $i >> log; done) & done; wait); "+
		"test $(wc -l < log) = 200")
	if out, err := exec.Command("btrfs", "subvolume", "create", filepath.Join(r.volume, "sub")).CombinedOutput(); err != nil {
		t.Logf("a subvolume below the volume: %v: %s", err, out)
	} else if out, err := r.does(0, "ls sub || rmdir sub"); err == nil {
		t.Errorf("another subvolume is shown: %s", out)
	}

	if out, err := exec.Command("timeout", "20", "touch", filepath.Join(r.at, "x")).CombinedOutput(); err == nil {
		t.Errorf("root of the host, which is nobody of the container's, made a file: %s", out)
	}
	r.must(0, "truncate -s 1M map; $SELF map map")
	if b, err := os.ReadFile(filepath.Join(r.volume, "map")); err != nil || !bytes.HasPrefix(b[min(len(b), 500000):], []byte(mapped)) {
		t.Errorf("what was mapped is not on the disk: %v", err)
	}
}

const mapped = "through a mapping"

// TestMain is the test, or what a test has done at the mount: the process that answers there must not wait there.
func TestMain(m *testing.M) {
	if os.Getenv("VOLUME") == "" || len(os.Args) != 3 {
		os.Exit(m.Run())
	}
	if err := map[string]func(string) error{"map": mapIn, "fill": fill}[os.Args[1]](os.Args[2]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// mapIn writes through a mapping.
func mapIn(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	b, err := unix.Mmap(int(f.Fd()), 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	copy(b[500000:], mapped)
	return unix.Msync(b, unix.MS_SYNC)
}

// fill writes until the volume is full.
func fill(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o666)
	b, n := bytes.Repeat([]byte("x"), 1<<20), 0
	for ; n <= quota>>20 && err == nil; n++ {
		_, err = f.Write(b)
	}
	if !errors.Is(err, unix.EDQUOT) || n < quota>>20-8 {
		return fmt.Errorf("after %d MiB of %d: %v", n, quota>>20, err)
	}
	return nil
}

// TestQuota: a full volume says EDQUOT, as it does in its own container.
func TestQuota(t *testing.T) {
	r := newReal(t, pump.Usual, false)
	os.Chmod(r.volume, 0o777)
	r.must(0, "$SELF fill f; rm f; sleep 0.1; echo x > g")
}

func TestReadOnlyMount(t *testing.T) {
	r := newReal(t, pump.Usual, true)
	if err := os.WriteFile(filepath.Join(r.volume, "f"), []byte("x"), 0o666); err != nil {
		t.Fatal(err)
	}
	os.Chmod(r.volume, 0o777)
	r.must(0, "test $(cat f) = x")
	for _, s := range []string{"echo y > f", "mkdir d", "rm f", "mv f g", "chmod 600 f", "ln f g", "touch f", ": > new"} {
		if out, err := r.does(0, s); err == nil {
			t.Errorf("%s: done: %s", s, out)
		}
	}
}

// TestDead: without its host nobody waits for long, and nobody can't be killed; when it is back, all goes on.
func TestDead(t *testing.T) {
	times := pump.Times{Silence: time.Second, Longest: time.Minute, Interrupt: 300 * time.Millisecond, Ping: 200 * time.Millisecond}
	r := newReal(t, times, false)
	os.Chmod(r.volume, 0o777)
	r.must(0, "echo x > f")
	r.cut(true)
	began := time.Now()
	if out, err := r.does(0, "sleep 1.1; cat f > /dev/null || ls || touch g"); err == nil {
		t.Errorf("done without the host: %s", out)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
	r.cut(false)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, err := r.does(0, "test $(cat f) = x"); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it does not come back")
		}
	}
	r.must(0, "echo y >> f")
}

// TestCuts: connections end and the pump is replaced under a writer, which hears nothing of it.
func TestCuts(t *testing.T) {
	r := newReal(t, pump.Usual, false)
	os.Chmod(r.volume, 0o777)
	cmd := exec.Command("sh", "-ec", `cd "$AT"; `+"for i in $(seq 200); do mkdir d$i; echo $i > d$i/f; mv d$i e$i; echo $i >> log; done")
	cmd.Env = append(os.Environ(), "AT="+r.at)
	cmd.SysProcAttr = within(0)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for n := 0; ; n++ {
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("%v: %s", err, out.String())
			}
			r.must(0, "test $(wc -l < log) = 200; for i in $(seq 200); do test $(cat e$i/f) = $i; done")
			t.Logf("%d cuts", n)
			return
		case <-time.After(150 * time.Millisecond):
			if n%2 == 0 {
				r.cut(false)
				continue
			}
			r.stop()
			r.begin(true)
		}
	}
}
