//go:build qemu

package boot

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/harness/initramfs"
)

const config = `version: 1
name: host-1
role: user
network:
  links:
    - {name: up0, mac: "52:54:00:aa:00:01", addresses: [10.77.0.11/24]}
    - {name: wan0, mac: "52:54:00:aa:00:02", dhcp: true}
`

var image struct {
	sync.Once
	err error
}

// build brings out/image up to date, once.
func build(t *testing.T) (root string) {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	image.Do(func() {
		cmd := exec.Command("make", "--no-print-directory", "-s", "image")
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			image.err = fmt.Errorf("make image: %v\n%s", err, out)
		}
	})
	if image.err != nil {
		t.Fatal(image.err)
	}
	return root
}

// machine is a host with a disk, two cards and a configuration; "" is none.
func machine(t *testing.T, dir, yaml string) harness.Config {
	t.Helper()
	root := build(t)
	cmdline, err := initramfs.Cmdline(filepath.Join(root, "out/image"))
	if err != nil {
		t.Fatal(err)
	}
	c := harness.Config{Name: "host-1", Kernel: filepath.Join(root, "out/image/vmlinuz"),
		Initrd: []string{filepath.Join(root, "out/image/host.initrd")},
		Append: cmdline, MemMiB: 1024, Dir: dir, Timeout: 5 * time.Minute * harness.Scale(),
		Disks: []harness.Disk{{Path: filepath.Join(dir, "disk"), SizeMiB: 1024}},
		NICs:  []harness.NIC{{MAC: "52:54:00:aa:00:01"}, {MAC: "52:54:00:aa:00:02"}}}
	if yaml != "" {
		c.FwCfg = map[string][]byte{"opt/hardnode/config": []byte(yaml)}
	}
	return c
}

// host is a running machine and the place in its console up to which the test has read.
type host struct {
	*testing.T
	*harness.VM
	mark int
}

func start(t *testing.T, c harness.Config) *host {
	t.Helper()
	vm, err := harness.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(vm.Kill)
	return &host{t, vm, 0}
}

// patience is how long what comes with time is waited for.
func patience() time.Duration {
	if os.Getenv("HARDNODE_SOAK") != "" { // much runs beside it
		return 5 * time.Minute * harness.Scale()
	}
	return time.Minute * harness.Scale()
}

func (h *host) limit() (context.Context, context.CancelFunc) {
	return context.WithTimeout(h.T.Context(), patience())
}

// sees waits for a line of the console, after what was seen before, and returns the pattern's groups.
func (h *host) sees(pattern string) []string {
	h.T.Helper()
	ctx, cancel := h.limit()
	defer cancel()
	m, err := h.VM.WaitAfter(ctx, h.mark, pattern)
	if err != nil {
		h.T.Fatal(err)
	}
	return m
}

// up waits for the end of the boot.
func (h *host) up() {
	h.T.Helper()
	h.sees(`step boot count:`)
}

// off waits for the machine's own end.
func (h *host) off() {
	h.T.Helper()
	ctx, cancel := h.limit()
	defer cancel()
	if err := h.VM.Wait(ctx); err != nil {
		h.T.Error(err)
	}
}
