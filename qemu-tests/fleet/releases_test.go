//go:build qemu

package fleet

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/testkit/released"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/release"
	"hardnode.dev/qemu-tests/cluster"
	"hardnode.dev/qemu-tests/harness"
)

// The releases: next differs from what runs in its version and in one function of the agent; of bad the agent is never ready; under deadly
// all containers of a host but one are killed, again and again.
const (
	next   = "0.2.0"
	bad    = "0.3.0"
	deadly = "0.4.0"
)

// starts is a line of the agent's main.go.
const starts = `log.Info("agent starts",`

// edits are what makes a release another one: of each, the text that takes the place of starts, and a file that is added to the agent.
var edits = map[string]struct{ starts, file string }{
	next: {starts: `log.Info("the agent of another release starts",`},
	bad:  {starts: "<-ctx.Done()\n\t" + starts},
	deadly: {starts: "go kill()\n\t" + starts, file: `package main

import (
	"os"
	"path/filepath"
	"time"
)

func kill() {
	for range time.Tick(5 * time.Second) {
		all, _ := filepath.Glob("/sys/fs/cgroup/ct/*/cgroup.kill")
		for i, path := range all {
			if i > 0 {
				os.WriteFile(path, []byte("1"), 0)
			}
		}
	}
}
`},
}

// platform is a cluster whose hosts are installed, and the two repositories of releases that it knows.
type platform struct {
	*cluster.Cluster
	t    *testing.T
	dir  string // with the clones of this tree
	pair *released.Pair
}

// start builds this tree and starts the cluster.
func start(t *testing.T, dir string, o cluster.Options) *platform {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"bin", "disk", "templates"} {
		if err := cluster.Make(t.Context(), root, target, t.Logf); err != nil {
			t.Fatal(err)
		}
	}
	pair := released.Both(t, "", time.Now().Add(24*time.Hour))
	anchors := pair.Anchors()
	o.Dir, o.Built, o.Install = filepath.Join(dir, "cluster"), true, filepath.Join(root, "out/media/host.disk")
	o.Init = append(o.Init, "--image-pin", string(anchors.Image.Pin), "--director-pin", string(anchors.Director.Pin))
	cl, err := cluster.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	c := &platform{cl, t, dir, pair}
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
	return c
}

// imports builds a release, has both repositories name it, beside those before, and imports it.
func (c *platform) imports(t *testing.T, version string) {
	t.Helper()
	c.publish(t, version, c.image(t, filepath.Join(c.dir, version), version))
	bundle := filepath.Join(c.dir, "bundle")
	if err := os.WriteFile(bundle, c.pair.Bundle(t, c.pair.Targets()...), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := c.hnctl("release", "import", bundle); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// hnctl runs hnctl and gives what it prints.
func (c *platform) hnctl(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Minute)
	defer cancel()
	out, err := c.HNCTL(ctx, args...)
	return string(out), err
}

// publish has both repositories name a release with an image for virtual machines.
func (c *platform) publish(t *testing.T, version, image string) {
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
	c.pair.Release(t, version, "vm-host.efi", string(raw))
	c.pair.Release(t, version, release.ManifestFile, string(text))
}

// image is the UKI of a clone of this tree whose version is another one, and whose agent is edited.
func (c *platform) image(t *testing.T, tree, version string) string {
	t.Helper()
	for _, argv := range [][]string{
		{"git", "clone", "--quiet", "--shared", c.Root, tree},
		{"mkdir", "-p", filepath.Join(tree, "out")},
		{"cp", "-a", filepath.Join(c.Root, "out/cache"), filepath.Join(tree, "out/cache")},
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
	main := filepath.Join(tree, "agent/main.go")
	code, err := os.ReadFile(main)
	if err != nil || bytes.Count(code, []byte(starts)) != 1 {
		t.Fatalf("%s has not %q once: %v", main, starts, err)
	}
	e := edits[version]
	texts := map[string][]byte{
		file: []byte(strings.Join(lines, "\n")),
		main: bytes.Replace(code, []byte(starts), []byte(e.starts), 1),
	}
	if e.file != "" {
		texts[filepath.Join(tree, "agent/edited.go")] = []byte(e.file)
	}
	for path, text := range texts {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := cluster.Make(t.Context(), tree, "image", t.Logf); err != nil {
		t.Fatal(fmt.Errorf("release %s: %w", version, err))
	}
	if err := os.RemoveAll(filepath.Join(tree, "out/cache")); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(tree, "out/image/host.efi")
}
