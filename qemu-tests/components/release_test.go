//go:build qemu

package components

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/release"
)

// publish has both repositories name a release with the components that were built, each a little longer than in the release before, so
// that it is another image, and imports it. bodies has, by component, the main function of a program that takes its place.
func (c *platform) publish(t *testing.T, version string, bodies map[string]string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(c.Root, "out/image/images.json"))
	var built []boot.BundledImage
	if err == nil {
		err = json.Unmarshal(raw, &built)
	}
	if err != nil {
		t.Fatal(err)
	}
	m := release.Manifest{Version: 1, Release: release.Version(version), Channel: release.Dev, Severity: release.Normal, Arch: release.Arch}
	for _, b := range built {
		name, _ := strings.CutPrefix(string(b.Name), "jelastic/")
		path := filepath.Join(c.Root, "out/cache/components", name+".erofs")
		if body, ok := bodies[name]; ok {
			path = program(t, c.Root, name, body)
		}
		image, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f := c.pair.Release(t, version, name+".erofs", string(image)+strings.Repeat(version+"\n", 4096/len(version+"\n")))
		b.Digest, b.Bytes = f.Digest, f.Length
		m.Components = append(m.Components, b)
		m.Artefacts = append(m.Artefacts,
			release.Artefact{Name: name + ".erofs", Kind: release.Component, Bytes: f.Length, Digest: f.Digest})
	}
	for _, name := range []string{"metal-vmlinuz", "metal-host.initrd", "metal-cmdline"} { // netboot is not switched on without
		c.pair.Release(t, version, name, name)
	}
	text, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	c.pair.Release(t, version, release.ManifestFile, string(text))
	bundle := filepath.Join(c.dir, version+".bundle")
	if err := os.WriteFile(bundle, c.pair.Bundle(t, c.pair.Targets()...), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := c.HNCTL(t.Context(), "release", "import", bundle); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// program makes an image with one program, that has this main function.
func program(t *testing.T, root, name, body string) string {
	t.Helper()
	dir := t.TempDir()
	source, tree, image := filepath.Join(dir, "main.go"), filepath.Join(dir, "tree"), filepath.Join(dir, name+".erofs")
	for _, d := range []string{"dev", "proc", "sys", "run", "data", "tmp", "etc"} {
		if err := os.MkdirAll(filepath.Join(tree, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(source, fmt.Appendf(nil, "package main\n\nimport \"time\"\n\nfunc main() { %s }\n", body), 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(tree, name), source)
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	for _, cmd := range []*exec.Cmd{build, exec.Command("mkfs.erofs", "-zlz4", "--all-root", image, tree)} {
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
		}
	}
	return image
}
