//go:build guest

package container

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

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

// TestCVE_2019_19921_2026_41579: an image whose mount points are links is refused, and nothing is left of the attempt.
func TestCVE_2019_19921_2026_41579(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	for _, name := range []string{"dev", "proc", "sys"} {
		before := worldOf(t)
		s := box(t, 302, forever)
		s.ImagePath, s.Image.Digest = image(t, "link-"+name)
		if _, err := r.Start(deadline(t), s); !errors.Is(err, ErrInvalid) {
			t.Errorf("image with /%s a link: %v, want ErrInvalid", name, err)
			r.Remove(deadline(t), 302, false)
		}
		before.compare(t, "image with /"+name+" a link")
	}
}

// TestCVE_2021_30465_2024_45310: a container that turns the way to its volume into a link gets the volume inside its own root.
func TestCVE_2021_30465_2024_45310(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	s := box(t, 303, forever)
	s.Volumes = []host.Volume{{Name: "a", Path: "/va", Bytes: 1 << 20}, {Name: "b", Path: "/va/way/b", Bytes: 1 << 20},
		{Name: "c", Path: "/srv/c", Bytes: 1 << 20}}
	mustStart(t, r, s)
	sh(t, r, 303, "umount /va/way/b; touch /va/way/b/inb; rm -rf /srv/c /srv; ln -s ../../../../../../proc /srv; echo $?")
	if err := r.Stop(deadline(t), 303); err != nil {
		t.Fatal(err)
	}
	// With the container down, its volume "a" holds a link that leads far up.
	if err := os.RemoveAll("/data/ct/303/vol-a/way"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../../../../../../../hardnode-escape", "/data/ct/303/vol-a/way"); err != nil {
		t.Fatal(err)
	}
	_, err := r.Start(deadline(t), s)
	if _, serr := os.Lstat("/hardnode-escape"); serr == nil {
		t.Error("a directory was made on the host")
	}
	if err == nil {
		if got, _ := sh(t, r, 303, "ls /hardnode-escape/b"); got != "inb" {
			t.Errorf("the volume is not where the link leads inside the root: %q", got)
		}
	} else if !errors.Is(err, ErrInvalid) {
		t.Errorf("start with links: %v", err)
	}
}

// TestCVE_2022_0492_2023_25809: the cgroup tree inside is the container's own and read-only.
func TestCVE_2022_0492_2023_25809(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	mustStart(t, r, box(t, 304, forever))
	for script, want := range map[string]string{
		"cat /proc/self/cgroup":                                               "0::/",
		"mkdir /sys/fs/cgroup/x 2>/dev/null || echo no":                       "no",
		"echo max > /sys/fs/cgroup/memory.max || echo no":                     "no",
		"mkdir /tmp/c; mount -t cgroup none /tmp/c || echo no":                "no",
		"ls -d /sys/fs/cgroup/../../kernel/security/x 2>/dev/null || echo no": "no",
		"unshare -U true 2>/dev/null || echo no":                              "no",
		"unshare -m true 2>/dev/null || echo no":                              "no",
	} {
		if got, _ := sh(t, r, 304, "{ "+script+"; } 2>/dev/null"); got != want {
			t.Errorf("%s: got %q, want %q", script, got, want)
		}
	}
}

// TestCVE_2024_21626: no descriptor of ours and no working directory outside reaches the program.
func TestCVE_2024_21626(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	s := box(t, 305, "ls -l /proc/self/fd; ls /proc/self/fd | wc -l; "+forever)
	mustStart(t, r, s)
	if got, _ := sh(t, r, 305, "ls /proc/self/fd | tr '\\n' ' '"); got != "0 1 2 3" { // 3 is what ls reads
		t.Errorf("exec has descriptors %q", got)
	}
	if got, _ := sh(t, r, 305, "ls /proc/1/fd | tr '\\n' ' '"); got != "0 1 2" && got != "0 1 2 10" {
		t.Errorf("PID 1 has descriptors %q", got)
	}
	if err := r.Stop(deadline(t), 305); err != nil {
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
			t.Errorf("cwd %s: the program is in %q: %v", s.Process.Cwd, is, err)
		}
		t.Logf("cwd %s is %s", s.Process.Cwd, is)
		if err := r.Remove(deadline(t), 305, false); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCVE_2025_31133_2025_52881: what is hidden in /proc stays hidden, and settings of the host can't be written.
func TestCVE_2025_31133_2025_52881(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	before, err := os.ReadFile("/proc/sys/kernel/core_pattern")
	if err != nil {
		t.Fatal(err)
	}
	mustStart(t, r, box(t, 306, forever))
	for script, want := range map[string]string{
		"echo '|/x' > /proc/sys/kernel/core_pattern || echo no":   "no",
		"echo b > /proc/sysrq-trigger || echo no":                 "no",
		"wc -c < /proc/kcore":                                     "0",
		"wc -c < /proc/keys":                                      "0",
		"umount /proc/kcore || echo no":                           "no",
		"rm -f /dev/null; ln -s /proc/kcore /dev/null; echo done": "done",
		"ls /sys/firmware | wc -l":                                "0",
		"echo 1 > /proc/irq/default_smp_affinity || echo no":      "no",
	} {
		got, _ := sh(t, r, 306, "("+script+") 2>&1 | tail -n 1")
		if got != want {
			t.Errorf("%s: got %q, want %q", script, got, want)
		}
	}
	if after, _ := os.ReadFile("/proc/sys/kernel/core_pattern"); string(after) != string(before) {
		t.Errorf("core_pattern of the host became %q", after)
	}
}

// TestDevices: nodes can be neither made nor reached beyond the fixed set.
func TestDevices(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	mustStart(t, r, box(t, 307, forever))
	for script, want := range map[string]string{
		"mknod /tmp/vda b 254 0 2>/dev/null || echo no": "no",
		"mknod /tmp/mem c 1 1 2>/dev/null || echo no":   "no",
		"mknod /tmp/p p && echo fifo":                   "fifo",
		"head -c 3 /dev/zero | wc -c":                   "3",
		"head -c 3 /dev/urandom | wc -c":                "3",
		"echo x > /dev/full || echo full":               "full",
		"ls /dev | tr '\\n' ' '":                        "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero",
	} {
		if got, _ := sh(t, r, 307, "{ "+script+"; } 2>/dev/null"); got != want {
			t.Errorf("%s: got %q, want %q", script, got, want)
		}
	}
}
