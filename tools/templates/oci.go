package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"

	"hardnode.dev/tools/templates/recipe"
)

// zstdLayer is a layer of media type application/vnd.oci.image.layer.v1.tar+zstd (OCI image-spec 1.1).
type zstdLayer struct{ plain, packed []byte }

func newLayer(plain []byte) (zstdLayer, error) {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return zstdLayer{}, fmt.Errorf("compress layer: %v", err)
	}
	return zstdLayer{plain, z.EncodeAll(plain, nil)}, nil
}

func hash(b []byte) (v1.Hash, error) {
	sum := sha256.Sum256(b)
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}, nil
}

func (l zstdLayer) Digest() (v1.Hash, error) { return hash(l.packed) }
func (l zstdLayer) DiffID() (v1.Hash, error) { return hash(l.plain) }
func (l zstdLayer) Size() (int64, error)     { return int64(len(l.packed)), nil }
func (l zstdLayer) MediaType() (types.MediaType, error) {
	return types.OCILayerZStd, nil
}
func (l zstdLayer) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.packed)), nil
}
func (l zstdLayer) Uncompressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.plain)), nil
}

// makeImage puts layers and configuration together.
func makeImage(s recipe.Recipe, version string, created time.Time, layers []zstdLayer, names []string) (v1.Image, error) {
	img := mutate.MediaType(mutate.ConfigMediaType(empty.Image, types.OCIConfigJSON), types.OCIManifestSchema1)
	cfg := &v1.ConfigFile{OS: "linux", Architecture: "amd64", Created: v1.Time{Time: created}, Config: s.Onto(v1.Config{})}
	cfg.Config.Labels["org.opencontainers.image.version"] = version
	img, err := mutate.ConfigFile(img, cfg)
	if err != nil {
		return nil, fmt.Errorf("make configuration: %v", err)
	}
	for i, l := range layers {
		img, err = mutate.Append(img, mutate.Addendum{Layer: l, MediaType: types.OCILayerZStd,
			History: v1.History{Created: v1.Time{Time: created}, CreatedBy: names[i]}})
		if err != nil {
			return nil, fmt.Errorf("add layer: %v", err)
		}
	}
	return img, nil
}

// writeLayout replaces dir with an OCI image layout that holds img alone, under the tag.
func writeLayout(dir string, img v1.Image, tag string) error {
	temp := dir + ".new"
	if err := os.RemoveAll(temp); err != nil {
		return fmt.Errorf("write layout: %v", err)
	}
	p, err := layout.Write(temp, empty.Index)
	if err != nil {
		return fmt.Errorf("write layout %q: %v", temp, err)
	}
	if err := p.AppendImage(img, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": tag})); err != nil {
		return fmt.Errorf("write layout %q: %v", temp, err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("write layout: %v", err)
	}
	if err := os.Rename(temp, dir); err != nil {
		return fmt.Errorf("write layout: %v", err)
	}
	return nil
}

// inputs is a hash of all that decides the image's bytes: this program, the template's folder and base, the packages.
func inputs(program, dir string, s recipe.Recipe, debs []deb) (string, error) {
	h := sha256.New()
	add := func(file string) error {
		raw, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("hash inputs: %v", err)
		}
		fmt.Fprintf(h, "%s %d %x\n", filepath.ToSlash(strings.TrimPrefix(file, dir)), len(raw), sha256.Sum256(raw))
		return nil
	}
	if err := add(program); err != nil {
		return "", err
	}
	var files []string
	err := filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files = append(files, p)
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("hash inputs: %v", err)
	}
	slices.Sort(files)
	for _, f := range files {
		if err := add(f); err != nil {
			return "", err
		}
	}
	fmt.Fprintf(h, "%+v\n", *s.Debian) // with what its base adds
	for _, d := range debs {
		fmt.Fprintf(h, "%s %s %s\n", d.name, d.version, d.sha256)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
