//go:build qemu

package system

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"hardnode.dev/qemu-tests/harness"
)

// The releases of Debian that are booted.
const (
	debian12 = "bookworm"
	debian13 = "trixie"
)

// systemd is an image of a release of Debian with systemd.
func systemd(t *testing.T, release string) string {
	t.Helper()
	file := map[string]string{debian12: "systemd.erofs", debian13: "systemd-13.erofs"}[release]
	return debian(t, file, release, "systemd,systemd-sysv,dbus,iproute2")
}

// debian is an image of packages of a release of Debian, made once: it takes a minute and the package archive. hook are a shell's words
// that change the root, $1, before it is one file; with other ones it is made anew.
func debian(t *testing.T, file, release, packages string, hook ...string) string {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	if len(hook) > 0 {
		file = fmt.Sprintf("%.8x-%s", sha256.Sum256([]byte(packages+strings.Join(hook, "\n"))), file)
	}
	out := filepath.Join(root, "out", "cache", file)
	if _, err := os.Stat(out); err == nil {
		return out
	}
	tree := filepath.Join(t.TempDir(), "root")
	args := []string{"--variant=minbase", "--include=" + packages}
	for _, h := range hook {
		args = append(args, "--customize-hook="+h)
	}
	if b, err := exec.Command("mmdebstrap", append(args, release, tree)...).CombinedOutput(); err != nil {
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

// TestSystem boots a container with systemd as PID 1. It has a machine of its own, so it runs beside those of qemu-tests/container.
func TestSystem(t *testing.T) { boots(t, debian12) }

// TestNextDebian is TestSystem with the release after.
func TestNextDebian(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: `make soak PKG=./qemu-tests/system` does it")
	}
	boots(t, debian13)
}

func boots(t *testing.T, release string) {
	t.Helper()
	dir := t.TempDir()
	harness.RunGuestTest(t, harness.GuestTest{Package: "./agent/container", Run: "TestSystem", DiskMiB: 1024, MemMiB: 1536,
		Timeout: 30 * time.Minute, Files: map[string]string{
			"/usr/lib/hardnode/spawner": harness.Build(t, "./agent/spawner", filepath.Join(dir, "spawner")),
			"/usr/lib/hardnode/jem":     harness.Build(t, "./agent/jem", filepath.Join(dir, "jem")),
			"/images/systemd.erofs":     systemd(t, release),
			"/images/box.erofs":         systemd(t, release),
		}})
}

// TestFigures prints how long a full OS takes to boot beside systemd-nspawn: `make bench PKG=./qemu-tests/system`.
func TestFigures(t *testing.T) {
	n := os.Getenv("HARDNODE_BENCH")
	if n == "" {
		t.Skip("HARDNODE_BENCH, the number of runs, is not set")
	}
	for _, program := range []string{"systemd-nspawn", "btrfs"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed (Debian: systemd-container, btrfs-progs)", program)
		}
	}
	if runs, err := strconv.Atoi(n); err != nil || runs > bootRuns {
		n = strconv.Itoa(bootRuns)
	}
	dir := t.TempDir()
	harness.RunGuestTest(t, harness.GuestTest{Package: "./agent/container", Run: "TestSystemFigures", DiskMiB: 2048, MemMiB: 1536,
		Timeout: 20 * time.Minute, Programs: []string{"systemd-nspawn", "btrfs"}, Env: []string{"HARDNODE_BENCH=" + n},
		Files: map[string]string{
			"/usr/lib/hardnode/spawner": harness.Build(t, "./agent/spawner", filepath.Join(dir, "spawner")),
			"/usr/lib/hardnode/jem":     harness.Build(t, "./agent/jem", filepath.Join(dir, "jem")),
			"/images/systemd.erofs":     systemd(t, debian12),
			"/images/box.erofs":         systemd(t, debian12),
		}})
}

// bootRuns is how many boots the median is of, at most: each takes seconds.
const bootRuns = 5
