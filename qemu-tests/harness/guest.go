package harness

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/qemu-tests/harness/initramfs"
)

// GuestTest is a Go test that runs as root inside a VM: on the kernel the product runs on, with cgroup v2 and a btrfs at /data.
type GuestTest struct {
	Name     string            // of the VM, for two that share a switch; "" is guest
	Package  string            // of this module, from its top folder: "./agent/container"
	Run      string            // -test.run; "" runs all tests of the package
	Tags     string            // build tags beside "guest"
	MemMiB   int               // 0 is 1024
	CPUs     int               // KVM only
	DiskMiB  int               // > 0: a blank disk /dev/vda of that size, made btrfs and mounted on /data
	RawDisk  bool              // leave /dev/vda blank and /data unmounted
	Disks    []Disk            // further ones
	Modules  []string          // kernel modules beside DefaultModules, by name
	Programs []string          // programs of this machine to take along with their libraries, e.g. "crun", "mkfs.erofs"
	Files    map[string]string // path in the guest → file or folder of this machine
	Env      []string          // "K=V" for the test
	NICs     []NIC             // none: only lo, which is up
	CPU      string            // see Config.CPU
	Append   string            // more kernel arguments
	Timeout  time.Duration     // of the test itself; 0 is 5 minutes
	Extra    []string          // more arguments for QEMU
	Measures bool              // see Config.Measures; when that was not enough is printed as a figure
}

// DefaultModules are loaded in every guest test; those the kernel has built in are skipped.
var DefaultModules = []string{"virtio_pci", "virtio_blk", "virtio_net", "virtio_console", "virtio_rng", "btrfs", "overlay", "erofs", "veth",
	"wireguard", "nf_tables", "nft_ct", "nft_nat", "nft_masq", "nft_chain_nat", "nft_reject_inet", "nft_limit", "nf_conntrack_netlink",
	"tun", "vsock_loopback", "zram", "loop", "fuse", "crc32c_generic"}

// RunGuestTest builds the package's tests with `-tags guest` (CGO_ENABLED=0), boots them in a VM, shows their output, and fails t
// when they fail, don't finish, or the guest breaks. To use it:
//
//  1. In the product folder write ordinary tests in files that begin with "//go:build guest". They run as a child of PID 1, as root,
//     with / on a tmpfs (so it can be pivoted from), /proc, /sys, /dev, /run, /tmp, /sys/fs/bpf and /sys/fs/cgroup (v2, nsdelegate,
//     memory_recursiveprot; all controllers enabled for children of the root, PID 1 and the test in the leaf /init) and, with
//     DiskMiB, /data on btrfs. They import nothing of qemu-tests.
//
//  2. Below qemu-tests/ write one outer test with "//go:build qemu":
//
//     func TestContainer(t *testing.T) {
//     harness.RunGuestTest(t, harness.GuestTest{Package: "./agent/container", DiskMiB: 2048, Programs: []string{"mkfs.erofs", "crun"}})
//     }
//
//  3. `make qemu PKG=./qemu-tests/agent RUN=TestContainer`.
//
// The environment variable HARDNODE_SCALE holds Scale, for time limits. t.Skip works as usual and is shown.
func RunGuestTest(t *testing.T, g GuestTest) {
	t.Helper()
	c := g.Config(t, Dir(t))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	vm, err := Start(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Kill()
	result, failed := "", []string(nil)
	for n := 0; result == ""; n++ {
		e, err := vm.Event(ctx, n)
		if err != nil {
			t.Fatalf("guest test %s: %v", g.Package, err)
		}
		switch e.Kind {
		case "out":
			fmt.Fprintln(t.Output(), e.Text())
			if strings.Contains(e.Text(), "--- FAIL") {
				failed = append(failed, strings.TrimSpace(e.Text()))
			}
		case "exit":
			result = e.Text()
		}
	}
	if g.Measures && !Accelerated() {
		fmt.Fprintln(t.Output(), "FIGURE "+vm.emptied(ctx))
	}
	if result != "ok" {
		t.Errorf("guest test %s in the VM: %s; console log %s\n%s", g.Package, result, vm.Console.Path, strings.Join(failed, "\n"))
	}
	end, stop := context.WithTimeout(ctx, 10*time.Second*Scale())
	defer stop()
	if err := vm.Wait(end); err != nil {
		t.Errorf("guest test %s: did not power off: %v", g.Package, err)
	}
}

// Config makes the guest test's VM in a folder: for who starts it more than once, or ends it otherwise. Its "out" events are what the test
// writes, "exit" is its end.
func (g GuestTest) Config(t *testing.T, dir string) Config {
	t.Helper()
	c, err := g.build(t, dir)
	if err != nil {
		t.Fatalf("guest test %s: %v", g.Package, err)
	}
	return c
}

// Build makes a program of this module at out, for GuestTest.Files, and returns out.
func Build(t *testing.T, pkg, out string) string {
	t.Helper()
	root, err := Root()
	if err == nil {
		err = goTool(t.Context(), root, "build", "-ldflags=-s -w", "-o", out, pkg)
	}
	if err != nil {
		t.Fatalf("build %s: %v", pkg, err)
	}
	return out
}

// guestPlan is what guestinit is told, as /guest.json.
type guestPlan struct {
	Modules []string `json:"modules"` // paths in load order
	Disk    bool     `json:"disk"`    // make /dev/vda btrfs and mount it
	Argv    []string `json:"argv"`
	Env     []string `json:"env"`
	Dir     string   `json:"dir"`
}

// build makes the guest's initramfs and the VM's Config.
func (g GuestTest) build(t *testing.T, dir string) (Config, error) {
	root, err := Root()
	if err != nil {
		return Config{}, err
	}
	kernel, moduleDir, err := initramfs.Kernel(root)
	if err != nil {
		return Config{}, err
	}
	tags := "guest"
	if g.Tags != "" {
		tags += "," + g.Tags
	}
	bin, init := filepath.Join(dir, "test"), filepath.Join(dir, "guestinit")
	if err := goTool(t.Context(), root, "test", "-c", "-tags", tags, "-o", bin, g.Package); err != nil {
		return Config{}, err
	}
	if !exists(bin) {
		return Config{}, fmt.Errorf("package %s has no tests with -tags %s", g.Package, tags)
	}
	if err := goTool(t.Context(), root, "build", "-o", init, "./qemu-tests/guestinit"); err != nil {
		return Config{}, err
	}
	if g.Timeout == 0 {
		g.Timeout = 5 * time.Minute
	}
	a := initramfs.NewArchive()
	for _, d := range []string{"/proc", "/sys", "/dev", "/run", "/tmp", "/data", "/root", "/etc", "/new"} {
		a.Dir(d)
	}
	a.File("/etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\n"))
	a.File("/etc/group", 0o644, []byte("root:x:0:\n"))
	work := filepath.Join("/src", g.Package) // go test runs in the package's folder: testdata is found there
	a.Dir(work)
	if td := filepath.Join(root, g.Package, "testdata"); exists(td) {
		if err := a.Copy(filepath.Join(work, "testdata"), td); err != nil {
			return Config{}, err
		}
	}
	for _, p := range g.Programs {
		if err := a.Program(p); err != nil {
			return Config{}, err
		}
	}
	plan := guestPlan{
		Disk: g.DiskMiB > 0 && !g.RawDisk, Dir: work,
		Argv: []string{"/test", "-test.v", "-test.run=" + g.Run, "-test.timeout=" + g.Timeout.String()},
		Env: append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "TMPDIR=/tmp",
			fmt.Sprintf("HARDNODE_SCALE=%d", Scale())}, g.Env...),
	}
	if plan.Disk {
		if err := a.Program("mkfs.btrfs"); err != nil {
			return Config{}, err
		}
	}
	for _, f := range []struct{ to, from string }{{"/init", init}, {"/test", bin}} {
		if err := a.Copy(f.to, f.from); err != nil {
			return Config{}, err
		}
	}
	for to, from := range maps.All(g.Files) {
		if err := a.Copy(to, from); err != nil {
			return Config{}, err
		}
	}
	mods, err := initramfs.OpenModules(moduleDir)
	if err != nil {
		return Config{}, err
	}
	optional := map[string]bool{}
	for _, m := range DefaultModules {
		optional[m] = true
	}
	if plan.Modules, err = mods.Add(a, append(append([]string{}, DefaultModules...), g.Modules...), optional); err != nil {
		return Config{}, err
	}
	doc, err := json.Marshal(plan)
	if err != nil {
		return Config{}, err
	}
	a.File("/guest.json", 0o600, doc)
	initrd := filepath.Join(dir, "initrd.cpio")
	if err := a.Write(initrd); err != nil {
		return Config{}, err
	}
	c := Config{
		Name: cmp.Or(g.Name, "guest"), Kernel: kernel, Initrd: []string{initrd}, Dir: dir, MemMiB: g.MemMiB, CPUs: g.CPUs,
		NICs: g.NICs, CPU: g.CPU,
		Append: strings.TrimSpace("panic=-1 quiet " + g.Append), Timeout: g.Timeout + 2*time.Minute, Extra: g.Extra,
		Measures: g.Measures,
	}
	if c.MemMiB == 0 {
		c.MemMiB = 1024
	}
	if g.DiskMiB > 0 {
		c.Disks = []Disk{{Path: filepath.Join(dir, "disk.raw"), SizeMiB: g.DiskMiB, Serial: "data"}}
	}
	c.Disks = append(c.Disks, g.Disks...)
	return c, nil
}

// goTool runs go for the guest: static, in the repository's top folder.
func goTool(ctx context.Context, root string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// Dir is a folder for one test's logs and disks, below out/qemu-tests. It is removed when the test passes; when it fails it is
// kept and its path is printed.
func Dir(t *testing.T) string {
	t.Helper()
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(root, "out/qemu-tests/run")
	if err := os.MkdirAll(base, 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(base, strings.NewReplacer("/", "-", " ", "-").Replace(t.Name())+"-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("logs and disks are kept in %s", dir)
			return
		}
		os.RemoveAll(dir)
	})
	return dir
}
