//go:build qemu

package pxe

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/u-root/u-root/pkg/cpio"

	wire "hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/qemu-tests/cluster"
	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/harness/initramfs"
	"hardnode.dev/qemu-tests/patched"
)

// TestServedRelease: a host that boots from the network is ordered another release, boots anew and runs it; of one that does not even boot
// it is served the last good one again when its time is over. Without an order it goes on with the release that it came up with, whatever
// others are served; a machine with another image than its release's is not heard of.
func TestServedRelease(t *testing.T) {
	soak(t)
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	if err := cluster.Make(t.Context(), root, "image", t.Logf); err != nil {
		t.Fatal(err)
	}
	about, err := os.ReadFile(filepath.Join(root, "image/release/release.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	now := regexp.MustCompile(`(?m)^version: (\S+)`).FindStringSubmatch(string(about))[1]
	const next, bad = "0.8.0", "0.9.0"
	image, dir := filepath.Join(root, "out/image"), harness.Dir(t)
	i := foundedInfra(t, now, map[string]string{now: image, next: patched.Image(t, root, dir, next), bad: broken(t, image, dir)})
	c := machine(t, i.Switch)
	c.Name, c.Crash, c.Disks[0].SizeMiB, c.NICs[0].MAC, c.Timeout = "served", true, 4096, "52:54:00:aa:00:21", -1
	h := start(t, c)
	i.admit(h)
	boot := i.runs(c.Name, now, "")
	if s := i.system(c.Name); !s.Status.Net || s.Status.Release != now || !strings.HasPrefix(s.Image, "that of release "+now) {
		t.Errorf("before: %+v, %q", s.Status, s.Image)
	}

	// The last good one, though another one is served to new machines.
	i.waitLog("enrolled=1") // what it runs is known
	i.hnctl("cluster", "netboot", "enable", "--interface", "underlay", "--for", "all", "--target", "vm", "--release", next)
	h.VM.Kill()
	h = start(t, c)
	boot = i.runs(c.Name, now, boot)

	i.staysAway(otherImage(t, i, image, now))

	began := time.Now()
	i.hnctl("host", "update", c.Name, "--release", next, "--yes", "--wait", "--timeout", "25m")
	boot = i.runs(c.Name, next, boot)
	if s := i.system(c.Name).Status; s.State != wire.SystemDone || s.Release != next {
		t.Errorf("after the good one: %+v", s)
	}
	t.Logf("FIGURE ordered → ACTIVE with another release, served by netboot: %.1f s", time.Since(began).Seconds())

	began = time.Now()
	_, err = i.HNCTL(t.Context(), "host", "update", c.Name, "--release", bad, "--within", "30s", "--yes", "--wait", "--timeout", "25m")
	if err == nil || !strings.Contains(err.Error(), "failed "+bad) {
		t.Errorf("the bad one: %v", err)
	}
	i.runs(c.Name, next, boot)
	if s := i.system(c.Name).Status; s.State != wire.SystemFailed || s.Release != next || s.Target != bad || s.Reason == "" {
		t.Errorf("after the bad one: %+v", s)
	}
	t.Logf("FIGURE a release that does not boot: ordered → ACTIVE with the last good one: %.1f s: %v", time.Since(began).Seconds(), err)
}

// admit admits a machine by the code that it shows, and by its name.
func (i *infra) admit(h *host) {
	h.T.Helper()
	code := h.sees(`WAITING TO BE ADMITTED \| code ([A-Z2-7]{4}-[A-Z2-7]{4}-[A-Z2-7]{4})`)[1]
	until(i, "it waits", func(l []operator.WaitingHost) bool {
		return slices.ContainsFunc(l, func(w operator.WaitingHost) bool { return w.Code == code })
	}, "host", "waiting")
	i.hnctl("host", "admit", code, "--name", h.Config.Name)
}

// runs waits until a host is ACTIVE with a release in another boot than that one, and returns which.
func (i *infra) runs(name, version, was string) (boot string) {
	i.t.Helper()
	until(i, name+" is ACTIVE with "+version, func(l []operator.Host) bool {
		return slices.ContainsFunc(l, func(h operator.Host) bool {
			boot = h.Boot
			return h.Name == name && h.State == operator.HostActive && h.Version == version && h.Boot != was
		})
	}, "host", "list")
	return boot
}

// system is what a host says of its system, and what is wanted of it.
func (i *infra) system(name string) operator.HostSystem {
	i.t.Helper()
	return until(i, "its system is known", func(s operator.HostSystem) bool { return s.Status != nil }, "host", "update", name)
}

// staysAway starts a machine and admits it; it takes no part in the cluster, and says why.
func (i *infra) staysAway(c harness.Config) {
	i.t.Helper()
	h := start(i.t, c)
	defer h.VM.Kill()
	i.admit(h)
	h.sees(`! system: the network gave this machine another image than that of release \S+, which both repositories name: sha256:`)
	until(i, "it is known", func(l []operator.Host) bool {
		at := slices.IndexFunc(l, func(is operator.Host) bool { return is.Name == c.Name })
		if at >= 0 && l[at].State != operator.HostJoining {
			i.t.Errorf("it is %+v", l[at])
		}
		return at >= 0
	}, "host", "list")
}

// otherImage is a machine that boots an image whose root is another one than the release's, with the configuration that netboot serves.
func otherImage(t *testing.T, i *infra, image, version string) harness.Config {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(image, "host.initrd"))
	if err != nil {
		t.Fatal(err)
	}
	cmdline, err := initramfs.Cmdline(image)
	if err != nil {
		t.Fatal(err)
	}
	at, root := rootOf(t, raw)
	var changed bytes.Buffer
	w := cpio.Newc.Writer(&changed)
	longer := cpio.StaticFile("root.erofs", string(root)+strings.Repeat("\x00", 4096), 0o444)
	if err := cpio.WriteRecordsAndDirs(w, []cpio.Record{longer}); err != nil {
		t.Fatal(err)
	}
	if err := cpio.WriteTrailer(w); err != nil {
		t.Fatal(err)
	}
	c := machine(t, i.Switch)
	c.Name, c.Disks[0].SizeMiB, c.NICs[0].MAC, c.NICs[0].Boot = "other", 4096, "52:54:00:aa:00:22", false
	c.Kernel, c.Initrd = filepath.Join(image, "vmlinuz"), []string{filepath.Join(c.Dir, "initrd")}
	c.Append = fmt.Sprintf("%s hardnode.config=http://10.77.0.2:7448/%s/hardnode.yaml", cmdline, version)
	write(t, c.Initrd[0], string(raw[:at])+changed.String())
	return c
}

// rootName is the name of the root in an initrd, as its record has it.
const rootName = "root.erofs\x00"

// rootOf is the root in an initrd, and where the archive begins that has it alone: the last one.
func rootOf(t *testing.T, initrd []byte) (at int, root []byte) {
	t.Helper()
	const header = 110 // of a record (newc: Documentation/driver-api/early-userspace/buffer-format.rst)
	if at = bytes.Index(initrd, []byte(rootName)) - header; at < 0 {
		t.Fatal("the initrd has no root")
	}
	rec, err := cpio.Newc.Reader(bytes.NewReader(initrd[at:])).ReadRecord()
	if err == nil {
		root, err = io.ReadAll(io.NewSectionReader(rec, 0, int64(rec.FileSize)))
	}
	if err != nil {
		t.Fatal(err)
	}
	return at, root
}

// broken is a folder of images whose root is cut off.
func broken(t *testing.T, image, dir string) string {
	t.Helper()
	to := filepath.Join(dir, "broken")
	for _, name := range []string{"vmlinuz", "host.initrd", "cmdline"} {
		raw, err := os.ReadFile(filepath.Join(image, name))
		if err != nil {
			t.Fatal(err)
		}
		if name == "host.initrd" {
			at, _ := rootOf(t, raw)
			raw = raw[:at]
		}
		write(t, filepath.Join(to, name), string(raw))
	}
	return to
}
