// Package patched starts a cluster whose user hosts, or whose infra VM, are installed on their disks, and makes the releases that it is
// patched to.
//
// Owns: the two repositories of releases that the cluster believes; clones of this tree, each edited and built as another release.
// In: built programs, images and media (what is missing is built); edits.
// Out: a cluster.Cluster with imported releases, or the end of the test with the reason.
// Never: patches a host, or judges how one was patched.
package patched

import (
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
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/release"
	"hardnode.dev/qemu-tests/cluster"
	"hardnode.dev/qemu-tests/harness"
)

// Cluster is a cluster of installed hosts.
type Cluster struct {
	*cluster.Cluster
	t       *testing.T
	dir     string // with the clones of this tree
	pair    *released.Pair
	profile release.Profile // of the machines that are installed
}

// Start builds this tree and starts the cluster, which ends with the test. Its user hosts are installed.
func Start(t *testing.T, o cluster.Options) *Cluster { return start(t, o, release.Host) }

// StartInfra is the same with the infra VM installed, and no other.
func StartInfra(t *testing.T, o cluster.Options) *Cluster { return start(t, o, release.Infra) }

func start(t *testing.T, o cluster.Options, profile release.Profile) *Cluster {
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
	dir, pair := harness.Dir(t), released.Both(t, "", time.Now().Add(24*time.Hour))
	anchors := pair.Anchors()
	o.Dir, o.Built = filepath.Join(dir, "cluster"), true
	medium := filepath.Join(root, "out/media", string(profile)+".disk")
	if profile == release.Infra {
		o.Infra = medium
	} else {
		o.Install = medium
	}
	o.Init = append(o.Init, "--image-pin", string(anchors.Image.Pin), "--director-pin", string(anchors.Director.Pin))
	started, err := cluster.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{started, t, dir, pair, profile}
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

// Run runs hnctl and gives what it prints.
func (c *Cluster) Run(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Minute)
	defer cancel()
	out, err := c.HNCTL(ctx, args...)
	return string(out), err
}

// System is what a host says of its system.
func (c *Cluster) System(t *testing.T, name string) host.SystemStatus {
	t.Helper()
	var is operator.HostSystem
	if err := c.Get(t.Context(), &is, "host", "update", name); err != nil || is.Status == nil {
		t.Fatalf("the system of host %s: %+v, %v", name, is, err)
	}
	return *is.Status
}

// Import builds a release, has both repositories name it, beside those before, and imports it.
func (c *Cluster) Import(t *testing.T, version string, edits ...Edit) {
	t.Helper()
	c.publish(t, version, filepath.Join(Image(t, c.Root, c.dir, version, edits...), string(c.profile)+".efi"))
	bundle := filepath.Join(c.dir, "bundle")
	if err := os.WriteFile(bundle, c.pair.Bundle(t, c.pair.Targets()...), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := c.Run("release", "import", bundle); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// publish has both repositories name a release with an image for virtual machines.
func (c *Cluster) publish(t *testing.T, version, image string) {
	t.Helper()
	raw, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	name := "vm-" + string(c.profile) + ".efi"
	m := release.Manifest{Version: 1, Release: release.Version(version), Channel: release.Dev, Severity: release.Normal,
		Arch: release.Arch, Artefacts: []release.Artefact{{Name: name, Kind: release.UKI, Target: release.VM,
			Profile: c.profile, Bytes: int64(len(raw)), Digest: wire.DigestOf(sha256.Sum256(raw))}}}
	text, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	c.pair.Release(t, version, name, string(raw))
	c.pair.Release(t, version, release.ManifestFile, string(text))
}

// Edit replaces a text of a file, which has it once. A file that there is not is made: Was is "" then.
type Edit struct{ File, Was, Is string }

// Apply is what the file is in the tree of root with the edit.
func (e Edit) Apply(root string) (string, error) {
	code, err := os.ReadFile(filepath.Join(root, e.File))
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(code), e.Was); n != 1 {
		return "", fmt.Errorf("%s has %q %d times, want once", e.File, e.Was, n)
	}
	return strings.Replace(string(code), e.Was, e.Is, 1), nil
}

// starts is a line of the agent's main.go.
const starts = `log.Info("agent starts",`

// In puts a line before the agent's start.
func In(line string) Edit { return Edit{"agent/main.go", starts, line + "\n\t" + starts} }

// The releases that tests patch to.
var (
	OneFunction = []Edit{{"agent/main.go", starts, `log.Info("the agent of another release starts",`}}
	Programs    = append([]Edit{
		{"agent/console/main.go", `log.Error(name+" ends"`, `log.Error(name+" of another release ends"`},
		{"agent/spawner/main.go", `log.Error("spawner ends", logging.Err, err)`, `log.Error("another spawner ends", logging.Err, err)`},
		{"init/netd/main.go", `log.Error("ended",`, `log.Error("the netd of another release ended",`},
	}, OneFunction...)
	NeverReady = []Edit{In("<-ctx.Done()")} // the agent is started, and never gets anywhere
	// NoSystem: PID 1 ends at once.
	NoSystem = []Edit{{"init/main.go", "	machine.New().Run()\n}", "	_ = machine.New()\n	os.Exit(1)\n}"}}
)

// Image is the folder of images of a clone of the tree in root, made below dir, in which the version is another one, and what edits say.
func Image(t *testing.T, root, dir, version string, edits ...Edit) string {
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
	about := filepath.Join(tree, "image/release/release.yaml")
	raw, err := os.ReadFile(about)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(raw), "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "version:") {
			lines[i] = "version: " + version
		}
	}
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(about, strings.Join(lines, "\n"))
	for _, e := range edits {
		path := filepath.Join(tree, e.File)
		if e.Was == "" {
			write(path, e.Is)
			continue
		}
		code, err := e.Apply(tree)
		if err != nil {
			t.Fatal(err)
		}
		write(path, code)
	}
	if err := cluster.Make(t.Context(), tree, "image", t.Logf); err != nil {
		t.Fatalf("release %s: %v", version, err)
	}
	if err := os.RemoveAll(filepath.Join(tree, "out/cache")); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(tree, "out/image")
}
