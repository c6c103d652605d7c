//go:build qemu

package container

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/qemu-tests/harness"
)

// build makes a program of this repository.
func build(t *testing.T, pkg, out string) string {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, pkg)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, b)
	}
	return out
}

// erofs makes an image of a tree, whose files all belong to one user and group.
func erofs(t *testing.T, tree, out string, owner ...string) string {
	t.Helper()
	who := append(owner, "0")[0]
	if b, err := exec.Command("mkfs.erofs", "-zlz4", "--force-uid="+who, "--force-gid="+who, out, tree).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.erofs: %v\n%s", err, b)
	}
	return out
}

// busybox lays out a small root: every applet, the usual directories, and a resolv.conf that is a link as Debian's is.
func busybox(t *testing.T, dir string) {
	t.Helper()
	sh := func(script string) {
		t.Helper()
		cmd := exec.Command("sh", "-ec", script)
		cmd.Dir = dir
		if b, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("lay out image: %v\n%s", err, b)
		}
	}
	bin, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("busybox is not installed: make deps")
	}
	list, err := exec.Command(bin, "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	sh("mkdir -p bin etc proc sys dev run/lock run/app tmp var/data usr/lib srv root; chmod 1777 tmp; chmod 2750 run/app")
	raw, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bin/busybox"), raw, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, a := range strings.Fields(string(list)) {
		if a != "busybox" {
			os.Symlink("busybox", filepath.Join(dir, "bin", a))
		}
	}
	sh("printf 'root:x:0:0:root:/root:/bin/sh\\nwww:x:33:33:www:/:/bin/sh\\n' > etc/passwd; printf 'root:x:0:\\n' > etc/group; ln -s ../run/resolvconf/resolv.conf etc/resolv.conf; echo image > etc/hosts; echo one > srv/one; echo two > srv/two")
}

func TestContainer(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{
		"/usr/lib/hardnode/spawner": build(t, "./agent/spawner", filepath.Join(dir, "spawner")),
		"/usr/lib/hardnode/jem":     build(t, "./agent/jem", filepath.Join(dir, "jem")),
	}
	tree := filepath.Join(dir, "box")
	os.Mkdir(tree, 0o755)
	busybox(t, tree)
	build(t, "./qemu-tests/container/hostile", filepath.Join(tree, "bin/hostile"))
	files["/images/box.erofs"] = erofs(t, tree, filepath.Join(dir, "box.erofs"))
	files["/images/ids.erofs"] = erofs(t, tree, filepath.Join(dir, "ids.erofs"), "100000")
	// Images that attack: a directory the host mounts on is a link to somewhere else.
	for _, name := range []string{"dev", "proc", "sys", "run", "etc"} {
		os.RemoveAll(filepath.Join(tree, name))
		if err := os.Symlink("/tmp", filepath.Join(tree, name)); err != nil {
			t.Fatal(err)
		}
		files["/images/link-"+name+".erofs"] = erofs(t, tree, filepath.Join(dir, "link-"+name+".erofs"))
		os.Remove(filepath.Join(tree, name))
		if err := os.Mkdir(filepath.Join(tree, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	limit := 12 * time.Minute
	if d, err := time.ParseDuration(os.Getenv("GUEST_TIMEOUT")); err == nil {
		limit = d
	}
	harness.RunGuestTest(t, harness.GuestTest{Package: "./agent/container", Run: os.Getenv("GUEST_RUN"), DiskMiB: 1024, Files: files, Timeout: limit})
}

// systemd is an image of Debian with systemd, made once: it takes a minute and the package archive.
func systemd(t *testing.T) string {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(root, "out", "cache", "systemd.erofs")
	if _, err := os.Stat(out); err == nil {
		return out
	}
	tree := filepath.Join(t.TempDir(), "root")
	cmd := exec.Command("mmdebstrap", "--variant=minbase", "--include=systemd,systemd-sysv,dbus,iproute2", "bookworm", tree)
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("mmdebstrap: %v\n%s", err, b)
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		t.Fatal(err)
	}
	part := out + ".part"
	if b, err := exec.Command("mkfs.erofs", "-zlz4", part, tree).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.erofs: %v\n%s", err, b)
	}
	if err := os.Rename(part, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSystem boots a container with systemd as PID 1.
func TestSystem(t *testing.T) {
	dir := t.TempDir()
	harness.RunGuestTest(t, harness.GuestTest{Package: "./agent/container", Run: "TestSystem", DiskMiB: 1024, MemMiB: 1536, Timeout: 12 * time.Minute, Files: map[string]string{
		"/usr/lib/hardnode/spawner": build(t, "./agent/spawner", filepath.Join(dir, "spawner")),
		"/usr/lib/hardnode/jem":     build(t, "./agent/jem", filepath.Join(dir, "jem")),
		"/images/systemd.erofs":     systemd(t),
		"/images/box.erofs":         systemd(t),
	}})
}

// TestFigures prints figures: `make bench`.
func TestFigures(t *testing.T) {
	n := os.Getenv("HARDNODE_BENCH")
	if n == "" {
		t.Skip("HARDNODE_BENCH, the number of runs, is not set")
	}
	dir := t.TempDir()
	tree := filepath.Join(dir, "box")
	os.Mkdir(tree, 0o755)
	busybox(t, tree)
	harness.RunGuestTest(t, harness.GuestTest{Package: "./agent/container", Run: "TestFigures", DiskMiB: 1024, Timeout: 10 * time.Minute,
		Programs: []string{"crun"}, Env: []string{"HARDNODE_BENCH=" + n}, Files: map[string]string{
			"/usr/lib/hardnode/spawner": build(t, "./agent/spawner", filepath.Join(dir, "spawner")),
			"/usr/lib/hardnode/jem":     build(t, "./agent/jem", filepath.Join(dir, "jem")),
			"/images/box.erofs":         erofs(t, tree, filepath.Join(dir, "box.erofs")),
		}})
}
