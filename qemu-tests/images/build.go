//go:build qemu

package images

import (
	"crypto/sha256"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

//go:embed testdata
var files embed.FS

// image is what goes into one image.
type image struct {
	name     string
	packages []string
	file     string // of testdata
	at       string // where it lies in the image
	without  string // a pattern of files that are left out: they are large and not needed
	run      string // a shell command in the new root, as root, after the packages are there
	config   v1.Config
}

// build writes the image as an OCI layout and returns its folder; what an earlier run made of the same recipe is used again.
func (i image) build(root string) (string, error) {
	content, err := files.ReadFile("testdata/" + i.file)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(fmt.Appendf(content, "executable %+v", i))
	dir := filepath.Join(root, "out/cache/brought", fmt.Sprintf("%s-%x", i.name, sum[:6]))
	if _, err := os.Stat(filepath.Join(dir, "index.json")); err == nil {
		return dir, nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp("", "image")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	own, tar := filepath.Join(work, i.file), filepath.Join(work, "root.tar")
	if err := os.WriteFile(own, content, 0o755); err != nil {
		return "", err
	}
	// uncompressed, as a layer of it is compressed once
	cmd := exec.Command("mmdebstrap", "--quiet", "--variant=minbase", "--include="+strings.Join(i.packages, ","),
		"--customize-hook=upload "+own+" "+i.at, "--customize-hook=chmod 0755 \"$1\""+i.at, // upload keeps no permissions
		"--customize-hook=chroot \"$1\" sh -ec '"+i.run+"'",
		"--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*")
	if i.without != "" {
		cmd.Args = append(cmd.Args, "--dpkgopt=path-exclude="+i.without)
	}
	cmd.Args = append(cmd.Args, "bookworm", tar)
	if b, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build image %s: mmdebstrap: %w\n%s", i.name, err, b)
	}
	layer, err := tarball.LayerFromFile(tar)
	if err != nil {
		return "", err
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return "", err
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return "", err
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture, cfg.Config = "linux", "amd64", i.config
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		return "", err
	}
	part := dir + ".part"
	if err := os.RemoveAll(part); err != nil {
		return "", err
	}
	to, err := layout.Write(part, empty.Index)
	if err != nil {
		return "", err
	}
	if err := to.AppendImage(img); err != nil {
		return "", err
	}
	return dir, os.Rename(part, dir)
}
