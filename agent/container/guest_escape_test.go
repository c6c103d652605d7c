//go:build guest

package container

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// One test a row of what container runtimes were broken by; the CVE is in the name. Those of the kernel, 2022-0185 and 2022-0847, are ways
// of TestWaysOut; 2023-27561 and 2023-28642 are 2019-19921 once more. 2024-23651 to 23653 have no test: nothing is built on a host.

// TestCVE_2016_9962_2019_5736: nothing of ours can be seen or opened from inside while commands join.
func TestCVE_2016_9962_2019_5736(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	for id, p := range map[wire.CTID]host.Profile{301: host.ProfileApp, 846: host.ProfileSystem} {
		s := box(t, id,
			"while :; do for p in /proc/[0-9]*; do readlink $p/exe; readlink $p/cwd; ls -l $p/fd; done; done >> /srv/seen 2>/dev/null")
		s.Profile = p
		mustStart(t, r, s)
		for range 30 {
			sh(t, r, id, "true")
		}
		if got, _ := sh(t, r, id, "test -s /srv/seen && grep -c spawner /srv/seen"); got != "0" {
			seen, _ := sh(t, r, id, "grep spawner /srv/seen | sort | uniq -c")
			t.Errorf("profile %s: the container saw %s lines about the spawner: %s", p, got, seen)
		}
	}
}

// try is a script in a container, and what it says to root of each profile; what it says of errors is left out.
type try struct{ script, app, system string }

// tries runs scripts in a container, one after the other.
func tries(t *testing.T, r *Runtime, id wire.CTID, p host.Profile, list []try) {
	t.Helper()
	for _, c := range list {
		want := c.app
		if p == host.ProfileSystem {
			want = c.system
		}
		if got, _ := sh(t, r, id, "{ "+c.script+"; } 2>/dev/null"); got != want {
			t.Errorf("profile %s: %s: got %q, want %q", p, c.script, got, want)
		}
	}
}

// both wants the same of both profiles.
func both(script, want string) try { return try{script, want, want} }

// hostStands notes what of the host a way out would change: its settings, name, mounts and devices, its cgroups and the bounds of the
// container's. What is returned says what is not as it was.
func hostStands(t *testing.T, id wire.CTID) (still func()) {
	t.Helper()
	look := func() map[string]string {
		is := map[string]string{}
		read := func(path string) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			is[path] = string(b)
		}
		for _, name := range []string{"kernel/core_pattern", "kernel/modprobe", "kernel/hostname", "kernel/domainname", "kernel/sysrq",
			"kernel/shm_rmid_forced", "vm/overcommit_memory", "fs/protected_symlinks", "user/max_user_namespaces", "net/ipv4/ip_forward"} {
			read("/proc/sys/" + name)
		}
		read("/proc/irq/default_smp_affinity")
		read("/proc/self/mounts")
		own := fmt.Sprintf("/sys/fs/cgroup/ct/%s", id)
		for _, dir := range []string{own, own + "/p"} {
			for _, name := range []string{"memory.max", "memory.high", "memory.min", "pids.max", "cpu.max", "cgroup.max.depth",
				"cgroup.max.descendants"} {
				read(dir + "/" + name)
			}
		}
		filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
			if path == own {
				return fs.SkipDir
			}
			if err == nil && d.IsDir() {
				is[path] = "is there"
			}
			return nil
		})
		nodes, err := os.ReadDir("/dev")
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range nodes {
			is["/dev/"+n.Name()] = n.Type().String()
		}
		return is
	}
	was := look()
	return func() {
		t.Helper()
		is := look()
		for path, now := range is {
			if before, there := was[path]; !there || before != now {
				t.Errorf("%s of the host is %q, and was %q", path, now, before)
			}
		}
		for path := range was {
			if _, there := is[path]; !there {
				t.Errorf("%s of the host is gone", path)
			}
		}
	}
}

// TestCVE_2019_19921_2026_41579: an image whose mount points are links is refused, and nothing is left of the attempt.
func TestCVE_2019_19921_2026_41579(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	for _, p := range profiles {
		for _, name := range []string{"dev", "proc", "sys"} {
			before := worldOf(t)
			s := box(t, 302, forever)
			s.Profile = p
			s.ImagePath, s.Image.Digest = image(t, "link-"+name)
			if _, err := r.Start(deadline(t), s); !errors.Is(err, ErrInvalid) {
				t.Errorf("profile %s, image with /%s a link: %v, want ErrInvalid", p, name, err)
				r.Remove(deadline(t), 302, false)
			}
			before.compare(t, "image with /"+name+" a link")
		}
	}
}

// TestCVE_2021_30465_2024_45310: a container that turns the way to its volume into a link gets the volume inside its own root. Root of a
// full OS may take its volumes off before.
func TestCVE_2021_30465_2024_45310(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	for i, p := range profiles {
		id := wire.CTID(303 + 10000*i)
		s := box(t, id, forever)
		s.Profile = p
		s.Volumes = []host.Volume{{Name: "a", Path: "/va", Bytes: 1 << 20}, {Name: "b", Path: "/va/way/b", Bytes: 1 << 20},
			{Name: "c", Path: "/srv/c", Bytes: 1 << 20}}
		mustStart(t, r, s)
		tries(t, r, id, p, []try{
			both("touch /va/way/b/inb /srv/c/inc && echo written", "written"),
			{"umount /va/way/b && umount /srv/c && echo off || echo no", "no", "off"},
			{"rm -rf /srv && ln -s ../../../../../../proc /srv && echo link || echo no", "no", "link"},
		})
		if err := r.Stop(deadline(t), id); err != nil {
			t.Fatal(err)
		}
		// With the container down, its volume "a" holds a link that leads far up.
		a := r.Home(id) + "/vol-a/way"
		if err := os.RemoveAll(a); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("../../../../../../../../hardnode-escape", a); err != nil {
			t.Fatal(err)
		}
		_, err := r.Start(deadline(t), s)
		if _, serr := os.Lstat("/hardnode-escape"); serr == nil {
			t.Errorf("profile %s: a directory was made on the host", p)
		}
		t.Logf("profile %s: where the link leads nowhere: %v", p, err)
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("profile %s: start where the link leads nowhere: %v, want ErrInvalid", p, err)
		}
		if err := os.Mkdir(r.Home(id)+"/layer-1/u/hardnode-escape", 0o755); err != nil {
			t.Fatal(err)
		}
		_, err = r.Start(deadline(t), s)
		t.Logf("profile %s: where it leads to a directory: %v", p, err)
		if err == nil {
			if got, _ := sh(t, r, id, "ls /hardnode-escape/b"); got != "inb" {
				t.Errorf("profile %s: the volume is not where the link leads inside the root: %q", p, got)
			}
		} else if !errors.Is(err, ErrInvalid) {
			t.Errorf("profile %s: start with links: %v", p, err)
		}
	}
}

// TestCVE_2022_0492_2023_25809: the cgroup tree inside is the container's own. It is read-only in an app; root of a full OS makes cgroups
// in it, and neither lifts the container's bounds nor comes to another one's, whatever namespaces it makes.
func TestCVE_2022_0492_2023_25809(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	for i, p := range profiles {
		id := wire.CTID(304 + 10000*i)
		s := box(t, id, forever)
		s.Profile = p
		mustStart(t, r, s)
		still := hostStands(t, id)
		tries(t, r, id, p, []try{
			both("sed s/hn-exec-.*// /proc/self/cgroup", "0::/"), // that of a command is in the container's
			{"mkdir /sys/fs/cgroup/x && echo made || echo no", "no", "made"},
			{"echo $$ > /sys/fs/cgroup/x/cgroup.procs && cat /proc/self/cgroup || echo no", "no", "0::/x"},
			both("echo max > /sys/fs/cgroup/memory.max || echo no", "no"),
			both("echo max > /sys/fs/cgroup/pids.max || echo no", "no"),
			both("echo 100 > /sys/fs/cgroup/cgroup.max.depth || echo no", "no"),
			both("ls -d /sys/fs/cgroup/../../kernel/security/x || echo no", "no"),
			both("ls /sys/fs/cgroup/release_agent || echo no", "no"),
			both("mkdir /tmp/c; mount -t cgroup none /tmp/c || echo no", "no"),
			both("mount -t cgroup -o rdma none /tmp/c || echo no", "no"),
			{"mount -t cgroup2 none /tmp/c && ls /tmp/c | grep -v '[.]\\|hn-exec' || echo no", "no", "x"},
			{"echo max > /tmp/c/memory.max || echo no", "", "no"}, // a file of the app's own
			{"unshare -U true && echo yes || echo no", "no", "yes"},
			{"unshare -m true && echo yes || echo no", "no", "yes"},
			both("unshare -Urm mount -t cgroup none /tmp || echo no", "no"),
			both("unshare -Urm sh -c 'echo max > /sys/fs/cgroup/memory.max' || echo no", "no"),
			both("unshare -Urm mount -t cgroup2 none /tmp || echo no", "no"),
		})
		still()
		if got := r.cgroup(id) + "/p/x"; p == host.ProfileSystem {
			if _, err := os.Stat(got); err != nil {
				t.Errorf("the cgroup that it made is not among its own: %v", err)
			}
		}
	}
}

// TestCVE_2024_21626: no descriptor of ours and no working directory outside reaches the program.
func TestCVE_2024_21626(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	for i, p := range profiles {
		leaked(t, r, wire.CTID(305+10000*i), p)
	}
}

func leaked(t *testing.T, r *Runtime, id wire.CTID, p host.Profile) {
	s := box(t, id, "ls -l /proc/self/fd; ls /proc/self/fd | wc -l; "+forever)
	s.Profile = p
	mustStart(t, r, s)
	if got, _ := sh(t, r, id, "ls /proc/self/fd | tr '\\n' ' '"); got != "0 1 2 3" { // 3 is what ls reads
		t.Errorf("profile %s: exec has descriptors %q", p, got)
	}
	if got, _ := sh(t, r, id, "ls /proc/1/fd | tr '\\n' ' '"); got != "0 1 2" && got != "0 1 2 10" {
		t.Errorf("profile %s: PID 1 has descriptors %q", p, got)
	}
	if err := r.Stop(deadline(t), id); err != nil {
		t.Fatal(err)
	}
	s.Process.Argv = []string{"sh", "-c", "readlink /proc/self/cwd > /tmp/cwd; mv /tmp/cwd /tmp/is; " + forever}
	for fd := 3; fd <= 24; fd++ { // one that is a directory of the container's own may work
		s.Process.Cwd = fmt.Sprint("/proc/self/fd/", fd)
		o, err := r.Start(deadline(t), s)
		if err != nil {
			continue
		}
		var is []byte
		for ctx := deadline(t); ; run.Wait(ctx, 10*time.Millisecond) {
			if is, err = os.ReadFile(fmt.Sprintf("/proc/%d/root/tmp/is", o.PID)); err == nil || ctx.Err() != nil {
				break
			}
		}
		if _, err := os.Stat(fmt.Sprintf("/proc/%d/root%s", o.PID, strings.TrimSpace(string(is)))); err != nil ||
			!strings.HasPrefix(string(is), "/") {
			t.Errorf("profile %s, cwd %s: the program is in %q: %v", p, s.Process.Cwd, is, err)
		}
		t.Logf("profile %s: cwd %s is %s", p, s.Process.Cwd, is)
		if err := r.Remove(deadline(t), id, false); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCVE_2025_31133_2025_52881: what is hidden in /proc stays hidden in an app, and settings of the host can't be written. Root of a full
// OS takes the covers off: what was below them it can't write either, nor read what only the host's root may.
func TestCVE_2025_31133_2025_52881(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	for i, p := range profiles {
		id := wire.CTID(306 + 10000*i)
		s := box(t, id, forever)
		s.Profile = p
		mustStart(t, r, s)
		still := hostStands(t, id)
		closed := []try{
			both("echo '|/x' > /proc/sys/kernel/core_pattern || echo no", "no"),
			both("echo /x > /proc/sys/kernel/modprobe || echo no", "no"),
			{"echo 1 > /proc/sys/kernel/shm_rmid_forced || echo no", "no", ""}, // of its own IPC namespace
			both("echo 1 > /proc/sys/vm/drop_caches || echo no", "no"),
			both("echo h > /proc/sysrq-trigger || echo no", "no"),
			both("echo 1 > /proc/irq/default_smp_affinity || echo no", "no"),
			both("head -c 9 /proc/kcore | wc -c", "0"),
			both("wc -c < /proc/keys", "0"),
			both("head -c 9 /proc/kmsg | wc -c", "0"),
			both("cut -c1-16 /proc/kallsyms | sort -u | grep -vc '^0*$'", "0"),
			both("ls /sys/firmware | wc -l", "0"),
		}
		tries(t, r, id, p, closed)
		tries(t, r, id, p, []try{
			{"umount /proc/kcore && echo off || echo no", "no", "off"},
			{"for f in sysrq-trigger irq keys kmsg kallsyms iomem; do umount /proc/$f || exit; done; echo off", "", "off"},
			both("mkdir /tmp/p; mount -t sysfs none /tmp/p || echo no", "no"),
			both("mount -t debugfs none /tmp/p || mount -t tracefs none /tmp/p || mount -t securityfs none /tmp/p || echo no", "no"),
			both("rm -f /dev/null; ln -s /proc/kcore /dev/null; echo done", "done"),
		})
		tries(t, r, id, p, closed)
		tries(t, r, id, p, []try{
			{"mount -t proc none /tmp/p && echo new || echo no", "no", "new"}, // which has no covers either
			both("echo '|/x' > /tmp/p/sys/kernel/core_pattern || echo no", "no"),
			{"echo h > /tmp/p/sysrq-trigger || echo no", "", "no"}, // a file of the app's own
			both("head -c 9 /tmp/p/kcore || head -c 9 /tmp/p/kmsg || echo no", "no"),
		})
		still()
	}
}

// TestDevices: nodes can be neither made nor reached beyond the fixed set, though a volume has some.
func TestDevices(t *testing.T) {
	const set = "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero"
	spawnerUp(t)
	r := newRuntime(t)
	for i, p := range profiles {
		id := wire.CTID(307 + 10000*i)
		s := box(t, id, forever)
		s.Profile = p
		s.Volumes = []host.Volume{{Name: "data", Path: "/var/data", Bytes: 1 << 20}}
		mustStart(t, r, s)
		still := hostStands(t, id)
		nodes := map[string][3]uint32{"vda": {unix.S_IFBLK, 254, 0}, "mem": {unix.S_IFCHR, 1, 1}, "zero": {unix.S_IFCHR, 1, 5}}
		for name, dev := range nodes {
			path := r.Home(id) + "/vol-data/" + name
			if err := errors.Join(unix.Mknod(path, dev[0], int(unix.Mkdev(dev[1], dev[2]))), os.Chmod(path, 0o666)); err != nil {
				t.Fatal(err)
			}
		}
		tries(t, r, id, p, []try{
			both("mknod /tmp/vda b 254 0 || echo no", "no"),
			both("mknod /tmp/mem c 1 1 || echo no", "no"),
			both("mknod /tmp/p p && echo fifo", "fifo"),
			both("head -c 3 /dev/zero | wc -c", "3"),
			both("head -c 3 /dev/urandom | wc -c", "3"),
			both("echo x > /dev/full || echo full", "full"),
			{"ls /dev | tr '\\n' ' '", set, "console " + set},
			both("cd /var/data; for f in mem vda zero; do head -c 3 $f | wc -c; done | tr '\\n' ' '", "0 0 0"),
			{"mount -o remount,bind,dev /var/data && echo off || echo no", "no", "off"},
			{"cd /var/data; for f in mem vda zero; do head -c 3 $f | wc -c; done | tr '\\n' ' '", "0 0 0", "0 0 3"}, // what all may open
			both("mkdir /tmp/d; mount -t devtmpfs none /tmp/d || echo no", "no"),
			{"mount -t tmpfs none /tmp/d && echo mounted || echo no", "no", "mounted"},
			both("mknod /tmp/d/vda b 254 0 || echo no", "no"),
			both("unshare -Urm sh -c 'mount -t tmpfs none /tmp/d && mknod /tmp/d/vda b 254 0' || echo no", "no"),
		})
		still()
	}
}
