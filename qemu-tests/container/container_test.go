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
	sh("printf 'root:x:0:0:root:/root:/bin/sh\\nwww:x:33:33:www:/:/bin/sh\\n' > etc/passwd; printf 'root:x:0:\\n' > etc/group; ln -s " +
		"../run/resolvconf/resolv.conf etc/resolv.conf; echo image > etc/hosts; echo one > srv/one; echo two > srv/two")
}

func TestContainer(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{
		"/usr/lib/hardnode/spawner": harness.Build(t, "./agent/spawner", filepath.Join(dir, "spawner")),
		"/usr/lib/hardnode/jem":     harness.Build(t, "./agent/jem", filepath.Join(dir, "jem")),
		"/usr/lib/hardnode/console": harness.Build(t, "./agent/console", filepath.Join(dir, "console")),
	}
	tree := filepath.Join(dir, "box")
	os.Mkdir(tree, 0o755)
	busybox(t, tree)
	harness.Build(t, "./qemu-tests/container/hostile", filepath.Join(tree, "bin/hostile"))
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
	limit := 40 * time.Minute // ten on a quiet machine
	if d, err := time.ParseDuration(os.Getenv("GUEST_TIMEOUT")); err == nil {
		limit = d
	}
	disk, mem := 1024, 0
	if os.Getenv("HARDNODE_SOAK") != "" {
		disk, mem = 8192, 2048 // TestSnapshotFigures has a layer of 2 GiB, TestMeter 300 containers on a host of 2 GiB
	}
	harness.RunGuestTest(t, harness.GuestTest{Package: "./agent/container", Run: os.Getenv("GUEST_RUN"), DiskMiB: disk, MemMiB: mem,
		Files: files, Env: []string{"HARDNODE_SOAK=" + os.Getenv("HARDNODE_SOAK")}, Timeout: limit})
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
	harness.RunGuestTest(t, harness.GuestTest{Package: "./agent/container", Run: "TestFigures|TestViewCost", DiskMiB: 1024, Measures: true,
		Timeout: 10 * time.Minute, Programs: []string{"crun"}, Env: []string{"HARDNODE_BENCH=" + n}, Files: map[string]string{
			"/usr/lib/hardnode/spawner": harness.Build(t, "./agent/spawner", filepath.Join(dir, "spawner")),
			"/usr/lib/hardnode/jem":     harness.Build(t, "./agent/jem", filepath.Join(dir, "jem")),
			"/usr/lib/hardnode/console": harness.Build(t, "./agent/console", filepath.Join(dir, "console")),
			"/images/box.erofs":         erofs(t, tree, filepath.Join(dir, "box.erofs")),
		}})
}

// TestView kills and stops the program that answers what containers read of themselves, under readers: `make soak`.
func TestView(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: `make soak PKG=./qemu-tests/container` does it")
	}
	harness.RunGuestTest(t, harness.GuestTest{Package: "./init/view", Run: "TestServerEnds", Files: map[string]string{
		"/usr/lib/hardnode/console": harness.Build(t, "./agent/console", filepath.Join(t.TempDir(), "console")),
	}})
}
