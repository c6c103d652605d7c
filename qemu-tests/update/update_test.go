//go:build qemu

package update

import (
	"context"
	"crypto/sha256"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/testkit/released"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/release"
	"hardnode.dev/internal/wire/slots"
	"hardnode.dev/qemu-tests/cluster"
	"hardnode.dev/qemu-tests/harness"
)

// The releases: next differs from what runs in its version and in one function of the agent, of bad the agent is never ready.
const (
	next = "0.2.0"
	bad  = "0.3.0"
)

// mostFetched is the bar of what a small change may cost a host over the network, in bytes.
const mostFetched = 8 << 20

// TestUpdate: an installed host is ordered another release by hnctl, fetches the blocks that it lacks, tries it and keeps it; one whose
// agent is never ready is gone back from by the host itself, said why, and not tried again.
func TestUpdate(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: two more images are built and a host is installed; `make soak PKG=./qemu-tests/update` does it")
	}
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"bin", "disk"} {
		if err := cluster.Make(t.Context(), root, target, t.Logf); err != nil {
			t.Fatal(err)
		}
	}
	dir := harness.Dir(t)
	const starts = `log.Info("agent starts",`
	pair := released.Both(t, "", time.Now().Add(24*time.Hour))
	images := map[string]string{
		next: built(t, root, dir, next, edit{"agent/main.go", starts, `log.Info("the agent of another release starts",`}),
		bad:  built(t, root, dir, bad, edit{"agent/main.go", starts, "<-ctx.Done()\n\t" + starts}),
	}
	anchors := pair.Anchors()
	c, err := cluster.Start(t.Context(), cluster.Options{Dir: filepath.Join(dir, "cluster"), Hosts: 1, Built: true, Bare: true,
		Init:    []string{"--image-pin", string(anchors.Image.Pin), "--director-pin", string(anchors.Director.Pin)},
		Install: filepath.Join(root, "out/media/host.disk")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	var about operator.Cluster
	if err := c.Get(t.Context(), &about, "cluster", "status"); err != nil {
		t.Fatal(err)
	}
	pair.Director.Installation = about.ID
	for version, image := range images {
		publish(t, pair, version, image)
	}
	bundle := filepath.Join(dir, "bundle")
	if err := os.WriteFile(bundle, pair.Bundle(t, pair.Targets()...), 0o600); err != nil {
		t.Fatal(err)
	}
	hnctl := func(args ...string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
		defer cancel()
		out, err := c.HNCTL(ctx, args...)
		return string(out), err
	}
	if out, err := hnctl("release", "import", bundle); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	status := func() host.SystemStatus {
		t.Helper()
		var is operator.HostSystem
		if err := c.Get(t.Context(), &is, "host", "update", "host-1"); err != nil || is.Status == nil {
			t.Fatalf("the host's system: %+v, %v", is, err)
		}
		return *is.Status
	}

	t.Run("good", func(t *testing.T) {
		began := time.Now()
		if out, err := hnctl("host", "update", "host-1", "--release", next, "--reason", "a test", "--yes", "--wait", "--timeout",
			"25m"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		s := status()
		if s.State != host.SystemDone || s.Release != next || s.Slot != slots.B {
			t.Errorf("at the end: %+v", s)
		}
		t.Logf("figure: one changed function, UKI of %d bytes: %d bytes over the network; ordered → committed %s", s.Total, s.Fetched,
			time.Since(began).Round(time.Second))
		if s.Fetched > mostFetched {
			t.Errorf("%d bytes came over the network, at most %d should", s.Fetched, mostFetched)
		}
		h, err := c.WaitHost(t.Context(), "host-1", time.Minute, func(h operator.Host) bool { return h.Version == next })
		if err != nil || len(h.Boots) == 0 || !strings.Contains(h.Boots[0].Words(), "release "+next+": a test") {
			t.Errorf("the host is %+v, %v", h, err)
		}
	})
	t.Run("bad", func(t *testing.T) {
		began := time.Now()
		_, err := hnctl("host", "update", "host-1", "--release", bad, "--within", "4m", "--yes", "--wait", "--timeout", "25m")
		if err == nil || !strings.Contains(err.Error(), "failed "+bad) {
			t.Fatalf("the bad release: %v", err)
		}
		t.Logf("figure: a release whose agent is never ready: ordered → back in the old one %s: %v",
			time.Since(began).Round(time.Second), err)
		h, err := c.WaitHost(t.Context(), "host-1", time.Minute, func(h operator.Host) bool {
			return h.Version == next && h.State == operator.HostActive
		})
		if err != nil {
			t.Fatal(err)
		}
		if s := status(); s.State != host.SystemFailed || s.Release != next || s.Slot != slots.B || s.Reason == "" {
			t.Errorf("at the end: %+v", s)
		}
		boot := h.Boot
		time.Sleep(time.Minute) // it is not tried again
		h, err = c.WaitHost(t.Context(), "host-1", time.Minute, func(operator.Host) bool { return true })
		if err != nil || h.Boot != boot {
			t.Errorf("booted again: %s, before %s, %v", h.Boot, boot, err)
		}
		if out, err := hnctl("host", "update", "host-1", "--cancel"); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

// publish has both repositories name a release with an image for virtual machines.
func publish(t *testing.T, pair *released.Pair, version, image string) {
	t.Helper()
	raw, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	m := release.Manifest{Version: 1, Release: release.Version(version), Channel: release.Dev, Severity: release.Normal,
		Arch: release.Arch, Artefacts: []release.Artefact{{Name: "vm-host.efi", Kind: release.UKI, Target: release.VM,
			Profile: release.Host, Bytes: int64(len(raw)), Digest: wire.DigestOf(sha256.Sum256(raw))}}}
	text, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	pair.Release(t, version, "vm-host.efi", string(raw))
	pair.Release(t, version, release.ManifestFile, string(text))
}

// edit replaces a text of a file, which has it once.
type edit struct{ file, was, is string }

// built is the UKI of a clone of this tree in which the version is another one, and what edits say.
func built(t *testing.T, root, dir, version string, edits ...edit) string {
	t.Helper()
	tree := filepath.Join(dir, version)
	for _, argv := range [][]string{
		{"git", "clone", "--quiet", "--shared", root, tree},
		{"mkdir", "-p", filepath.Join(tree, "out")},
		{"cp", "-a", filepath.Join(root, "out/cache"), filepath.Join(tree, "out/cache")},
	} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", argv, err, out)
		}
	}
	file := filepath.Join(tree, "image/release/release.yaml")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(raw), "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "version:") {
			lines[i] = "version: " + version
		}
	}
	texts := map[string]string{file: strings.Join(lines, "\n")}
	for _, e := range edits {
		path := filepath.Join(tree, e.file)
		code, err := os.ReadFile(path)
		if err != nil || strings.Count(string(code), e.was) != 1 {
			t.Fatalf("%s has not %q once: %v", path, e.was, err)
		}
		texts[path] = strings.Replace(string(code), e.was, e.is, 1)
	}
	for path, text := range texts {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := cluster.Make(t.Context(), tree, "image", t.Logf); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(tree, "out/cache")); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(tree, "out/image/host.efi")
}
