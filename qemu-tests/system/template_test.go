//go:build qemu

package system

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/klauspost/compress/zstd"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/qemu-tests/harness"
)

// TestDebianTemplate boots the template debian in a container of the runtime; a client of SSH and JEM look after it.
func TestDebianTemplate(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: `make soak PKG=./qemu-tests/system RUN=TestDebianTemplate` does it")
	}
	dir := t.TempDir()
	image, process := template(t, "debian")
	harness.RunGuestTest(t, harness.GuestTest{Package: "./agent/container", Run: "^TestDebianTemplate$", DiskMiB: 2048, MemMiB: 2048,
		Timeout: 30 * time.Minute, Programs: []string{"ssh", "ssh-keygen"}, Env: []string{"HARDNODE_TEMPLATE=" + process},
		Files: map[string]string{
			"/usr/lib/hardnode/spawner": harness.Build(t, "./agent/spawner", filepath.Join(dir, "spawner")),
			"/usr/lib/hardnode/jem":     harness.Build(t, "./agent/jem", filepath.Join(dir, "jem")),
			"/images/debian.erofs":      image,
			"/images/box.erofs":         image,
		}})
}

// template makes a template of Debian's packages, and of it one file and the process, as the registry does.
func template(t *testing.T, name string) (erofs, process string) {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	made, err := exec.CommandContext(t.Context(), "make", "-C", root, "templates", "TEMPLATES="+name).CombinedOutput()
	t.Logf("%s", made)
	if err != nil {
		t.Fatalf("make templates: %v", err)
	}
	index, err := layout.ImageIndexFromPath(filepath.Join(root, "out/templates", name))
	if err != nil {
		t.Fatal(err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	img, err := index.Image(m.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	tree := filepath.Join(t.TempDir(), "root")
	if err := os.Mkdir(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		unpack(t, l, tree)
	}
	erofs = filepath.Join(t.TempDir(), name+".erofs")
	if b, err := exec.Command("mkfs.erofs", "-zlz4", erofs, tree).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.erofs: %v\n%s", err, b)
	}
	return erofs, processOf(t, config.Config)
}

func unpack(t *testing.T, l v1.Layer, tree string) {
	t.Helper()
	r, err := l.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	z, err := zstd.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	cmd := exec.CommandContext(t.Context(), "tar", "-x", "-p", "--numeric-owner", "-C", tree)
	cmd.Stdin = z
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, b)
	}
}

// processOf is what an image's configuration says of its process.
func processOf(t *testing.T, c v1.Config) string {
	t.Helper()
	p := host.Process{Argv: append(c.Entrypoint, c.Cmd...), Env: map[string]string{}, StopWith: c.StopSignal}
	for _, e := range c.Env {
		name, value, _ := strings.Cut(e, "=")
		p.Env[name] = value
	}
	if v := c.Labels[host.LabelStopAfter]; v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			t.Fatal(err)
		}
		p.StopAfter = n
	}
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
